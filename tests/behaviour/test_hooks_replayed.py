"""A new hook is told of the past only when somebody asks for it."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest

from flowdsl.engine import control, hook_replay
from flowdsl.errors import ConfigurationError, DefinitionError, ReplayFailedError
from flowdsl.model.run_state import RunState
from tests.behaviour.parcels import Parcel, ParcelRun, Parcels, PickUp, Stage, collected, waiting
from tests.behaviour.world import HOUR, World

Told = list[tuple[Any, ...]]


def hooked(told: Told, *, fails: Any = (), is_async: bool = False) -> Parcels:
    """Parcels with a hook of three events."""
    workflow = collected()

    def note(run: ParcelRun) -> None:
        told.append((run.foreign_id, run.state, run.status, run.record.reason, run.idempotency_key.partition(":")[2]))
        if run.foreign_id in fails:
            raise RuntimeError("nobody answers")

    if is_async:

        @workflow.on_cancel(name="tell")
        async def tell_async(run: ParcelRun) -> None:
            await asyncio.sleep(0)
            note(run)
    else:

        @workflow.on_pause(name="tell")
        @workflow.on_cancel(name="tell")
        @workflow.on_complete(name="tell")
        def tell(run: ParcelRun) -> None:
            note(run)

    return workflow


def past(world: World) -> None:
    """Three runs: one was paused and completed, one cancelled an hour later, one goes on."""
    workflow = collected()
    with world.engine(workflow) as engine:
        one, two, _ = (waiting(engine, workflow, name) for name in ("one", "two", "three"))
        one.pause("lunch")
        one.resume()
        engine.callback(workflow, "one", Stage.WAITING, PickUp("Ada"))
        engine.advance(HOUR)
        two.cancel("lost")
        engine.run_until_idle()


def test_a_hook_is_told_of_everything_that_history_holds_as_it_was(world: World) -> None:
    past(world)
    told: Told = []
    workflow = hooked(told)

    done = world.outsider(workflow).replay_hook(workflow, "tell")

    assert done == (3, 0)
    assert sorted(told, key=lambda entry: (entry[0], entry[-1])) == [
        ("one", RunState.PAUSED, Stage.WAITING, "lunch", "3:pause:tell"),
        ("one", RunState.COMPLETED, Stage.COLLECTED, None, "5:complete:tell"),
        ("two", RunState.CANCELLED, Stage.WAITING, "lost", "3:cancel:tell"),
    ]


def test_it_is_told_of_what_happened_since_a_moment(world: World) -> None:
    start = world.clock.now()
    past(world)
    told: Told = []
    workflow = hooked(told)
    engine = world.outsider(workflow)

    assert engine.replay_hook(workflow, "tell", since=start + HOUR) == (1, 0)
    assert [entry[0] for entry in told] == ["two"]
    with pytest.raises(ConfigurationError, match="has no time zone"):
        engine.replay_hook(workflow, "tell", since=datetime(2030, 1, 1))  # noqa: DTZ001 - what is refused


def test_it_is_told_under_the_key_that_it_was_told_under_when_it_happened(world: World) -> None:
    told: Told = []
    workflow = hooked(told)
    with world.engine(workflow) as engine:
        waiting(engine, workflow).cancel("lost")
        engine.run_until_idle()

        engine.replay_hook(workflow, "tell")

        assert len(told) == 2
        assert told[0] == told[1]


def test_transitions_are_told_again_too(world: World) -> None:
    past(world)
    entered: list[str] = []
    workflow = collected()

    @workflow.on_transition
    def log(run: ParcelRun) -> None:
        entered.append(f"{run.foreign_id} {run.status}")

    assert world.outsider(workflow).replay_hook(workflow, "log") == (7, 0)
    assert sorted(entered)[:3] == ["one collected", "one packed", "one waiting"]


def test_what_fails_becomes_a_dead_letter_once_and_may_be_replayed(world: World) -> None:
    past(world)
    told: Told = []
    fails = {"two"}
    workflow = hooked(told, fails=fails)
    engine = world.outsider(workflow)

    assert engine.replay_hook(workflow, "tell") == (2, 1)
    assert engine.replay_hook(workflow, "tell") == (2, 1)

    (letter,) = engine.dead_letters.list(origin="hook").letters
    assert (letter.name, letter.foreign_id, letter.type, letter.error) == (
        "tell",
        "two",
        "cancel",
        "RuntimeError: nobody answers",
    )
    with pytest.raises(ReplayFailedError, match="nobody answers"):
        engine.dead_letters.replay(letter.letter_id)
    fails.clear()
    told.clear()
    engine.dead_letters.replay(letter.letter_id)
    assert told == [("two", RunState.CANCELLED, Stage.WAITING, "lost", "3:cancel:tell")]
    assert engine.dead_letters.list().letters == []


@pytest.mark.parametrize("aio", [False, True])
def test_an_async_hook_is_awaited(world: World, aio: bool) -> None:
    past(world)
    told: Told = []
    fails = {"two"}
    workflow = hooked(told, fails=fails, is_async=True)
    engine = world.outsider(workflow)

    done = asyncio.run(ask(engine, workflow)) if aio else engine.replay_hook(workflow, "tell")

    assert done == (0, 1)
    fails.clear()
    (letter,) = engine.dead_letters.list().letters
    engine.dead_letters.replay(letter.letter_id)
    assert [entry[0] for entry in told] == ["two", "two"]


async def ask(engine: Any, workflow: Parcels) -> Any:
    return await engine.aio.replay_hook(workflow, "tell")


def test_a_letter_of_a_hook_goes_with_the_data_of_its_run(world: World) -> None:
    past(world)
    workflow = hooked([], fails={"two"})
    with world.engine(workflow) as engine:
        engine.replay_hook(workflow, "tell")
        handle = engine.latest(workflow, "two")
        handle.delete_data("asked to")
        engine.run_until_idle()

        assert handle.record().state is RunState.DATA_DELETED
        assert engine.dead_letters.list().letters == []


def test_a_letter_written_after_the_data_was_deleted_says_nothing_of_the_error(world: World) -> None:
    past(world)
    workflow = collected()
    with world.engine(workflow) as engine:
        handle = engine.latest(workflow, "two")

        @workflow.on_cancel
        def tell(run: ParcelRun) -> None:
            handle.delete_data("asked for")
            raise RuntimeError("canary")

        del tell
        other = world.outsider(workflow)
        assert other.replay_hook(workflow, "tell") == (0, 1)
        (letter,) = other.dead_letters.list().letters
        assert letter.error == "it failed while the data of its run was being deleted"


def test_data_that_is_deleted_while_a_letter_is_written_is_not_in_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    past(world)
    workflow = collected()

    @workflow.on_cancel
    def tell(run: ParcelRun) -> None:
        raise RuntimeError("canary")

    with world.engine(workflow) as engine:
        handle = engine.latest(workflow, "two")
        commit_one = control.commit_one

        def commit_late(*arguments: Any) -> Any:
            if handle.record().state is RunState.CANCELLED:
                handle.delete_data("asked for")
                engine.run_until_idle()
            assert handle.record().state is RunState.DATA_DELETED
            return commit_one(*arguments)

        monkeypatch.setattr(hook_replay, "commit_one", commit_late)
        assert engine.replay_hook(workflow, "tell") == (0, 1)
        (letter,) = engine.dead_letters.list().letters
        assert letter.error == "it failed while the data of its run was being deleted"


def test_a_hook_that_there_is_not_and_one_that_hears_of_failures_are_refused(memory_world: World) -> None:
    workflow = hooked([])

    @workflow.on_error
    def failed(run: ParcelRun) -> None:
        pass

    engine = memory_world.outsider(workflow)
    engine.trigger(workflow, "x", Parcel())
    with pytest.raises(DefinitionError, match=r"no hook 'tel'.*'failed', 'tell'"):
        engine.replay_hook(workflow, "tel")
    with pytest.raises(ConfigurationError, match="leave no history"):
        engine.replay_hook(workflow, "failed")
    with pytest.raises(ConfigurationError, match="not one of this engine's"):
        memory_world.outsider().replay_hook(workflow, "tell")
