"""Timeouts: what moves a run when its time has come."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from flowdsl.errors import DefinitionError, OptionError
from flowdsl.model.history import Cause
from flowdsl.model.pending import RowKind
from flowdsl.model.run_state import RunState
from tests.behaviour.parcels import DAY, Parcel, ParcelRun, Stage, bare, parcels, rows, timed, waiting
from tests.behaviour.world import HOUR, SECOND, TICK, World, sample

S = RunState


# -- when ---------------------------------------------------------------------------------------------------------------------


def test_a_run_that_stays_for_the_duration_is_moved_then_and_not_a_moment_earlier(world: World) -> None:
    workflow = timed()
    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
        engine.advance(DAY - TICK)
        assert handle.record().status == Stage.WAITING
        engine.advance(TICK)

        run = handle.run()
        assert (run.status, run.state, run.object.notes) == (Stage.RETURNED, S.COMPLETED, ["sent back"])
        row = handle.history()[-1]
        assert (row.cause, row.from_status, row.to_status) == (Cause.TIMEOUT, "waiting", "returned")
        assert row.name.endswith("nobody_came")
        assert handle.pending() == [], "the timer is over with the move"


def test_a_timer_is_stored_with_the_transition_into_its_status(world: World) -> None:
    workflow = timed()
    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)

        (timer,) = rows(handle, RowKind.TIMEOUT)

        record = handle.record()
        assert (timer.receiver, timer.version, timer.visit) == ("nobody_came", record.version, record.visit)
        assert timer.due_at == record.updated_at + DAY
        assert len(handle.history()) == 2, "setting it changed nothing"


def test_a_timer_of_the_first_status_is_stored_with_the_trigger(world: World) -> None:
    workflow = bare(Stage.WAITING, Stage.COLLECTED)

    @workflow.timeout(from_=Stage.PACKED, to=Stage.RETURNED, at=lambda run, now: now + HOUR)
    def forgotten(run: ParcelRun) -> None:
        pass

    outside = world.outsider(workflow)
    one = outside.trigger(workflow, "one", Parcel())
    several = outside.trigger_many(workflow, [("two", Parcel()), ("three", Parcel())])
    assert [rows(handle, RowKind.TIMEOUT)[0].due_at for handle in (one, *several)] == [world.clock.now() + HOUR] * 3

    with world.engine(workflow) as engine:
        engine.advance(HOUR)

        assert {handle.record().state for handle in (one, *several)} == {S.COMPLETED}
        assert [row.from_state for row in one.history()] == [S.UNKNOWN, S.INITIATED]


def test_a_moment_may_be_worked_out_from_the_run_as_it_arrives(world: World) -> None:
    workflow = bare(Stage.COLLECTED)
    seen: list[Any] = []

    @workflow.step(from_=Stage.PACKED, to=Stage.WAITING)
    def pack(run: ParcelRun) -> None:
        run.object.deadline = datetime(2030, 1, 8, 12, tzinfo=timezone(timedelta(hours=2)))

    def deadline(run: ParcelRun, now: datetime) -> datetime | None:
        seen.append((now, run.status, run.version, run.state, run.record.visit))
        return run.object.deadline

    @workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, at=deadline)
    def too_late(run: ParcelRun) -> None:
        pass

    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
        record = handle.record()
        assert seen == [(record.updated_at, Stage.WAITING, record.version, record.state, record.visit)]
        assert rows(handle, RowKind.TIMEOUT)[0].due_at == datetime(2030, 1, 8, 10, tzinfo=UTC)
        engine.advance(datetime(2030, 1, 8, 10, tzinfo=UTC) - world.clock.now() - TICK)
        assert handle.record().status == Stage.WAITING
        engine.advance(TICK)

        assert handle.record().status == Stage.RETURNED
        assert len(seen) == 1


def test_a_moment_may_be_worked_out_by_a_coroutine(world: World) -> None:
    workflow = parcels(Stage.COLLECTED)

    async def deadline(run: ParcelRun, now: datetime) -> datetime:
        return now + HOUR

    @workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, at=deadline)
    async def too_late(run: ParcelRun) -> None:
        run.object.notes.append("async")

    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
        engine.advance(HOUR)

        assert (handle.run().status, handle.run().object.notes) == (Stage.RETURNED, ["async"])


def test_a_moment_that_has_passed_is_now(world: World) -> None:
    workflow = parcels(Stage.COLLECTED)

    @workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, at=lambda run, now: now - DAY)
    def too_late(run: ParcelRun) -> None:
        pass

    with world.engine(workflow) as engine:
        handle = engine.trigger(workflow, "parcel-1", Parcel())
        engine.run_until_idle()

        assert handle.record().status == Stage.RETURNED


def test_a_moment_of_none_is_no_timer_and_everybody_sees_that_it_was_asked(world: World) -> None:
    workflow = parcels(Stage.COLLECTED)

    @workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, at=lambda run, now: run.object.deadline)
    def too_late(run: ParcelRun) -> None:
        raise AssertionError("there is no timer")

    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
        engine.advance(timedelta(days=1000))

        assert handle.record().status == Stage.WAITING
        assert [row.due_at for row in rows(handle, RowKind.TIMEOUT)] == [None]
        assert sample(engine, "workflow_swept_rows_count", workflow_name="parcels") in (None, 0)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (datetime(2030, 1, 8, tzinfo=UTC).replace(tzinfo=None), "at= of timeout too_late .* is no aware datetime"),
        ("tomorrow", "answered a str that is no aware datetime"),
        (RuntimeError("no calendar"), "RuntimeError: no calendar"),
        ("pause", "at= of timeout too_late called run.pause"),
    ],
)
def test_a_moment_that_cannot_be_worked_out_is_a_failed_attempt_of_whoever_makes_the_transition(
    world: World, answer: object, error: str
) -> None:
    workflow = bare(Stage.COLLECTED)
    tries: list[int] = []

    @workflow.step(from_=Stage.PACKED, to=Stage.WAITING, err_backoff=SECOND)
    def pack(run: ParcelRun) -> None:
        run.object.notes.append("packed")

    def deadline(run: ParcelRun, now: datetime) -> Any:
        tries.append(1)
        if len(tries) == 3:
            return now + HOUR
        if isinstance(answer, Exception):
            raise answer
        return run.pause("later") and now if answer == "pause" else answer

    @workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, at=deadline)
    def too_late(run: ParcelRun) -> None:
        pass

    with world.engine(workflow) as engine:
        handle = engine.trigger(workflow, "parcel-1", Parcel())
        engine.run_until_idle()
        (row,) = handle.pending()
        assert (row.kind, row.attempts) == (RowKind.STEP, 1)
        assert re.search(error, row.last_error or "")
        engine.advance(2 * SECOND)

        assert (handle.record().status, handle.run().object.notes) == (Stage.WAITING, ["packed"])
        assert handle.history()[-1].attempt == 3


def test_an_error_of_a_moment_goes_to_whoever_triggers_and_nothing_is_started(world: World) -> None:
    workflow = bare(Stage.WAITING, Stage.COLLECTED)

    def deadline(run: ParcelRun, now: datetime) -> datetime:
        raise RuntimeError("no calendar")

    @workflow.timeout(from_=Stage.PACKED, to=Stage.RETURNED, at=deadline)
    def too_late(run: ParcelRun) -> None:
        pass

    engine = world.outsider(workflow)
    with pytest.raises(RuntimeError, match="no calendar"):
        engine.trigger(workflow, "parcel-1", Parcel())

    assert engine.runs(workflow).runs == []


def test_a_clock_of_ours_that_is_set_forward_makes_no_computed_timeout_early(memory_world: World) -> None:
    class Ours:
        """A process's own clocks: the time of day may be set, the other goes on."""

        ahead = timedelta(0)

        def now(self) -> datetime:
            return memory_world.clock.now() + self.ahead

        def monotonic(self) -> float:
            return memory_world.clock.monotonic()

    ours: Any = Ours()
    workflow = bare(Stage.WAITING, Stage.COLLECTED)

    @workflow.timeout(from_=Stage.PACKED, to=Stage.RETURNED, at=lambda run, now: run.object.deadline)
    def too_late(run: ParcelRun) -> None:
        pass

    engine = memory_world.outsider(workflow)
    engine._clock = engine.clock = ours
    deadline = memory_world.clock.now() + HOUR
    engine.trigger(workflow, "before", Parcel(deadline=deadline))
    ours.ahead = timedelta(minutes=30)
    handle = engine.trigger(workflow, "after", Parcel(deadline=deadline))

    assert rows(handle, RowKind.TIMEOUT)[0].due_at == deadline


# -- declarations -------------------------------------------------------------------------------------------------------------


def test_a_timeout_has_either_a_duration_or_a_moment() -> None:
    workflow = parcels()
    wrong: Any = 5
    with pytest.raises(DefinitionError, match="either after= or at="):
        workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED)
    with pytest.raises(DefinitionError, match="either after= or at="):
        workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, after=DAY, at=lambda run, now: now)
    with pytest.raises(DefinitionError, match="after=0:00:00 is not above zero"):
        workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, after=timedelta(0))
    with pytest.raises(DefinitionError, match="after=5 is not a duration"):
        workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, after=wrong)
    with pytest.raises(DefinitionError, match="at=5 is not a function"):
        workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, at=wrong)
    with pytest.raises(OptionError, match=r"unknown option 'parallel_count'\. It is for steps\. Known options: "):
        workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, after=DAY, parallel_count=2)  # type: ignore[call-arg]


def test_a_function_of_the_wrong_shape_is_found_when_the_workflow_is_checked() -> None:
    workflow = parcels(Stage.COLLECTED)
    wrong: Any = lambda run: None  # noqa: E731

    @workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, at=wrong)
    def too_late(run: ParcelRun) -> None:
        pass

    (found,) = workflow.check()
    assert (found.code, "at= of timeout too_late" in found.message) == ("parameters", True)


def test_two_timeouts_of_one_name_are_found_when_the_workflow_is_checked() -> None:
    workflow = timed()

    @workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, after=HOUR, name="nobody_came")
    def again(run: ParcelRun) -> None:
        pass

    assert [found.code for found in workflow.check()] == ["duplicate-timeout"]
