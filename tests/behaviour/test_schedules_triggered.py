"""engine.schedules.trigger: a run of a schedule now, by hand."""

from __future__ import annotations

from typing import Any

import pytest

from flowdsl.engine.schedule_book import ScheduleBook
from flowdsl.errors import ConfigurationError, ScheduleNotFoundError, WorkflowInProgressError
from flowdsl.model.schedule import Event
from tests.behaviour.diary import Diary, at, runs
from tests.behaviour.world import MINUTE, Thing, World


def test_triggered_by_hand_it_starts_a_run_and_its_next_slot_comes_as_it_would_have(world: World) -> None:
    diary = Diary()
    with world.engine(diary.workflow) as engine:
        engine.advance(4 * MINUTE)
        handle = engine.schedules.trigger(diary.workflow, "page", actor="ada")
        assert handle is not None
        assert handle.record().metadata == {"schedule": "page"}
        assert handle.history()[0].actor == "ada"
        assert diary.stored(engine).slot == at("9:10")
        last = engine.schedules.journal(diary.workflow, "page")[-1]
        assert (last.event, last.by, last.run_id, last.at) == (Event.TRIGGERED, "ada", handle.run_id, at("9:04"))
        engine.advance(8 * MINUTE)

    assert [run.created_at for run in runs(world)] == [at("9:04"), at("9:10")]
    assert diary.asked == [at("9:04"), at("9:10")]


def test_triggering_by_hand_says_when_it_cannot_or_the_function_wants_no_run(world: World) -> None:
    diary = Diary()
    diary.body = lambda run: run.skip()
    with world.engine(diary.workflow) as engine:
        engine.run_until_idle()
        first = engine.schedules.trigger(diary.workflow, "page")
        with pytest.raises(WorkflowInProgressError) as refused:
            engine.schedules.trigger(diary.workflow, "page")
        assert first is not None
        assert refused.value.run_id == first.run_id
        diary.make = lambda fire_time: None
        assert engine.schedules.trigger(diary.workflow, "page") is None
        with pytest.raises(ConfigurationError, match="is not one of this engine's"):
            world.outsider().schedules.trigger("diary", "page")
        with pytest.raises(ScheduleNotFoundError):
            engine.schedules.trigger(diary.workflow, "nobody")
        noted = [entry for entry in engine.schedules.journal(diary.workflow, "page") if entry.event == Event.TRIGGERED]
        assert [entry.run_id for entry in noted] == [first.run_id], "what started nothing is not noted"


def test_triggering_by_hand_leaves_a_paused_schedule_paused_and_a_failed_slot_its_next_try(world: World) -> None:
    diary = Diary()

    def fails(fire_time: Any) -> Thing:
        raise ValueError("not yet")

    with world.engine(diary.workflow) as engine:
        diary.make = fails
        engine.advance(11 * MINUTE)
        before = diary.stored(engine)
        diary.make = lambda fire_time: Thing()
        engine.schedules.trigger(diary.workflow, "page")
        tried = diary.stored(engine)
        engine.schedules.pause(diary.workflow, "page", "look")
        engine.run_until_idle()
        engine.schedules.trigger(diary.workflow, "page")
        assert diary.stored(engine).paused is not None

    assert (tried.slot, tried.attempts, tried.revision) == (before.slot, before.attempts, before.revision + 1)
    assert before.attempts > 0


def test_a_trigger_by_hand_that_somebody_is_quicker_than_is_made_again(memory_world: World, monkeypatch: Any) -> None:
    diary = Diary()
    with memory_world.engine(diary.workflow) as engine:
        engine.run_until_idle()
        noted = ScheduleBook.noted
        raced: list[Any] = []

        def race(book: ScheduleBook, *arguments: Any) -> Any:
            found = noted(book, *arguments)
            if not raced:
                raced.append(engine.schedules.pause(diary.workflow, "page", "look"))
            return found

        monkeypatch.setattr(ScheduleBook, "noted", race)
        assert engine.schedules.trigger(diary.workflow, "page") is not None
        events = [entry.event for entry in engine.schedules.journal(diary.workflow, "page")]

    assert events == [Event.CREATED, Event.PAUSED, Event.TRIGGERED]
    assert len(runs(memory_world)) == 1
