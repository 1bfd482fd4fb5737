"""Schedules beside each other, across changed clocks, and what is told of them."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from flowdsl.dsl.workflow import Workflow
from flowdsl.model.change import PutItems
from flowdsl.model.item import NewItem
from flowdsl.model.schedule import Event, schedule_kind
from flowdsl.timetable import Gap, OverlapHour
from tests.behaviour.diary import DAY, SCHEDULER, START, Diary, at, runs, slots, thing
from tests.behaviour.world import HOUR, MINUTE, SECOND, Status, Thing, World, sample


def test_a_schedule_follows_the_clocks_of_its_zone_when_they_are_changed(world: World) -> None:
    world.clock.advance(datetime(2030, 3, 30, 12, tzinfo=START.tzinfo) - START)  # the day before summer time in Berlin
    daily = Diary("30 2 * * *", timezone="Europe/Berlin", gap=Gap.NEXT)
    with world.engine(daily.workflow) as engine:
        engine.advance(2 * DAY)

    assert [asked.isoformat() for asked in daily.asked] == ["2030-03-31T03:00:00+02:00", "2030-04-01T02:30:00+02:00"]


@pytest.mark.parametrize(("overlap_hour", "count"), [(OverlapHour.ONCE, 1), (OverlapHour.AUTO, 1), (OverlapHour.TWICE, 2)])
def test_an_hour_that_comes_twice_goes_by_the_policy(world: World, overlap_hour: OverlapHour, count: int) -> None:
    world.clock.advance(datetime(2030, 10, 26, 12, tzinfo=START.tzinfo) - START)
    diary = Diary("30 2 * * *", timezone="Europe/Berlin", overlap_hour=overlap_hour)
    with world.engine(diary.workflow) as engine:
        engine.advance(DAY)

    assert len(runs(world)) == count


def test_a_schedule_whose_years_are_over_rests(world: World) -> None:
    diary = Diary("0 10 7 1 * 0 2030")
    with world.engine(diary.workflow) as engine:
        engine.advance(800 * DAY)
        stored = diary.stored(engine)

    assert slots(world) == ["10:00"]
    assert (stored.slot, stored.active) == (None, False)


def test_schedules_of_several_workflows_fire_beside_each_other(world: World) -> None:
    first, second = Diary("*/10 * * * *"), Workflow("log", object_type=Thing, status_type=Status)
    second.step(from_=Status.NEW, to=Status.DONE)(lambda run: Status.DONE)
    second.schedule("*/15 * * * *", foreign_id="page")(thing)
    second.schedule("0 10 * * *", foreign_id="other")(thing)
    with world.engine(first.workflow, second) as engine:
        engine.advance(HOUR)
        listed = [(schedule.workflow, schedule.name, schedule.started) for schedule in engine.schedules.list()]

    assert listed == [("diary", "page", 6), ("log", "other", 1), ("log", "page", 4)]


def test_a_schedule_whose_code_is_elsewhere_keeps_nobody_waiting(world: World) -> None:
    elsewhere = Workflow("elsewhere", object_type=Thing, status_type=Status)
    elsewhere.step(from_=Status.NEW, to=Status.DONE)(lambda run: Status.DONE)
    elsewhere.schedule("* * * * *", foreign_id="x")(thing)
    with world.engine(elsewhere) as engine:
        engine.run_until_idle()
    diary = Diary()
    with world.engine(diary.workflow) as engine:
        engine.advance(25 * MINUTE)

    assert slots(world) == ["09:10", "09:20"]
    assert runs(world)[0].created_at == at("9:10")


def test_what_became_of_a_slot_is_kept_for_a_day_and_then_forgotten(world: World) -> None:
    diary = Diary("0 * * * *")
    with world.engine(diary.workflow) as engine:
        engine.advance(3 * DAY)
        journal = engine.schedules.journal(diary.workflow, "page")

    assert journal[0].event == Event.CREATED, "what people and deployments did is kept for longer"
    assert 24 <= len(journal) <= 27


def test_of_a_schedule_that_fires_seldom_the_last_twenty_slots_are_kept(memory_world: World) -> None:
    diary = Diary("0 0 * * 1")
    with memory_world.engine(diary.workflow) as engine:
        engine.advance(40 * 7 * DAY)

        assert 21 <= len(engine.schedules.journal(diary.workflow, "page")) <= 23


def test_a_journal_names_the_instance_and_the_run(world: World) -> None:
    diary = Diary()
    with world.engine(diary.workflow) as engine:
        engine.advance(10 * MINUTE)
        entry = engine.schedules.journal(diary.workflow, "page")[-1]

        assert (entry.event, entry.slot, entry.run_id) == (Event.STARTED, at("9:10"), runs(world)[0].run_id)
        assert entry.by in {instance.owner for instance in world.store.instances("default")}


def test_the_lateness_of_the_last_slot_is_published(world: World) -> None:
    diary = Diary()
    with world.engine(diary.workflow) as engine:
        engine.run_until_idle()
    world.clock.advance(10 * MINUTE + 20 * SECOND)
    with world.engine(diary.workflow) as engine:
        engine.run_until_idle()

    assert sample(engine, "workflow_process_lag_seconds", **SCHEDULER) == pytest.approx(20, abs=1)


def test_a_schedule_of_newer_code_is_left_alone_and_what_it_stored_survives(world: World) -> None:
    diary = Diary(None)
    with world.engine(diary.workflow) as engine:
        engine.schedules.create(diary.workflow, "page", "*/10 * * * *", Thing())
        item = world.store.item("default", schedule_kind("diary"), "page")
        assert item is not None
        newer = json.loads(item.body)
        newer["colour"] = "red"
        newer["rule"]["weather"] = "fine"
        strange = {**newer, "name": "strange", "rule": {**newer["rule"], "misfire": "pray"}}
        items = (
            NewItem(kind=item.kind, key="page", body=json.dumps(newer).encode(), delay=10 * MINUTE, replace=True),
            NewItem(kind=item.kind, key="strange", body=json.dumps(strange).encode(), delay=SECOND),
        )
        world.store.commit([PutItems(change_id="x", namespace="default", items=items)])
        engine.advance(12 * MINUTE)
        kept = world.store.item("default", schedule_kind("diary"), "page")
        left = world.store.item("default", schedule_kind("diary"), "strange")

        assert slots(world) == ["09:10"]
        assert kept is not None
        assert left is not None
        assert (json.loads(kept.body)["colour"], json.loads(kept.body)["rule"]["weather"]) == ("red", "fine")
        assert json.loads(left.body) == strange
        assert [each.name for each in engine.schedules.list()] == ["page"]
