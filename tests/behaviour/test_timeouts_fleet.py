"""Timeouts beside steps, and in a fleet."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from flowdsl.errors import FlowError
from flowdsl.model.callback_result import CallbackOutcome
from flowdsl.model.outcome import Outcome
from flowdsl.model.pending import RowKind
from flowdsl.model.run_state import RunState
from flowdsl.testing.stepped import SteppedEngine
from tests.behaviour.parcels import DAY, Parcel, ParcelRun, PickUp, Stage, bare, collected, parcels, rows, timed, waiting, way
from tests.behaviour.world import HOUR, MINUTE, SECOND, TICK, World, sample

S = RunState


# -- beside a step ------------------------------------------------------------------------------------------------------------


def test_a_callback_that_comes_while_a_timeout_is_called_is_first_and_the_only_one(world: World) -> None:
    workflow = collected()
    results: list[CallbackOutcome] = []

    @workflow.timeout(from_=Stage.WAITING, to=Stage.COLLECTED, after=HOUR)
    def nobody_came(run: ParcelRun) -> None:
        outcome = world.outsider(workflow).callback(workflow, "parcel-1", Stage.WAITING, PickUp("Ada")).outcome
        results.append(outcome)

    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
        engine.advance(HOUR + MINUTE)

        assert results == [CallbackOutcome.APPLIED]
        assert way(handle)[-1] == ("callback", "collected")
        assert handle.pending() == []


def test_a_timeout_of_a_status_with_a_step_ends_its_retries(world: World) -> None:
    workflow = bare(Stage.WAITING)

    @workflow.step(from_=Stage.PACKED, to=Stage.COLLECTED, pause_after_err_count=None)
    def collect(run: ParcelRun) -> None:
        raise RuntimeError("nobody home")

    @workflow.timeout(from_=Stage.PACKED, to=Stage.RETURNED, after=DAY)
    def enough(run: ParcelRun) -> None:
        pass

    with world.engine(workflow) as engine:
        handle = engine.trigger(workflow, "parcel-1", Parcel())
        engine.advance(2 * DAY)

        assert way(handle) == [("trigger", "packed"), ("timeout", "returned")]
        assert handle.history()[-1].at == handle.record().created_at + DAY
        assert handle.pending() == []


def test_a_timeout_that_is_due_during_a_step_waits_for_it_without_a_call(world: World) -> None:
    workflow = bare(Stage.WAITING)
    calls: list[str] = []
    handles: list[Any] = []

    @workflow.step(from_=Stage.PACKED, to=Stage.COLLECTED)
    def slow(run: ParcelRun) -> Outcome | None:
        calls.append("step begins")
        world.clock.advance(HOUR)
        with world.engine(workflow) as other:
            other.advance(10 * SECOND)
            assert handles[0].record().version == 1
        calls.append("step ends")
        return run.skip() if run.foreign_id == "skips" else None

    @workflow.timeout(from_=Stage.PACKED, to=Stage.RETURNED, after=MINUTE)
    def enough(run: ParcelRun) -> None:
        calls.append("timeout")

    with world.engine(workflow, lapse=10 * HOUR) as engine:
        handles.append(engine.trigger(workflow, "moves", Parcel()))
        engine.run_until_idle()
        assert (calls, handles[0].record().status) == (["step begins", "step ends"], Stage.COLLECTED)
        calls.clear()
        handles[0] = engine.trigger(workflow, "skips", Parcel())
        engine.advance(10 * SECOND)

        assert calls == ["step begins", "step ends", "timeout"]
        assert handles[0].record().status == Stage.RETURNED


def test_a_pause_that_waits_for_the_step_stops_the_timer_that_its_commit_sets(world: World) -> None:
    workflow = bare(Stage.COLLECTED)

    @workflow.step(from_=Stage.PACKED, to=Stage.WAITING)
    def pack(run: ParcelRun) -> None:
        assert world.outsider(workflow).handle(run.run_id).pause("lunch").requested is not None

    @workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, after=DAY)
    def nobody_came(run: ParcelRun) -> None:
        pass

    with world.engine(workflow) as engine:
        handle = engine.trigger(workflow, "parcel-1", Parcel())
        engine.advance(2 * DAY)
        assert (handle.record().state, handle.record().status) == (S.PAUSED, Stage.WAITING)
        handle.resume()
        engine.advance(DAY - TICK)
        assert handle.record().status == Stage.WAITING
        engine.advance(TICK)

        assert handle.record().status == Stage.RETURNED


# -- the fleet ----------------------------------------------------------------------------------------------------------------


def test_a_timer_outlives_every_process_and_is_handled_late_rather_than_not(world: World) -> None:
    workflow = timed()
    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
    world.clock.advance(3 * DAY)

    with world.engine(workflow) as other:
        other.run_until_idle()
        assert handle.record().status == Stage.RETURNED


def test_a_worker_that_dies_in_a_timeout_is_followed_by_one_that_calls_it_under_the_same_key(world: World) -> None:
    workflow = parcels(Stage.COLLECTED)
    engines: list[SteppedEngine] = []
    keys: list[tuple[int, str]] = []

    @workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, after=HOUR)
    def nobody_came(run: ParcelRun) -> None:
        keys.append((run.attempt, run.idempotency_key))
        run.object.notes.append("sent back")
        if len(keys) == 1:
            engines[0].crash()
            raise SystemExit

    engines.append(world.engine(workflow))
    with engines[0] as engine:
        handle = waiting(engine, workflow)
        with pytest.raises(FlowError, match="not started"):
            engine.advance(HOUR)
    assert handle.record().status == Stage.WAITING
    with world.engine(workflow) as other:
        other.advance(MINUTE)

        assert [attempt for attempt, _ in keys] == [1, 2]
        assert keys[0][1] == keys[1][1]
        assert (handle.record().status, handle.run().object.notes) == (Stage.RETURNED, ["sent back"])
        assert [row.cause.value for row in handle.history()].count("timeout") == 1


def test_any_number_of_instances_handle_due_timers_and_each_timer_is_handled_once(world: World) -> None:
    workflow = timed(concurrency=2)
    with world.engine(workflow) as one, world.engine(workflow) as other:
        handles = [waiting(one, workflow, f"parcel-{number}") for number in range(12)]
        world.clock.advance(DAY)
        for engine in (one, other):
            engine.worker.dispatcher.wake_all()
        while any([one.step(), other.step()]):
            pass

        assert [handle.run().object.notes for handle in handles] == [["sent back"]] * 12
        actors = {handle.history()[-1].actor for handle in handles}
        assert len(actors) == 2, "both had a part in it"


def test_timeouts_need_nothing_to_be_switched_on_and_have_a_process_name_of_their_own(memory_world: World) -> None:
    workflow = timed(name="nobody-came")
    with memory_world.engine(workflow) as engine:
        assert "parcels/waiting-timeout-nobody-came-consumer" in engine.states()


def test_a_due_timer_has_the_lag_since_it_was_due_and_not_since_it_was_set(world: World) -> None:
    workflow = timed(after=3 * DAY, lag_alert=HOUR)
    labels = {"workflow_name": "parcels", "process_name": "waiting-timeout-nobody_came-consumer"}
    with world.engine(workflow) as engine:
        waiting(engine, workflow, "punctual")
        engine.advance(3 * DAY)
        assert sample(engine, "workflow_process_lag_alert", **labels) == 0
        waiting(engine, workflow, "late")
    world.clock.advance(3 * DAY + 2 * HOUR)
    with world.engine(workflow) as engine:
        engine.worker.dispatcher.step()
        assert sample(engine, "workflow_process_lag_seconds", **labels) == 7200
        assert sample(engine, "workflow_process_lag_alert", **labels) == 1
        engine.advance(SECOND)
        assert sample(engine, "workflow_process_lag_alert", **labels) == 0, "nothing is late any more"


def test_a_status_that_gets_a_timeout_later_times_out_the_runs_that_are_there_already(world: World) -> None:
    before = parcels(Stage.RETURNED)

    @before.callback(from_=Stage.WAITING, to=Stage.COLLECTED)
    def pick_up(run: ParcelRun) -> None:
        pass

    with world.engine(before) as engine:
        handle = waiting(engine, before)
        paused = waiting(engine, before, "paused")
        paused.pause("lunch")
    world.clock.advance(DAY)
    workflow = timed()
    with world.engine(workflow) as engine:
        deployed = world.clock.now()
        engine.advance(MINUTE)
        (timer,) = rows(handle, RowKind.TIMEOUT)
        assert timer.due_at is not None
        assert deployed + DAY <= timer.due_at <= deployed + DAY + MINUTE, "counted from when somebody knew of it"
        assert sample(engine, "workflow_swept_rows_count", workflow_name="parcels") == 1
        assert rows(paused, RowKind.TIMEOUT) == []
        paused.resume()
        engine.advance(2 * DAY)

        assert {handle.record().status, paused.record().status} == {Stage.RETURNED}
        assert sample(engine, "workflow_swept_rows_count", workflow_name="parcels") == 2


def test_a_timeout_that_is_added_to_others_is_given_to_the_runs_that_are_there_already(world: World) -> None:
    with world.engine(timed(after=3 * DAY)) as engine:
        handle = waiting(engine, engine.workflows[0])
    (first,) = rows(handle, RowKind.TIMEOUT)
    world.clock.advance(DAY)
    asked: list[object] = []
    workflow = parcels(Stage.COLLECTED)

    def never(run: ParcelRun, now: datetime) -> None:
        asked.append(run.foreign_id)

    @workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, after=DAY)
    def remind(run: ParcelRun) -> Outcome:
        run.object.notes.append("reminded")
        return run.skip()

    @workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, at=never)
    def perhaps(run: ParcelRun) -> None:
        pass

    @workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, after=3 * DAY)
    def nobody_came(run: ParcelRun) -> None:
        run.object.notes.append("sent back")

    with world.engine(workflow) as engine:
        engine.advance(MINUTE)
        timers = {row.receiver: row for row in rows(handle, RowKind.TIMEOUT)}
        assert set(timers) == {"remind", "perhaps", "nobody_came"}
        assert timers["nobody_came"] == first, "its time runs on"
        assert sample(engine, "workflow_swept_rows_count", workflow_name="parcels") == 2

        engine.advance(DAY + 10 * MINUTE)
        assert len(rows(handle, RowKind.TIMEOUT)) == 3, "one that has had its turn is not given again"
        engine.advance(DAY)
        assert handle.record().status == Stage.RETURNED
        assert asked == ["parcel-1"]


def test_a_timeout_of_another_name_is_another_and_the_row_of_the_old_one_goes_with_the_visit(world: World) -> None:
    with world.engine(timed(name="before")) as engine:
        handle = waiting(engine, engine.workflows[0])
    world.clock.advance(DAY)
    with world.engine(timed(name="after")) as engine:
        engine.advance(MINUTE)
        assert sorted(row.receiver for row in rows(handle, RowKind.TIMEOUT)) == ["after", "before"]
        engine.advance(HOUR)
        assert handle.record().status == Stage.WAITING, "nobody calls the one that no code has"
        engine.advance(DAY)

        assert handle.record().status == Stage.RETURNED
        assert handle.pending() == []


def test_a_timeout_that_is_gone_from_the_code_harms_nobody(world: World) -> None:
    with world.engine(timed()) as engine:
        handle = waiting(engine, engine.workflows[0])
    after = collected()
    with world.engine(after) as engine:
        engine.advance(3 * DAY)
        assert handle.record().status == Stage.WAITING
        engine.callback(after, "parcel-1", Stage.WAITING, PickUp("Ada"))
        assert handle.pending() == []
