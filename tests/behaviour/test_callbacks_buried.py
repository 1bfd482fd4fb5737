"""Kept callbacks that nobody will apply become dead letters, which may be tried again."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from flowdsl.errors import ConfigurationError, ReplayFailedError
from flowdsl.model.callback_result import CallbackOutcome
from flowdsl.model.outcome import Outcome
from flowdsl.model.pending import RowKind
from flowdsl.model.run_state import RunState
from flowdsl.testing.stepped import SteppedEngine
from tests.behaviour.parcels import ADA, Handle, Parcel, ParcelRun, PickUp, Stage, bare, collected, early, parcels, rows, waiting
from tests.behaviour.world import HOUR, SECOND, World, sample

C, S = CallbackOutcome, RunState


# -- it cannot be applied -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["cancelled", "completed"])
def test_a_run_that_ends_before_it_arrives_makes_a_dead_letter_of_what_was_kept(world: World, end: str) -> None:
    workflow = bare()

    @workflow.step(from_=Stage.PACKED, to=[Stage.WAITING, Stage.RETURNED])
    def refuse(run: ParcelRun) -> Stage:
        return Stage.RETURNED

    @workflow.callback(from_=Stage.WAITING, to=Stage.COLLECTED)
    def pick_up(run: ParcelRun, payload: PickUp) -> None:
        raise AssertionError("the run never arrived")

    process = {"workflow_name": "parcels", "process_name": "waiting-callback-pick_up-consumer"}
    with world.engine(workflow) as engine:
        assert sample(engine, "workflow_dead_letters_count", **process) == 0
        outside = world.outsider(workflow)
        handle = outside.trigger(workflow, "parcel-1", Parcel())
        early(outside, workflow)
        if end == "cancelled":
            outside.handle(handle.run_id).cancel("lost")
        engine.run_until_idle()

        assert handle.record().state.name.lower() == end
        assert handle.pending() == []
        (letter,) = engine.dead_letters.list().letters
        assert (letter.body, letter.attempts) == (ADA, 0)
        assert end in letter.error
        assert sample(engine, "workflow_dead_letters_count", **process) == 1
        assert sample(engine, "workflow_process_skipped_events_count", **process, reason="record stopped")


def test_what_is_kept_no_longer_is_not_applied_and_becomes_a_dead_letter(world: World) -> None:
    workflow = parcels(Stage.RETURNED)
    applied: list[object] = []

    @workflow.callback(from_=Stage.WAITING, to=Stage.COLLECTED, keep_for=HOUR)
    def pick_up(run: ParcelRun, payload: PickUp) -> None:
        applied.append(payload)

    with world.engine(workflow) as engine:
        handle, other = (world.outsider(workflow).trigger(workflow, name, Parcel()) for name in ("parcel-1", "parcel-2"))
        handle.pause("lunch")
        other.pause("lunch")
        early(engine, workflow, "parcel-1")
        early(engine, workflow, "parcel-2")
        engine.advance(HOUR - SECOND)
        other.resume()
        engine.run_until_idle()
        assert applied == [PickUp("Ada")]
        engine.advance(SECOND)
        handle.resume()
        engine.run_until_idle()

        assert applied == [PickUp("Ada")]
        assert handle.record().status == Stage.WAITING, "the run waits on"
        (letter,) = engine.dead_letters.list().letters
        assert (letter.run_id, letter.error) == (handle.run_id, "it was kept no longer")
        assert rows(handle, RowKind.CALLBACK) == []


def test_a_kept_callback_that_skips_is_done_with(world: World) -> None:
    workflow = parcels(Stage.RETURNED)
    calls: list[int] = []

    @workflow.callback(from_=Stage.WAITING, to=Stage.COLLECTED)
    def pick_up(run: ParcelRun, payload: PickUp) -> Outcome:
        calls.append(1)
        run.object.driver = payload.driver
        return run.skip()

    with world.engine(workflow) as engine:
        handle = engine.trigger(workflow, "parcel-1", Parcel())
        early(engine, workflow)
        engine.advance(HOUR)
        handle.pause("lunch")
        handle.resume()
        engine.advance(HOUR)
        handle.cancel("lost")
        engine.run_until_idle()

        assert calls == [1]
        assert handle.run().object == Parcel()
        assert engine.dead_letters.list().letters == []


def test_a_kept_callback_may_pause_and_is_not_called_again(world: World) -> None:
    workflow = parcels(Stage.RETURNED)

    @workflow.callback(from_=Stage.WAITING, to=Stage.COLLECTED)
    def pick_up(run: ParcelRun, payload: PickUp) -> Outcome:
        run.object.notes.append(payload.driver)
        return run.pause("an unknown driver")

    with world.engine(workflow) as engine:
        handle = engine.trigger(workflow, "parcel-1", Parcel())
        early(engine, workflow)
        engine.run_until_idle()
        assert (handle.record().state, handle.record().reason) == (S.PAUSED, "an unknown driver")
        handle.resume()
        engine.advance(HOUR)

        assert handle.run().object.notes == ["Ada"]
        assert (handle.record().state, handle.pending()) == (S.RUNNING, [])


# -- trying it again ----------------------------------------------------------------------------------------------------------


def buried(engine: SteppedEngine, workflow: Any, **options: Any) -> tuple[Handle, str]:
    """A callback whose run was cancelled before it arrived: that run, and the letter's id."""
    outside = engine
    handle = outside.trigger(workflow, "parcel-1", Parcel())
    early(outside, workflow, **options)
    handle.cancel("lost")
    engine.run_until_idle()
    (letter,) = engine.dead_letters.list().letters
    return handle, letter.letter_id


def test_a_dead_letter_of_a_callback_is_replayed_to_the_run_that_its_foreign_id_has_now(world: World) -> None:
    workflow = collected()
    with world.engine(workflow) as engine:
        first, letter = buried(engine, workflow, idempotency_key="event-7", actor="courier")
        second = waiting(engine, workflow)

        engine.dead_letters.replay(letter, actor="Ada")

        assert (second.run().object.driver, second.history()[-1].actor) == ("Ada", "courier")
        assert first.record().state is S.CANCELLED
        assert engine.dead_letters.list().letters == []
        assert [entry.action for entry in engine.dead_letters.audit(letter)] == ["replayed"]


def test_a_replay_keeps_the_idempotency_key_that_the_function_is_given(world: World) -> None:
    workflow = parcels(Stage.RETURNED)
    keys: list[str] = []

    @workflow.callback(from_=Stage.WAITING, to=Stage.COLLECTED)
    def pick_up(run: ParcelRun, payload: PickUp) -> None:
        keys.append(run.idempotency_key)

    with world.engine(workflow) as engine:
        _, letter = buried(engine, workflow, idempotency_key="event-7")
        second = waiting(engine, workflow)
        engine.dead_letters.replay(letter)

        assert keys == [f"{second.run_id}:callback:event-7"]


def test_a_replay_for_a_run_that_is_still_to_arrive_keeps_the_callback_once_more(world: World) -> None:
    workflow = collected()
    with world.engine(workflow) as engine:
        _, letter = buried(engine, workflow)
        second = engine.trigger(workflow, "parcel-1", Parcel())

        engine.dead_letters.replay(letter)

        assert engine.dead_letters.list().letters == []
        engine.run_until_idle()
        assert second.run().object.driver == "Ada"


def test_a_replay_in_vain_leaves_the_letter_and_says_why(world: World) -> None:
    workflow = collected()
    with world.engine(workflow) as engine:
        handle, letter = buried(engine, workflow)

        with pytest.raises(ReplayFailedError, match="run stopped"):
            engine.dead_letters.replay(letter)

        assert [found.letter_id for found in engine.dead_letters.list().letters] == [letter]
        assert [entry.action for entry in engine.dead_letters.audit(letter)] == ["replayed in vain"]
        assert handle.record().state is S.CANCELLED


def test_a_replay_that_dies_before_the_letter_is_gone_applies_nothing_twice(world: World) -> None:
    workflow = parcels(Stage.RETURNED, allow_cycles=True)

    @workflow.callback(from_=Stage.WAITING, to=[Stage.WAITING, Stage.COLLECTED])
    def seen(run: ParcelRun, payload: PickUp) -> Stage:
        run.object.notes.append(payload.driver)
        return Stage.WAITING

    with world.engine(workflow) as engine:
        _, letter_id = buried(engine, workflow)
        second = waiting(engine, workflow)
        letter = engine.dead_letters.get(letter_id)
        engine.dead_letters._replay_of(letter).call()  # and the process is gone

        engine.dead_letters.replay(letter_id)

        assert second.run().object.notes == ["Ada"]
        assert engine.dead_letters.list().letters == []


def test_a_replay_needs_the_code(world: World) -> None:
    workflow = collected()
    with world.engine(workflow) as engine:
        _, letter = buried(engine, workflow)

        with pytest.raises(ConfigurationError, match="not one of this engine's"):
            world.outsider().dead_letters.replay(letter)


def test_a_coroutine_may_replay_an_async_callback(world: World) -> None:
    workflow = parcels(Stage.RETURNED)

    @workflow.callback(from_=Stage.WAITING, to=Stage.COLLECTED)
    async def pick_up(run: ParcelRun, payload: PickUp) -> None:
        run.object.driver = payload.driver

    with world.engine(workflow) as engine:
        _, letter = buried(engine, workflow)
        second = waiting(engine, workflow)

        asyncio.run(world.outsider(workflow).aio.dead_letters.replay(letter))

        assert second.run().object.driver == "Ada"


def test_a_payload_of_the_largest_size_is_kept_buried_and_replayed_whole(world: World) -> None:
    workflow = parcels(Stage.RETURNED)
    largest = b"\xff" * (1024 * 1024)

    @workflow.callback(from_=Stage.WAITING, to=Stage.COLLECTED)
    def pick_up(run: ParcelRun, payload: bytes) -> None:
        run.object.notes.append(str(payload == largest))

    with world.engine(workflow) as engine:
        handle = engine.trigger(workflow, "parcel-1", Parcel())
        assert engine.callback(workflow, "parcel-1", Stage.WAITING, largest).outcome is C.KEPT
        handle.cancel("lost")
        engine.run_until_idle()
        (letter,) = engine.dead_letters.list().letters
        assert letter.size == len(largest)
        second = waiting(engine, workflow)

        engine.dead_letters.replay(letter.letter_id)

        assert second.run().object.notes == ["True"]


def test_how_long_a_callback_is_kept_is_a_duration_above_zero() -> None:
    workflow = parcels(Stage.RETURNED)
    with pytest.raises(Exception, match="keep_for=0:00:00 is not above zero"):
        workflow.callback(from_=Stage.WAITING, to=Stage.COLLECTED, keep_for=timedelta(0))
    wrong: Any = 5
    with pytest.raises(Exception, match="keep_for=5 is not a duration"):
        workflow.callback(from_=Stage.WAITING, to=Stage.COLLECTED, keep_for=wrong)
    with pytest.raises(Exception, match=r"on_early='keeps' is not known.*OnEarly.KEEP"):
        workflow.callback(from_=Stage.WAITING, to=Stage.COLLECTED, on_early="keeps")  # type: ignore[arg-type]
