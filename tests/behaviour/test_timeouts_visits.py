"""Timeouts belong to one visit of one run, and stand still while it is paused."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from flowdsl.model.history import Cause
from flowdsl.model.outcome import Outcome
from flowdsl.model.pending import RowKind
from flowdsl.model.run_state import RunState
from tests.behaviour.parcels import DAY, Parcel, ParcelRun, PickUp, Stage, bare, collected, parcels, rows, timed, waiting, way
from tests.behaviour.world import HOUR, MINUTE, SECOND, TICK, World

S = RunState


# -- whose --------------------------------------------------------------------------------------------------------------------


def test_a_run_that_leaves_in_time_leaves_no_timer_behind(world: World) -> None:
    workflow = collected()

    @workflow.timeout(from_=Stage.WAITING, to=Stage.COLLECTED, after=DAY)
    def nobody_came(run: ParcelRun) -> None:
        raise AssertionError("somebody did")

    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
        engine.advance(DAY - SECOND)
        engine.callback(workflow, "parcel-1", Stage.WAITING, PickUp("Ada"))
        assert handle.pending() == []
        engine.advance(DAY)

        assert way(handle)[-1] == ("callback", "collected")


@pytest.mark.parametrize("end", ["cancel", "complete"])
def test_a_later_run_of_the_foreign_id_never_meets_the_timer_of_an_earlier_one(world: World, end: str) -> None:
    workflow = timed()
    with world.engine(workflow) as engine:
        first = waiting(engine, workflow)
        engine.advance(DAY / 2)
        first.cancel("lost") if end == "cancel" else first.move(Stage.RETURNED, "by hand")
        assert rows(first, RowKind.TIMEOUT) == []
        second = waiting(engine, workflow)
        engine.advance(DAY - TICK)
        assert second.record().status == Stage.WAITING
        engine.advance(TICK)

        assert second.record().status == Stage.RETURNED
        assert Cause.TIMEOUT not in [row.cause for row in first.history()]


def test_a_later_visit_of_the_status_has_a_timer_of_its_own(world: World) -> None:
    workflow = parcels(Stage.COLLECTED, allow_cycles=True)

    @workflow.callback(from_=Stage.WAITING, to=[Stage.WAITING, Stage.RETURNED])
    def not_yet(run: ParcelRun) -> Stage:
        return Stage.WAITING

    @workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, after=DAY)
    def nobody_came(run: ParcelRun) -> None:
        pass

    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
        for _ in range(3):
            engine.advance(DAY / 2)
            engine.callback(workflow, "parcel-1", Stage.WAITING)
            assert len(rows(handle, RowKind.TIMEOUT)) == 1
        engine.advance(DAY - TICK)
        assert handle.record().status == Stage.WAITING
        engine.advance(TICK)

        assert handle.record().status == Stage.RETURNED


def test_a_run_that_was_moved_by_hand_has_the_timers_of_its_new_status(world: World) -> None:
    workflow = timed()
    with world.engine(workflow) as engine:
        outside = world.outsider(workflow)
        handle = outside.trigger(workflow, "parcel-1", Parcel())

        handle.move(Stage.WAITING, "by hand")
        engine.advance(DAY)

        assert handle.record().status == Stage.RETURNED


def test_a_repeat_of_the_step_leaves_the_timer_of_the_visit_as_it_is(world: World) -> None:
    workflow = bare(Stage.WAITING)
    tries: list[datetime] = []

    @workflow.step(from_=Stage.PACKED, to=Stage.COLLECTED, consume_lag=HOUR)
    def look(run: ParcelRun) -> Outcome:
        tries.append(world.clock.now())
        return run.save_and_repeat()

    @workflow.timeout(from_=Stage.PACKED, to=Stage.RETURNED, after=3 * HOUR + MINUTE)
    def enough(run: ParcelRun) -> None:
        pass

    with world.engine(workflow) as engine:
        handle = engine.trigger(workflow, "parcel-1", Parcel())
        engine.advance(DAY)

        assert len(tries) == 3
        assert handle.record().status == Stage.RETURNED
        assert handle.history()[-1].at == handle.record().created_at + 3 * HOUR + MINUTE


# -- pauses -------------------------------------------------------------------------------------------------------------------


def test_a_pause_stops_the_clock_and_a_resume_lets_it_run_on_with_what_was_left(world: World) -> None:
    workflow = timed()
    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
        engine.advance(DAY / 4)
        handle.pause("holidays")
        (timer,) = rows(handle, RowKind.TIMEOUT)
        assert timer.due_at is None
        engine.advance(30 * DAY)
        assert handle.record().state is S.PAUSED
        handle.resume()
        engine.advance(DAY / 4)
        handle.pause("more holidays")
        engine.advance(30 * DAY)
        handle.resume()
        engine.advance(DAY / 2 - TICK)
        assert handle.record().status == Stage.WAITING
        engine.advance(TICK)

        assert handle.record().status == Stage.RETURNED
        assert [row.cause.value for row in handle.history()].count("timeout") == 1


def test_pauses_and_resumes_make_no_more_timers(world: World) -> None:
    workflow = timed()
    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
        for _ in range(3):
            handle.pause("why not")
            handle.resume()
            engine.run_until_idle()

        assert len(rows(handle, RowKind.TIMEOUT)) == 1


def test_a_timer_that_was_due_during_a_pause_is_handled_at_the_resume(world: World) -> None:
    workflow = timed()
    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
    world.clock.advance(2 * DAY)  # nobody worked
    handle.pause("at last")
    with world.engine(workflow) as engine:
        engine.advance(DAY)
        assert handle.record().state is S.PAUSED
        handle.resume()
        engine.run_until_idle()

        assert handle.record().status == Stage.RETURNED


# -- several ------------------------------------------------------------------------------------------------------------------


def test_of_several_timeouts_each_due_timer_calls_its_own_function_alone(world: World) -> None:
    workflow = parcels(Stage.COLLECTED)
    called: list[tuple[str, timedelta]] = []
    start = world.clock.now()

    @workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, after=HOUR)
    def reminder(run: ParcelRun) -> Outcome:
        called.append(("reminder", world.clock.now() - start))
        return run.skip()

    @workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, after=DAY)
    def expiry(run: ParcelRun) -> None:
        called.append(("expiry", world.clock.now() - start))

    @workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, after=7 * DAY, name="never-reached")
    def last(run: ParcelRun) -> None:
        raise AssertionError("the run has left")

    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
        assert sorted(row.receiver for row in rows(handle, RowKind.TIMEOUT)) == ["expiry", "never-reached", "reminder"]
        engine.advance(30 * DAY)

        assert called == [("reminder", HOUR), ("expiry", DAY)]
        assert way(handle)[-1] == ("timeout", "returned")
        assert handle.pending() == []


def test_of_two_that_are_due_at_once_one_moves_the_run(world: World) -> None:
    workflow = parcels()

    @workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, after=HOUR)
    def one(run: ParcelRun) -> None:
        run.object.notes.append("one")

    @workflow.timeout(from_=Stage.WAITING, to=Stage.COLLECTED, after=HOUR)
    def other(run: ParcelRun) -> None:
        run.object.notes.append("other")

    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
        engine.advance(HOUR)

        assert len(handle.run().object.notes) == 1
        assert [row.cause.value for row in handle.history()] == ["trigger", "step", "timeout"]
        assert handle.pending() == []
