"""What a timeout may answer, and what becomes of one that fails."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flowdsl.model.outcome import Outcome
from flowdsl.model.pending import RowKind
from flowdsl.model.run_state import RunState
from tests.behaviour.parcels import DAY, Parcel, ParcelRun, Stage, parcels, rows, waiting
from tests.behaviour.world import HOUR, MINUTE, SECOND, TICK, World, sample

S = RunState


# -- answers ------------------------------------------------------------------------------------------------------------------


def test_a_timeout_that_skips_is_over_and_keeps_nothing(world: World) -> None:
    workflow = parcels(Stage.COLLECTED)
    calls: list[int] = []

    @workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, after=HOUR)
    def look(run: ParcelRun) -> Outcome:
        calls.append(1)
        run.object.notes.append("dropped")
        return run.skip()

    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
        engine.advance(30 * DAY)
        handle.pause("lunch")
        handle.resume()
        engine.advance(30 * DAY)

        assert calls == [1]
        assert (handle.record().status, handle.run().object) == (Stage.WAITING, Parcel())
        assert [row.due_at for row in rows(handle, RowKind.TIMEOUT)] == [None]
        assert sample(engine, "workflow_swept_rows_count", workflow_name="parcels") in (None, 0), "it is not made again"


def test_a_timeout_may_store_the_object_and_begin_again(world: World) -> None:
    workflow = parcels(Stage.COLLECTED)

    @workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, after=HOUR)
    def remind(run: ParcelRun) -> Stage | Outcome:
        run.object.notes.append(run.idempotency_key)
        return run.save_and_repeat() if len(run.object.notes) < 3 else Stage.RETURNED

    @workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, after=DAY)
    def expiry(run: ParcelRun) -> None:
        pass

    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
        expires = {row.receiver: row.due_at for row in rows(handle, RowKind.TIMEOUT)}["expiry"]
        for count in (1, 2):
            engine.advance(HOUR)
            assert len(handle.run().object.notes) == count
            timers = {row.receiver: row.due_at for row in rows(handle, RowKind.TIMEOUT)}
            assert timers == {"remind": world.clock.now() + HOUR, "expiry": expires}
        engine.advance(HOUR)

        assert (handle.record().status, len(set(handle.run().object.notes))) == (Stage.RETURNED, 3)
        assert [row.cause.value for row in handle.history()] == ["trigger", "step", "repeat", "repeat", "timeout"]
        assert handle.record().visit == 3


def test_a_computed_timeout_that_repeats_works_its_moment_out_anew(world: World) -> None:
    workflow = parcels(Stage.COLLECTED)
    waits = iter([HOUR, 2 * HOUR])

    @workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, at=lambda run, now: now + next(waits))
    def remind(run: ParcelRun) -> Stage | Outcome:
        run.object.notes.append("again")
        return run.save_and_repeat() if len(run.object.notes) < 2 else Stage.RETURNED

    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
        engine.advance(3 * HOUR - TICK)
        assert handle.run().object.notes == ["again"]
        engine.advance(TICK)

        assert handle.record().status == Stage.RETURNED


def test_a_timeout_that_pauses_is_asked_again_after_a_resume(world: World) -> None:
    workflow = parcels(Stage.COLLECTED)

    @workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, after=HOUR)
    def look(run: ParcelRun) -> Stage | Outcome:
        run.object.notes.append("asked")
        return Stage.RETURNED if len(run.object.notes) == 2 else run.pause("look at it")

    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
        engine.advance(DAY)
        assert (handle.record().state, handle.record().reason) == (S.PAUSED, "look at it")
        assert handle.run().object.notes == ["asked"]
        handle.resume()
        engine.run_until_idle()

        assert (handle.record().state, handle.run().object.notes) == (S.COMPLETED, ["asked", "asked"])


def test_a_timeout_may_cancel(world: World) -> None:
    workflow = parcels(Stage.COLLECTED)

    @workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, after=HOUR)
    def look(run: ParcelRun) -> Outcome:
        run.object.notes.append("kept")
        return run.cancel("nobody came")

    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
        engine.advance(HOUR)

        record = handle.record()
        assert (record.state, record.reason, handle.run().object.notes) == (S.CANCELLED, "nobody came", ["kept"])
        assert handle.pending() == []


def test_a_timeout_is_judged_as_a_step_is(world: World) -> None:
    workflow = parcels(Stage.COLLECTED)

    @workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, after=HOUR, err_backoff=DAY)
    def look(run: ParcelRun) -> Any:
        return Stage.PACKED

    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
        engine.advance(2 * HOUR)

        (timer,) = rows(handle, RowKind.TIMEOUT)
        assert "UndeclaredDestinationError: timeout" in (timer.last_error or "")
        assert handle.record().status == Stage.WAITING


def test_a_timeout_is_told_the_time_by_the_clock(world: World) -> None:
    workflow = parcels(Stage.COLLECTED)
    told: list[datetime] = []

    def deadline(run: ParcelRun, now: datetime) -> datetime:
        told.append(now)
        return now + HOUR

    @workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, at=deadline)
    def look(run: ParcelRun) -> None:
        told.append(run.updated_at)

    world.clock.advance(DAY)
    with world.engine(workflow) as engine:
        arrived = world.clock.now()
        waiting(engine, workflow)
        engine.advance(HOUR)

        assert told == [arrived, arrived]


# -- failures -----------------------------------------------------------------------------------------------------------------


def test_a_timeout_that_fails_is_tried_again_after_its_backoff_counted_and_seen(world: World) -> None:
    workflow = parcels(Stage.COLLECTED)
    tries: list[tuple[datetime, int, str]] = []

    @workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, after=HOUR, err_backoff=MINUTE)
    def look(run: ParcelRun) -> None:
        tries.append((world.clock.now(), run.attempt, run.idempotency_key))
        if len(tries) < 3:
            raise RuntimeError(f"no luck at {world.clock.now()}")

    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
        begun = world.clock.now()
        engine.advance(HOUR)
        (timer,) = rows(handle, RowKind.TIMEOUT)
        assert (timer.attempts, (timer.last_error or "")[:21]) == (1, "RuntimeError: no luck")
        engine.advance(2 * MINUTE)

        assert [(at - begun, attempt) for at, attempt, _ in tries] == [
            (HOUR, 1),
            (HOUR + MINUTE, 2),
            (HOUR + 2 * MINUTE, 3),
        ]
        assert len({key for *_, key in tries}) == 1
        assert (handle.record().status, handle.history()[-1].attempt) == (Stage.RETURNED, 3)
        process = {"workflow_name": "parcels", "process_name": "waiting-timeout-look-consumer"}
        assert sample(engine, "workflow_process_error_count", **process) == 2
        assert sample(engine, "workflow_process_retries_count", **process) == 2


def test_a_timeout_that_fails_until_its_run_is_paused_is_tried_again_after_a_resume(world: World) -> None:
    workflow = parcels(Stage.COLLECTED)
    attempts: list[int] = []

    @workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, after=HOUR, err_backoff=SECOND, pause_after_err_count=3)
    def look(run: ParcelRun) -> None:
        attempts.append(run.attempt)
        if len(attempts) <= 3:
            raise RuntimeError("no luck")

    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
        engine.advance(HOUR + MINUTE)
        record = handle.record()
        assert (record.state, record.last_error, attempts) == (S.PAUSED, "RuntimeError: no luck", [1, 2, 3])
        assert "timeout" in (record.reason or "")
        assert "look failed 3 times in a row" in (record.reason or "")
        (timer,) = rows(handle, RowKind.TIMEOUT)
        assert (timer.due_at, timer.owner) == (None, None)

        handle.resume()
        engine.run_until_idle()

        assert (attempts, handle.record().state) == ([1, 2, 3, 1], S.COMPLETED)


def test_a_run_that_a_timeout_paused_is_resumed_by_itself(world: World) -> None:
    workflow = parcels(Stage.COLLECTED)
    attempts: list[int] = []

    @workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, after=HOUR, pause_after_err_count=1)
    def look(run: ParcelRun) -> None:
        attempts.append(run.attempt)
        if len(attempts) == 1:
            raise RuntimeError("no luck")

    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
        engine.advance(HOUR)
        assert handle.record().state is S.PAUSED
        engine.advance(HOUR + MINUTE)

        assert handle.record().state is S.COMPLETED


def test_a_timeout_that_fails_holds_no_other_up(world: World) -> None:
    workflow = parcels(Stage.COLLECTED)

    @workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, after=HOUR, concurrency=1)
    def look(run: ParcelRun) -> None:
        if run.foreign_id == "bad":
            raise RuntimeError("no luck")

    with world.engine(workflow) as engine:
        bad = waiting(engine, workflow, "bad")
        good = [waiting(engine, workflow, f"good-{number}") for number in range(10)]
        engine.advance(HOUR)

        assert {handle.record().state for handle in good} == {S.COMPLETED}
        assert bad.record().status == Stage.WAITING
