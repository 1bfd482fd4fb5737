"""Hooks: functions that are told what happened to a run, at least once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from flowdsl.model.pending import RowKind
from flowdsl.model.run_state import RunState
from tests.behaviour.parcels import Parcel, ParcelRun, PickUp, Stage, bare, collected, listened, parcels, rows, waiting
from tests.behaviour.world import HOUR, MINUTE, SECOND, World, sample

S = RunState


# -- what is told -------------------------------------------------------------------------------------------------------------


def test_a_run_that_is_paused_cancelled_or_completed_is_told_each_once(world: World) -> None:
    workflow = collected()
    told = listened(workflow)
    with world.engine(workflow) as engine:
        one, other = waiting(engine, workflow, "one"), waiting(engine, workflow, "other")
        assert told == []
        one.pause("lunch", actor="Ada")
        engine.run_until_idle()
        one.resume()
        one.cancel("lost", actor="Eve")
        engine.callback(workflow, "other", Stage.WAITING, PickUp("Ada"))
        engine.advance(HOUR)

        assert told == [
            ("pause", "one", S.PAUSED, Stage.WAITING, "lunch", "Ada"),
            ("cancel", "one", S.CANCELLED, Stage.WAITING, "lost", "Eve"),
            ("complete", "other", S.COMPLETED, Stage.COLLECTED, None, None),
        ]
        assert [*one.pending(), *other.pending()] == []


def test_a_hook_is_given_the_run_as_it_was_and_the_object_as_it_is(world: World) -> None:
    workflow = collected()
    told = listened(workflow)
    objects: list[Parcel] = []

    @workflow.on_pause(name="object")
    def look(run: ParcelRun) -> None:
        objects.append(run.object)

    outside = world.outsider(workflow)
    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
    handle.pause("lunch", actor="Ada")
    handle.resume()
    outside.callback(workflow, "parcel-1", Stage.WAITING, PickUp("Ada"))
    with world.engine(workflow) as engine:
        engine.run_until_idle()

        assert told[0] == ("pause", "parcel-1", S.PAUSED, Stage.WAITING, "lunch", "Ada")
        assert told[1][0] == "complete"
        assert objects == [Parcel(driver="Ada")]


@pytest.mark.parametrize("verb", ["pause", "cancel"])
def test_a_step_that_pauses_or_cancels_its_run_is_told_with_its_object(world: World, verb: str) -> None:
    workflow = bare(Stage.WAITING, Stage.RETURNED)
    told = listened(workflow)

    @workflow.step(from_=Stage.PACKED, to=Stage.COLLECTED)
    def look(run: ParcelRun) -> Any:
        run.object.notes.append("looked")
        return getattr(run, verb)("strange")

    @workflow.on_pause(name="object")
    @workflow.on_cancel(name="object")
    def see(run: ParcelRun) -> None:
        told.append(tuple(run.object.notes))

    with world.engine(workflow) as engine:
        engine.trigger(workflow, "parcel-1", Parcel())
        engine.run_until_idle()

        assert [entry[0] for entry in told if entry != ("looked",)] == [verb]
        assert told.count(("looked",)) == 1


@pytest.mark.parametrize("verb", ["pause", "cancel"])
def test_a_request_that_waits_for_the_step_is_told_when_its_commit_applies_it(world: World, verb: str) -> None:
    workflow = bare(Stage.WAITING, Stage.RETURNED)
    told = listened(workflow)

    @workflow.step(from_=Stage.PACKED, to=Stage.COLLECTED)
    def look(run: ParcelRun) -> Any:
        getattr(world.outsider(workflow).handle(run.run_id), verb)("from afar", "Ada")
        return run.save_and_repeat()

    with world.engine(workflow) as engine:
        handle = engine.trigger(workflow, "parcel-1", Parcel())
        engine.run_until_idle()

        assert told == [(verb, "parcel-1", handle.record().state, Stage.PACKED, "from afar", "Ada")]


def test_a_request_that_comes_to_nothing_is_not_told(world: World) -> None:
    workflow = bare(Stage.WAITING, Stage.RETURNED)
    told = listened(workflow)

    @workflow.step(from_=Stage.PACKED, to=Stage.COLLECTED)
    def collect(run: ParcelRun) -> None:
        world.outsider(workflow).handle(run.run_id).pause("too late")

    with world.engine(workflow) as engine:
        engine.trigger(workflow, "parcel-1", Parcel())
        engine.run_until_idle()

        assert [entry[0] for entry in told] == ["complete"]


def test_a_run_that_errors_paused_is_told_and_so_is_every_failed_attempt(world: World) -> None:
    workflow = bare(Stage.WAITING, Stage.RETURNED)
    told = listened(workflow)
    errors: list[tuple[Any, ...]] = []

    @workflow.step(from_=Stage.PACKED, to=Stage.COLLECTED, err_backoff=SECOND, pause_after_err_count=3)
    def collect(run: ParcelRun) -> None:
        raise RuntimeError(f"no luck {run.attempt}")

    @workflow.on_error
    def failed(run: ParcelRun) -> None:
        assert run.failure is not None
        errors.append((run.failure.name.rpartition(".")[2], run.failure.error, run.failure.attempt, run.status))

    with world.engine(workflow) as engine:
        engine.trigger(workflow, "parcel-1", Parcel())
        engine.advance(MINUTE)

        assert sorted(errors) == [("collect", f"RuntimeError: no luck {attempt}", attempt, Stage.PACKED) for attempt in (1, 2, 3)]
        ((event, _, state, _, reason, _),) = told
        assert (event, state) == ("pause", S.PAUSED)
        assert "failed 3 times in a row" in reason


def test_who_is_told_of_a_pause_is_told_the_failure_that_made_it_and_of_none_where_a_person_did(world: World) -> None:
    """Also when the run has moved on before the hook is told, and when a hook that is new is told of the past."""
    workflow = bare(Stage.WAITING, Stage.RETURNED)
    told: list[Any] = []

    @workflow.step(from_=Stage.PACKED, to=Stage.COLLECTED, err_backoff=SECOND, pause_after_err_count=2)
    def collect(run: ParcelRun) -> None:
        if run.record.auto_resumes == 0:
            raise RuntimeError(f"no luck {run.attempt}")

    @workflow.on_pause(err_backoff=2 * HOUR)
    def page(run: ParcelRun) -> None:
        told.append(
            (run.foreign_id, run.failure and (run.failure.name.rpartition(".")[2], run.failure.error, run.failure.attempt))
        )
        if len(told) == 1:
            raise RuntimeError("the pager is off")

    expected = ("bad", ("collect", "RuntimeError: no luck 2", 2))
    with world.engine(workflow) as engine:
        bad = engine.trigger(workflow, "bad", Parcel())
        engine.advance(MINUTE)
        assert told == [expected]
        engine.advance(3 * HOUR)
        assert bad.record().state is S.COMPLETED
        assert told == [expected] * 2

        other = engine.trigger(workflow, "other", Parcel())
        engine.run_until_idle()  # it has failed once
        other.pause("lunch")
        engine.run_until_idle()
        assert told[2:] == [("other", None)]

        engine.replay_hook(workflow, "page")
        assert sorted(told[3:]) == [expected, ("other", None)]


def test_failures_of_timeouts_and_kept_callbacks_are_told_and_those_of_callers_are_theirs(world: World) -> None:
    workflow = parcels()
    errors: list[tuple[str, int]] = []

    @workflow.callback(from_=Stage.WAITING, to=Stage.COLLECTED, err_backoff=HOUR)
    def pick_up(run: ParcelRun) -> None:
        raise RuntimeError("no luck")

    @workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, after=MINUTE, err_backoff=HOUR)
    def nobody_came(run: ParcelRun) -> None:
        raise RuntimeError("no luck")

    @workflow.on_error
    def failed(run: ParcelRun) -> None:
        assert run.failure is not None
        errors.append((run.failure.name.rpartition(".")[2], run.failure.attempt))

    with world.engine(workflow) as engine:
        engine.trigger(workflow, "parcel-1", Parcel())
        engine.callback(workflow, "parcel-1", Stage.WAITING)
        engine.run_until_idle()
        assert errors == [("pick_up", 1)]
        with pytest.raises(RuntimeError, match="no luck"):
            engine.callback(workflow, "parcel-1", Stage.WAITING)
        engine.advance(2 * MINUTE)

        assert errors == [("pick_up", 1), ("nobody_came", 1)]


def test_every_status_that_a_run_enters_is_told_whoever_brought_it_there(world: World) -> None:
    workflow = collected()
    entered: list[tuple[str, int]] = []

    @workflow.on_transition
    def log(run: ParcelRun) -> None:
        entered.append((run.status.value, run.version))

    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
        assert entered == [("packed", 1), ("waiting", 2)]
        handle.pause("lunch")
        handle.resume()
        engine.run_until_idle()
        assert len(entered) == 2, "neither is a transition"
        engine.callback(workflow, "parcel-1", Stage.WAITING, PickUp("Ada"))
        other = waiting(engine, workflow)
        other.move(Stage.COLLECTED, "by hand")
        engine.run_until_idle()

        assert entered[2:] == [("collected", 5), ("packed", 1), ("waiting", 2), ("collected", 3)]


def test_where_nobody_listens_there_is_no_row(memory_world: World) -> None:
    workflow = collected()
    engine = memory_world.engine(workflow)
    with engine:
        handle = waiting(engine, workflow)
        handle.pause("lunch")
        assert handle.pending() == []


# -- until it returns ---------------------------------------------------------------------------------------------------------


def test_a_hook_is_called_until_it_returns_holds_nobody_up_and_never_pauses_its_run(world: World) -> None:
    workflow = collected(defaults={"pause_after_err_count": 3})
    calls: list[tuple[str, int, str]] = []

    @workflow.on_cancel(err_backoff=MINUTE, concurrency=1)
    def tell(run: ParcelRun) -> None:
        calls.append((run.foreign_id, run.attempt, run.idempotency_key))
        if run.foreign_id == "bad" and run.attempt <= 20:
            raise RuntimeError("nobody answers")

    with world.engine(workflow) as engine:
        handles = [waiting(engine, workflow, name) for name in ("bad", "good-1", "good-2")]
        for handle in handles:
            handle.cancel("lost")
        engine.run_until_idle()
        assert sorted(calls)[1:] == sorted((h.foreign_id, 1, f"{h.run_id}:3:cancel:tell") for h in handles[1:])
        (row,) = rows(handles[0], RowKind.HOOK)
        assert (row.attempts, row.last_error) == (1, "RuntimeError: nobody answers")
        engine.advance(20 * MINUTE)

        attempts = [(attempt, key) for name, attempt, key in calls if name == "bad"]
        assert [attempt for attempt, _ in attempts] == list(range(1, 22))
        assert len({key for _, key in attempts}) == 1
        assert handles[0].pending() == []
        process = {"workflow_name": "parcels", "process_name": "cancel-hook-tell-consumer"}
        assert sample(engine, "workflow_process_error_count", **process) == 20


def test_each_hook_has_a_row_of_its_own_and_waits_for_no_other(world: World) -> None:
    workflow = collected()
    told: list[str] = []

    @workflow.on_cancel
    def fails(run: ParcelRun) -> None:
        raise RuntimeError("nobody answers")

    @workflow.on_cancel
    def works(run: ParcelRun) -> None:
        told.append("works")

    @workflow.on_cancel(name="async")
    async def works_too(run: ParcelRun) -> None:
        told.append("async")

    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
        handle.cancel("lost")
        assert len(rows(handle, RowKind.HOOK)) == 3
        engine.run_until_idle()

        assert sorted(told) == ["async", "works"]
        (row,) = rows(handle, RowKind.HOOK)
        assert row.topic == "parcels//cancel/fails"


def test_what_a_hook_is_told_outlives_every_process(world: World) -> None:
    workflow = collected()
    told = listened(workflow)
    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
    handle.cancel("lost")
    world.clock.advance(timedelta(days=30))

    with world.engine(workflow) as engine:
        engine.run_until_idle()
        assert [entry[0] for entry in told] == ["cancel"]


def test_a_worker_that_dies_in_a_hook_is_followed_by_one_that_tells_it_with_the_same_key(world: World) -> None:
    workflow = collected()
    keys: list[str] = []
    engines: list[Any] = []

    @workflow.on_transition
    def tell(run: ParcelRun) -> None:
        if run.status is Stage.WAITING:
            keys.append(run.idempotency_key)
            if len(keys) == 1:
                engines[0].crash()
                raise SystemExit

    engines.append(world.engine(workflow))
    with engines[0] as engine:
        handle = engine.trigger(workflow, "parcel-1", Parcel())
        with pytest.raises(Exception, match="not started"):
            engine.run_until_idle()
    world.outsider(workflow).callback(workflow, "parcel-1", Stage.WAITING, PickUp("Ada"))
    assert handle.record().state is S.COMPLETED, "the run went on meanwhile"
    with world.engine(workflow) as other:
        other.advance(MINUTE)

        assert len(keys) == 2
        assert keys[0] == keys[1] == f"{handle.run_id}:2:transition:tell"


def test_each_failed_attempt_is_told_under_a_key_of_its_own(world: World) -> None:
    workflow = bare(Stage.WAITING, Stage.RETURNED)
    keys: list[str] = []

    @workflow.step(from_=Stage.PACKED, to=Stage.COLLECTED, err_backoff=SECOND, pause_after_err_count=3)
    def collect(run: ParcelRun) -> None:
        raise RuntimeError("no luck")

    @workflow.on_error(err_backoff=SECOND)
    def failed(run: ParcelRun) -> None:
        keys.append(run.idempotency_key)
        if len(keys) % 2:
            raise RuntimeError("tell me again")

    with world.engine(workflow) as engine:
        engine.trigger(workflow, "parcel-1", Parcel())
        engine.advance(MINUTE)

        assert len(keys) == 6
        assert len(set(keys)) == 3
