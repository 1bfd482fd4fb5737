"""Schedules: what the calendar starts, when, and what becomes of a slot that cannot have its run."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime
from typing import Any

import pytest

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.errors import StoreUnavailableError
from flowdsl.model.change import StartRun
from flowdsl.model.history import Cause
from flowdsl.model.run_state import RunState
from flowdsl.model.schedule import Event, IfRunning, Misfire
from tests.behaviour.diary import DAY, SCHEDULER, Diary, at, runs, slots, thing
from tests.behaviour.world import HOUR, MINUTE, SECOND, Doctored, Status, Thing, World, sample


def test_a_run_is_started_at_each_time_with_the_object_that_the_function_makes(world: World) -> None:
    diary = Diary()
    with world.engine(diary.workflow) as engine:
        engine.advance(25 * MINUTE)

    first, second = runs(world)
    assert slots(world) == ["09:10", "09:20"]
    assert diary.asked == [at("9:10"), at("9:20")]
    assert (first.foreign_id, first.state, first.created_at) == ("page", RunState.COMPLETED, at("9:10"))
    assert second.payload is not None
    assert b"09:20" in second.payload.data
    assert second.metadata == {"schedule": "page", "slot": "2030-01-07T09:20:00+00:00"}


def test_history_says_which_schedule_started_a_run(world: World) -> None:
    diary = Diary()
    with world.engine(diary.workflow) as engine:
        engine.advance(10 * MINUTE)
        begun = engine.latest(diary.workflow, "page").history()[0]

    assert (begun.cause, begun.name, begun.actor) == (Cause.TRIGGER, "page", "scheduler")


def test_before_an_engine_works_nothing_is_fired_and_a_client_fires_nothing(world: World) -> None:
    diary = Diary()
    client = world.outsider(diary.workflow)
    world.clock.advance(HOUR)

    assert client.schedules.list() == []
    assert runs(world) == []


def test_the_function_is_told_the_time_of_the_slot_in_the_schedules_zone(world: World) -> None:
    diary = Diary("30 5 * * *", timezone="America/New_York")
    with world.engine(diary.workflow) as engine:
        engine.advance(2 * HOUR)

    (asked,) = diary.asked
    assert asked == at("10:30")
    assert asked.isoformat() == "2030-01-07T05:30:00-05:00"


def test_an_async_function_is_awaited(world: World) -> None:
    workflow = Workflow("diary", object_type=Thing, status_type=Status)

    @workflow.step(from_=Status.NEW, to=Status.DONE)
    def work(run: Run[Thing, Status]) -> Status:
        return Status.DONE

    @workflow.schedule("*/10 * * * *", foreign_id="page")
    async def write(fire_time: datetime) -> Thing:
        await asyncio.sleep(0)
        return thing(fire_time)

    with world.engine(workflow) as engine:
        engine.advance(10 * MINUTE)

    assert slots(world) == ["09:10"]


def test_none_skips_a_slot_and_is_counted(world: World) -> None:
    diary = Diary(make=lambda fire_time: None if fire_time.minute == 10 else thing(fire_time))
    with world.engine(diary.workflow) as engine:
        engine.advance(25 * MINUTE)
        stored = diary.stored(engine)

    assert slots(world) == ["09:20"]
    assert (stored.started, stored.skipped) == (1, 1)
    reason = {"reason": "schedule answered none"}
    assert sample(engine, "workflow_process_skipped_events_count", **SCHEDULER, **reason) == 1


def test_a_run_starts_in_the_status_that_was_asked_for(world: World) -> None:
    diary = Diary(None)
    workflow: Any = Workflow("diary", object_type=Thing, status_type=Status, retired=[])
    workflow.step(from_=Status.NEW, to=Status.DONE)(lambda run: Status.DONE)
    workflow.schedule("*/10 * * * *", foreign_id="page", start_status=Status.NEW)(diary.make)
    with world.engine(workflow) as engine:
        engine.advance(10 * MINUTE)

    assert [row.to_status for row in engine.latest(workflow, "page").history()] == ["new", "done"]


# -- what fails -----------------------------------------------------------------------------------------------------------------


def test_a_function_that_fails_is_tried_again_with_backoff_and_its_slot_is_not_lost(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def moody(fire_time: datetime) -> Thing:
        if len(diary.asked) <= 4:
            raise RuntimeError("secret datum")
        return thing(fire_time)

    diary = Diary("0 10 * * *", moody, misfire=Misfire.SKIP, misfire_grace=SECOND)
    with world.engine(diary.workflow) as engine, caplog.at_level(logging.INFO, "flowdsl"):
        engine.advance(HOUR)
        stored = diary.stored(engine)
        assert (stored.slot, stored.attempts) == (at("10:00"), 1)
        assert stored.error == "RuntimeError: secret datum"
        engine.advance(5 * MINUTE)

    assert slots(world) == ["10:00"]
    assert diary.asked == [at("10:00")] * 5
    stored = diary.stored(engine)
    assert (stored.slot, stored.attempts, stored.error) == (at("10:00") + DAY, 0, None)
    assert sample(engine, "workflow_process_error_count", **SCHEDULER) == 4
    assert sample(engine, "workflow_process_retries_count", **SCHEDULER) == 4
    assert "attempt 4" in caplog.text
    assert "secret datum" not in caplog.text


def test_between_two_attempts_more_time_passes_each_time_and_a_restart_does_not_forget_them(world: World) -> None:
    tried: list[datetime] = []

    def failing(fire_time: datetime) -> Thing:
        tried.append(world.clock.now())
        raise RuntimeError("no luck")

    diary = Diary("0 10 * * *", failing)
    with world.engine(diary.workflow) as engine:
        engine.advance(HOUR + 10 * SECOND)
    before = len(tried)
    with world.engine(diary.workflow) as engine:
        engine.advance(2 * HOUR)
        assert diary.stored(engine).attempts == len(tried) > before

    assert tried[0] == at("10:00")
    assert 10 <= len(tried) <= 40, "a second, doubling, with jitter"


def test_whatever_the_function_raises_is_its_own_failure(world: World) -> None:
    def leaving(fire_time: datetime) -> Thing:
        if len(diary.asked) == 1:
            raise SystemExit(3)
        return thing(fire_time)

    diary = Diary("0 10 * * *", leaving)
    with world.engine(diary.workflow) as engine:
        engine.advance(HOUR + MINUTE)

    assert slots(world) == ["10:00"]


def test_an_object_of_another_type_is_a_failure_and_not_stored(world: World) -> None:
    wrong: Any = lambda fire_time: "no Thing"  # noqa: E731
    diary = Diary("0 10 * * *", wrong)
    with world.engine(diary.workflow) as engine:
        engine.advance(HOUR)
        stored = diary.stored(engine)

    assert stored.error is not None
    assert "PayloadError" in stored.error
    assert runs(world) == []


def test_a_slot_whose_trigger_the_store_could_not_take_is_started_later(world: World) -> None:
    away = [True, True, True]

    def commit(changes: Any) -> Any:
        if away and any(isinstance(change, StartRun) for change in changes):
            away.pop()
            raise StoreUnavailableError("the database is away.")
        return world.store.commit(changes)

    diary = Diary("0 10 * * *", misfire=Misfire.SKIP)
    with world.engine(diary.workflow, store=Doctored(world.store, commit=commit)) as engine:
        engine.advance(HOUR)
        assert runs(world) == []
        for _ in range(5):
            engine.advance(SECOND)

    assert away == []
    assert slots(world) == ["10:00"]


def test_while_the_store_is_away_it_is_asked_once_a_second(world: World, caplog: pytest.LogCaptureFixture) -> None:
    asked: list[datetime] = []

    def next_due_item(*args: Any) -> Any:
        asked.append(world.clock.now())
        raise StoreUnavailableError("the database is away.")

    diary = Diary()
    with world.engine(diary.workflow) as engine:
        engine.run_until_idle()
        engine.worker.scheduler._core.store = Doctored(world.store, next_due_item=next_due_item)
        for _ in range(100):
            world.clock.advance(SECOND / 10)
            engine.worker.scheduler.step()
        engine.worker.scheduler._core.store = world.store
        world.clock.advance(SECOND)
        engine.worker.scheduler.step()

    assert 9 <= len(asked) <= 11
    told = [record for record in caplog.records if record.name == "flowdsl.scheduler" and record.levelname == "WARNING"]
    assert [record.getMessage() for record in told] == ["looking for due schedules failed: the database is away."]


# -- slots that were missed -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "fired", "missed"),
    [
        ({}, ["09:10", "09:50"], 3),
        ({"misfire": Misfire.SKIP}, ["09:10"], 4),
        ({"misfire": Misfire.ALL, "if_running": IfRunning.ALLOW}, ["09:10", "09:20", "09:30", "09:40", "09:50"], 0),
        ({"misfire": Misfire.ALL, "max_catch_up": 2, "if_running": IfRunning.ALLOW}, ["09:10", "09:40", "09:50"], 2),
        ({"misfire": Misfire.ALL, "if_running": IfRunning.WAIT}, ["09:10", "09:20", "09:30", "09:40", "09:50"], 0),
    ],
)
def test_slots_that_nobody_was_there_for_go_by_the_misfire_policy(
    world: World, options: dict[str, Any], fired: list[str], missed: int
) -> None:
    diary = Diary(**options)
    with world.engine(diary.workflow) as engine:
        engine.advance(15 * MINUTE)
    world.clock.advance(38 * MINUTE)  # 09:53
    with world.engine(diary.workflow) as engine:
        engine.advance(6 * MINUTE)
        stored = diary.stored(engine)

        started = [entry.slot for entry in engine.schedules.journal(diary.workflow, "page") if entry.event == Event.STARTED]

    assert [f"{slot:%H:%M}" for slot in started if slot is not None] == fired
    assert sorted(slots(world)) == fired
    assert (stored.started, stored.missed, stored.slot) == (len(fired), missed, at("10:00"))


def test_what_is_late_by_less_than_the_grace_is_not_missed(world: World) -> None:
    diary = Diary(misfire=Misfire.SKIP)
    with world.engine(diary.workflow) as engine:
        engine.run_until_idle()
    world.clock.advance(10 * MINUTE + 59 * SECOND)
    with world.engine(diary.workflow) as engine:
        engine.run_until_idle()

    assert slots(world) == ["09:10"]
    assert runs(world)[0].created_at == at("9:10") + 59 * SECOND


def test_the_next_time_is_reckoned_from_the_slot_and_not_from_when_it_was_fired(world: World) -> None:
    diary = Diary("@every 7m")
    with world.engine(diary.workflow) as engine:
        engine.advance(30 * MINUTE)
    late = [run.created_at.replace(microsecond=0).isoformat()[11:16] for run in runs(world)]

    assert slots(world) == late
    assert {int(text[3:]) % 7 for text in slots(world)} == {int(late[0][3:]) % 7}


# -- a run before that has not ended --------------------------------------------------------------------------------------------


def slow(diary: Diary, world: World, moment: datetime) -> Diary:
    """The diary's runs do not end before that moment: their step fails until then."""

    def body(run: Run[Thing, Status]) -> Status:
        if world.clock.now() < moment:
            raise RuntimeError("not yet")
        return Status.DONE

    diary.body = body
    return diary


def test_a_slot_whose_run_before_has_not_ended_is_passed_over_and_counted(world: World) -> None:
    diary = slow(Diary(), world, at("9:35"))
    with world.engine(diary.workflow) as engine:
        engine.advance(34 * MINUTE)
        stored = diary.stored(engine)
        assert (stored.started, stored.busy) == (1, 2)
        journal = engine.schedules.journal(diary.workflow, "page")

    assert slots(world) == ["09:10"]
    assert [entry.event for entry in journal] == [Event.CREATED, Event.STARTED, Event.BUSY, Event.BUSY]
    assert journal[-1].run_id == runs(world)[0].run_id
    reason = {"reason": "previous run unfinished"}
    assert sample(engine, "workflow_process_skipped_events_count", **SCHEDULER, **reason) == 2
    assert diary.asked == [at("9:10")], "the function is not called for a slot that cannot have a run"


def test_a_slot_that_waits_is_started_soon_after_the_run_before_has_ended(world: World) -> None:
    diary = slow(Diary(if_running=IfRunning.WAIT), world, at("9:22"))
    with world.engine(diary.workflow) as engine:
        engine.advance(21 * MINUTE)
        stored = diary.stored(engine)
        assert (stored.slot, stored.waiting_for) == (at("9:20"), runs(world)[0].run_id)
        engine.latest(diary.workflow, "page").cancel("enough")
        engine.advance(16 * SECOND)

        assert diary.stored(engine).waiting_for is None

    assert slots(world) == ["09:10", "09:20"]
    assert at("9:21") <= runs(world)[1].created_at <= at("9:21") + 15 * SECOND


def test_slots_that_came_while_one_waited_are_late_and_go_by_the_misfire_policy(world: World) -> None:
    diary = slow(Diary(if_running=IfRunning.WAIT), world, at("23:00"))
    with world.engine(diary.workflow) as engine:
        engine.advance(45 * MINUTE)
        engine.latest(diary.workflow, "page").cancel("enough")
        engine.advance(MINUTE)
        assert slots(world) == ["09:10", "09:20"]
        diary.stored(engine)
        engine.latest(diary.workflow, "page").cancel("enough")
        engine.advance(MINUTE)

        assert slots(world) == ["09:10", "09:20", "09:40"], "of 09:30 and 09:40 the later"
        assert diary.stored(engine).missed == 1


def test_allowed_each_slot_has_a_foreign_id_of_its_own(world: World) -> None:
    diary = slow(Diary(if_running=IfRunning.ALLOW), world, at("23:00"))
    with world.engine(diary.workflow) as engine:
        engine.advance(25 * MINUTE)

    assert [run.foreign_id for run in runs(world)] == ["page@2030-01-07T09:10:00Z", "page@2030-01-07T09:20:00Z"]
    assert {run.state for run in runs(world)} == {RunState.INITIATED}


def test_a_run_that_somebody_triggered_counts_as_the_run_before_and_shifts_nothing(world: World) -> None:
    diary = slow(Diary(), world, at("9:15"))
    with world.engine(diary.workflow) as engine:
        engine.advance(4 * MINUTE)
        engine.trigger(diary.workflow, "page", Thing("by hand"))
        engine.advance(27 * MINUTE)

        assert diary.stored(engine).busy == 1
    assert slots(world) == ["09:20", "09:30"]
