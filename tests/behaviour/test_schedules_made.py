"""engine.schedules: schedules that are made, looked at and changed while the fleet runs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flowdsl.engine.engine import Engine
from flowdsl.errors import (
    BadDataError,
    ConfigurationError,
    DefinitionError,
    PayloadError,
    ScheduleError,
    ScheduleExistsError,
    ScheduleNotFoundError,
    TimetableError,
)
from flowdsl.model.change import PutItems
from flowdsl.model.item import NewItem
from flowdsl.model.run_state import RunState
from flowdsl.model.schedule import Event, IfRunning, Misfire, ScheduleOrigin, entry_key, slot_kind
from flowdsl.timetable import Gap, OverlapHour
from tests.behaviour.diary import DAY, START, Diary, at, runs, slots
from tests.behaviour.world import HOUR, MINUTE, Status, Thing, World

TEN = "*/10 * * * *"


def empty() -> Diary:
    """The workflow without a schedule in its code."""
    return Diary(None)


def made(engine: Engine, diary: Diary, name: str = "page", spec: str = TEN, **options: Any) -> Any:
    return engine.schedules.create(diary.workflow, name, spec, Thing("stored"), **{"actor": "ada", **options})


def test_a_schedule_made_at_run_time_starts_runs_with_its_object_in_whatever_process_has_the_code(world: World) -> None:
    diary = empty()
    schedule = made(world.outsider(diary.workflow), diary, foreign_id="customer-7")
    with world.engine(empty().workflow) as engine:
        engine.advance(25 * MINUTE)

    assert (schedule.origin, schedule.slot, schedule.created.by) == (ScheduleOrigin.RUNTIME, at("9:10"), "ada")
    assert slots(world) == ["09:10", "09:20"]
    assert {run.foreign_id for run in runs(world)} == {"customer-7"}
    assert all(run.payload is not None and b"stored" in run.payload.data for run in runs(world))


def test_it_keeps_everything_that_was_asked_for(world: World) -> None:
    diary = empty()
    engine = world.outsider(diary.workflow)
    made(
        engine,
        diary,
        "all",
        "0 9 * * 1-5",
        timezone="Europe/London",
        gap=Gap.SKIP,
        overlap_hour=OverlapHour.TWICE,
        misfire=Misfire.ALL,
        misfire_grace=5 * MINUTE,
        max_catch_up=3,
        if_running=IfRunning.WAIT,
        start_status=Status.NEW,
    )
    rule = world.outsider().schedules.get("diary", "all").rule

    assert (rule.spec, rule.timezone, rule.foreign_id, rule.start_status) == ("0 9 * * 1-5", "Europe/London", "all", "new")
    assert (rule.gap, rule.overlap_hour, rule.if_running) == (Gap.SKIP, OverlapHour.TWICE, IfRunning.WAIT)
    assert (rule.misfire, rule.misfire_grace, rule.max_catch_up) == (Misfire.ALL, 5 * MINUTE, 3)


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"spec": "0 0 31 2 *"}, TimetableError, "never fires"),
        ({"spec": "0 0 1 1 * 0 2020"}, TimetableError, "has no time left to come"),
        ({"timezone": "Mars/Base"}, TimetableError, "there is no time zone"),
        ({"misfires": Misfire.ALL}, ConfigurationError, "Did you mean 'misfire'?"),
        ({"name": ""}, BadDataError, "a schedule's name"),
        ({"foreign_id": "\0"}, BadDataError, "foreign_id"),
        ({"obj": None}, PayloadError, "needs an object"),
        ({"obj": "text"}, PayloadError, "not a Thing"),
        ({"start_status": Status.DONE}, DefinitionError, "nothing leaves it"),
        ({"actor": "\0"}, BadDataError, "actor"),
    ],
)
def test_what_cannot_work_is_refused_and_not_stored(
    memory_world: World, given: dict[str, Any], error: type[Exception], says: str
) -> None:
    diary = empty()
    engine = memory_world.outsider(diary.workflow)
    asked: dict[str, Any] = {"name": "page", "spec": TEN, "obj": Thing(), **given}
    with pytest.raises(error, match=says):
        engine.schedules.create(diary.workflow, **asked)
    assert engine.schedules.list() == []


def test_a_workflow_that_is_not_the_engines_is_refused(memory_world: World) -> None:
    with pytest.raises(ConfigurationError, match="is not one of this engine's"):
        made(memory_world.outsider(), empty())


def test_a_name_is_taken_until_its_schedule_is_replaced_or_deleted(world: World) -> None:
    diary = empty()
    engine = world.outsider(diary.workflow)
    made(engine, diary)
    with pytest.raises(ScheduleExistsError, match="Ask to replace it"):
        made(engine, diary, spec="@daily")
    again = made(engine, diary, spec="@daily", replace=True, actor="bob")

    assert (again.rule.spec, again.slot) == ("@daily", START.replace(hour=0) + DAY)
    assert (again.created.by, again.changed.by) == ("ada", "bob")
    engine.schedules.delete("diary", "page")
    assert made(engine, diary).created.by == "ada"


def test_a_replacement_with_the_same_times_keeps_its_place(world: World) -> None:
    diary = empty()
    with world.engine(diary.workflow) as engine:
        made(engine, diary, "page", "0 10 * * *")
        diary.body = lambda run: run.skip()
        engine.advance(59 * MINUTE)
        world.clock.advance(2 * MINUTE)
        made(engine, diary, "page", "0 10 * * *", replace=True, if_running=IfRunning.ALLOW)
        engine.run_until_idle()

    assert [run.foreign_id for run in runs(world)] == ["page@2030-01-07T10:00:00Z"]


def test_code_and_run_time_share_the_table_and_code_wins(world: World) -> None:
    coded = Diary("0 12 * * *")
    with world.engine(coded.workflow) as engine:
        engine.run_until_idle()
        with pytest.raises(ScheduleExistsError, match="It is in the code"):
            made(engine, coded)
        made(engine, coded, "other")
        listed = engine.schedules.list(coded.workflow)
        assert [(each.name, each.origin) for each in listed] == [
            ("other", ScheduleOrigin.RUNTIME),
            ("page", ScheduleOrigin.CODE),
        ]
    with pytest.raises(ScheduleExistsError, match="in other code"):
        made(world.outsider((other := empty()).workflow), other)


def test_a_schedule_of_the_code_takes_the_place_of_one_that_was_made_with_its_name(world: World) -> None:
    old = empty()
    made(world.outsider(old.workflow), old)
    coded = Diary("*/20 * * * *")
    with world.engine(coded.workflow) as engine:
        engine.advance(25 * MINUTE)
        stored = coded.stored(engine)

    assert (stored.origin, stored.object, slots(world)) == (ScheduleOrigin.CODE, None, ["09:20"])


def test_a_paused_schedule_does_not_fire_and_says_who_paused_it_and_why(world: World) -> None:
    diary = Diary()
    with world.engine(diary.workflow) as engine:
        engine.advance(15 * MINUTE)
        paused = engine.schedules.pause(diary.workflow, "page", "inventory", actor="ada").paused
        engine.advance(30 * MINUTE)
        assert slots(world) == ["09:10"]
        assert paused is not None
        assert (paused.by, paused.reason, paused.at) == ("ada", "inventory", at("9:15"))
        with pytest.raises(ScheduleError, match=r"is paused already\. By ada: inventory"):
            engine.schedules.pause(diary.workflow, "page", "again")


def test_resumed_it_begins_with_the_first_slot_after_now(world: World) -> None:
    diary = Diary(misfire=Misfire.ALL)
    with world.engine(diary.workflow) as engine:
        engine.run_until_idle()
        engine.schedules.pause(diary.workflow, "page", "inventory")
        engine.advance(45 * MINUTE)
        assert engine.schedules.resume(diary.workflow, "page").slot == at("9:50")
        engine.advance(10 * MINUTE)
        with pytest.raises(ScheduleError, match="is not paused"):
            engine.schedules.resume(diary.workflow, "page")

    assert slots(world) == ["09:50"]


def test_a_pause_outlives_restarts_and_new_code(world: World) -> None:
    for diary in (Diary(), Diary(), Diary("*/5 * * * *")):
        with world.engine(diary.workflow) as engine:
            engine.run_until_idle()
            if diary.stored(engine).paused is None:
                engine.schedules.pause(diary.workflow, "page", "inventory")
            engine.advance(20 * MINUTE)

    assert slots(world) == []


def test_resuming_a_schedule_that_kept_failing_leaves_the_failing_slot_out(world: World) -> None:
    def poisoned(fire_time: Any) -> Thing:
        if fire_time == at("9:10"):
            raise RuntimeError("never")
        return Thing()

    diary = Diary(make=poisoned)
    with world.engine(diary.workflow) as engine:
        engine.advance(25 * MINUTE)
        assert diary.stored(engine).error is not None
        engine.schedules.pause(diary.workflow, "page", "look at it")
        engine.schedules.resume(diary.workflow, "page")
        engine.advance(10 * MINUTE)

    assert slots(world) == ["09:30"]


def test_a_deleted_schedule_fires_no_more_and_its_object_is_gone(world: World) -> None:
    diary = empty()
    with world.engine(diary.workflow) as engine:
        made(engine, diary)
        engine.advance(15 * MINUTE)
        engine.schedules.delete(diary.workflow, "page", "customer left", actor="bob")
        engine.advance(HOUR)

        assert slots(world) == ["09:10"]
        assert engine.schedules.list() == []
        (gone,) = engine.schedules.list(removed=True)
        assert gone.removed is not None
        assert (gone.removed.by, gone.removed.reason, gone.object) == ("bob", "customer left", None)
        assert engine.schedules.journal("diary", "page")[-1].event == Event.REMOVED
        for verb in (engine.schedules.get, engine.schedules.preview, engine.schedules.delete, engine.schedules.resume):
            with pytest.raises(ScheduleNotFoundError):
                verb("diary", "page")


def test_after_ninety_days_a_deleted_schedule_is_forgotten(world: World) -> None:
    diary = empty()
    with world.engine(diary.workflow) as engine:
        made(engine, diary)
        engine.schedules.delete(diary.workflow, "page")
        engine.advance(89 * DAY)
        assert len(engine.schedules.list(removed=True)) == 1
        engine.advance(2 * DAY)
        assert engine.schedules.list(removed=True) == []
        made(engine, diary)
        engine.advance(10 * MINUTE)

    assert len(runs(world)) == 1


def test_one_of_the_code_is_not_deleted_from_outside(world: World) -> None:
    diary = Diary()
    with world.engine(diary.workflow) as engine:
        engine.run_until_idle()
        with pytest.raises(ScheduleError, match=r"is in the code\. Remove it there, or pause it"):
            engine.schedules.delete(diary.workflow, "page")


def test_a_replacement_that_changes_nothing_is_not_written(world: World) -> None:
    diary = empty()
    engine = world.outsider(diary.workflow)
    first = made(engine, diary)

    assert made(engine, diary, replace=True, actor="bob") == first
    assert [entry.event for entry in engine.schedules.journal("diary", "page")] == [Event.CREATED]
    assert made(engine, diary, replace=True, if_running=IfRunning.WAIT, actor="bob").changed.by == "bob"


def test_a_preview_shows_the_next_firings_in_the_zone(world: World) -> None:
    diary = Diary("0 9 * * 1-5", timezone="Europe/London")
    world.clock.advance(DAY * 60)
    with world.engine(diary.workflow) as engine:
        engine.run_until_idle()
        previewed = engine.schedules.preview(diary.workflow, "page", 25)
        shown = [f"{moment:%a %d %b %H:%M %Z}" for moment in previewed]
        assert shown[:2] == ["Mon 11 Mar 09:00 GMT", "Tue 12 Mar 09:00 GMT"]
        assert shown[-1] == "Fri 12 Apr 09:00 BST"
        engine.schedules.pause(diary.workflow, "page", "look")
        assert engine.schedules.preview(diary.workflow, "page", 25) == previewed
        with pytest.raises(ConfigurationError):
            engine.schedules.preview(diary.workflow, "page", 0)


def test_the_journal_tells_who_did_what_and_when(world: World) -> None:
    diary = empty()
    with world.engine(diary.workflow) as engine:
        made(engine, diary)
        engine.advance(MINUTE)
        engine.schedules.pause("diary", "page", "why not", actor="bob")
        engine.schedules.resume("diary", "page", actor="eve")
        engine.advance(10 * MINUTE)
        journal = engine.schedules.journal("diary", "page")

    assert [(entry.event, entry.by, entry.reason) for entry in journal[:3]] == [
        (Event.CREATED, "ada", ""),
        (Event.PAUSED, "bob", "why not"),
        (Event.RESUMED, "eve", ""),
    ]
    assert journal[1].at == at("9:01")
    assert [(entry.event, entry.revision, entry.schedule) for entry in journal[3:]] == [(Event.STARTED, 4, "page")]


def test_the_journal_tells_of_what_only_newer_code_knows(memory_world: World) -> None:
    diary = empty()
    with memory_world.engine(diary.workflow) as engine:
        schedule = made(engine, diary)
        core = engine._the_core()
        body = b'{"event": "hushed", "at": "2030-01-01T00:00:00Z", "by": "bob", "volume": 3}'
        newer = NewItem(kind=slot_kind("diary"), key=entry_key(schedule.id, 2), body=body)
        core.store.commit([PutItems(change_id=core.ids(), namespace=core.namespace, items=(newer,))])

        assert [(entry.event, entry.by) for entry in engine.schedules.journal("diary", "page")] == [
            ("created", "ada"),
            ("hushed", "bob"),
        ]


def test_every_verb_says_when_there_is_no_such_schedule(memory_world: World) -> None:
    engine = memory_world.outsider(empty().workflow)
    for verb in (engine.schedules.get, engine.schedules.journal, engine.schedules.preview, engine.schedules.delete):
        with pytest.raises(ScheduleNotFoundError, match="diary has no schedule 'page'"):
            verb("diary", "page")
    with pytest.raises(BadDataError, match="needs a reason"):
        engine.schedules.pause("diary", "page", " ")


def test_two_who_change_a_schedule_at_once_both_have_their_way_one_after_the_other(world: World) -> None:
    diary = empty()
    one, two = world.outsider(diary.workflow), world.outsider(diary.workflow)
    made(one, diary)
    commit, once = one.store.commit, [True]

    def overtaken(changes: Any) -> Any:
        if once:
            once.clear()
            made(two, diary, spec="@daily", replace=True, actor="bob")
        return commit(changes)

    one._the_core().committer._store.commit = overtaken  # type: ignore[method-assign]
    paused = one.schedules.pause(diary.workflow, "page", "why not", actor="ada")

    assert (paused.rule.spec, paused.revision) == ("@daily", 3)
    one._the_core().committer._store.commit = commit  # type: ignore[method-assign]


def test_coroutines_have_the_same_verbs(memory_world: World) -> None:
    diary = empty()

    async def use() -> None:
        engine = memory_world.outsider(diary.workflow)
        schedules = engine.aio.schedules
        await schedules.create(diary.workflow, "page", TEN, Thing(), actor="ada")
        assert [each.name for each in await schedules.list()] == ["page"]
        assert (await schedules.get(diary.workflow, "page")).created.by == "ada"
        assert (await schedules.preview("diary", "page", count=2)) == [at("9:10"), at("9:20")]
        await schedules.pause("diary", "page", "why not")
        await schedules.resume("diary", "page", actor="bob")
        handle = await schedules.trigger("diary", "page")
        assert handle is not None
        assert (await handle.record()).state is RunState.INITIATED
        assert len(await schedules.journal("diary", "page")) == 4
        await schedules.delete("diary", "page", reason="done")
        assert await schedules.list() == []
        with pytest.raises(Exception, match=r"engine\.aio\.schedules\.list"):
            engine.schedules.list()

    asyncio.run(use())
