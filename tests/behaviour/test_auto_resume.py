"""Runs that errors paused, and when they are tried again by themselves."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from flowdsl.dsl.run import Run
from flowdsl.engine.auto_resume import AutoResume
from flowdsl.errors import ConfigurationError, IllegalMoveError, StoreUnavailableError
from flowdsl.model.change import MoveRun
from flowdsl.model.explanation import Because
from flowdsl.model.history import Cause
from flowdsl.model.run_state import RunState
from tests.behaviour.world import HOUR, MINUTE, SECOND, Answer, Doctored, Job, Status, Thing, World, failing, trigger
from tests.unit.engine.script import Order, Script
from tests.unit.engine.script import Status as OrderStatus

DAY = timedelta(days=1)


def test_unset_a_run_that_errors_paused_is_resumed_after_an_hour_and_three_times_at_most(world: World) -> None:
    job = Job(world.clock, failing, own={"pause_after_err_count": 1})
    with world.engine(job.workflow) as engine:
        (handle,) = trigger(engine, job)
        engine.advance(HOUR - SECOND)
        assert len(job.begun) == 1
        engine.advance(10 * SECOND)
        assert len(job.begun) == 2
        engine.advance(7 * DAY)

        assert len(job.begun) == 4
        assert handle.record().state is RunState.PAUSED


@pytest.mark.parametrize(
    ("policy", "waits"),
    [
        (AutoResume(), [1, 2, 4]),
        (AutoResume(after=2 * HOUR, limit=4, multiplier=3, cap=DAY), [2, 6, 18, 24]),
        (AutoResume(limit=2, multiplier=1), [1, 1]),
        (AutoResume(limit=0), []),
    ],
)
def test_the_wait_grows_from_one_automatic_resume_to_the_next(memory_world: World, policy: AutoResume, waits: list[int]) -> None:
    job = Job(memory_world.clock, failing, own={"pause_after_err_count": 1})
    with memory_world.engine(job.workflow, auto_resume=policy) as engine:
        trigger(engine, job)
        engine.advance(30 * DAY)

        # the auto-resumer looks every five seconds
        assert [round(wait / HOUR) for wait in job.waits] == waits
        assert all(wait - round(wait / HOUR) * HOUR <= 5 * SECOND for wait in job.waits)


def test_a_status_reached_by_a_resume_begins_to_count_anew(memory_world: World) -> None:
    script = Script(RuntimeError("no luck"), OrderStatus.PAID, pause_after_err_count=1)
    with memory_world.engine(script.workflow) as engine:
        handle = engine.trigger(script.workflow, "o", Order(1))
        engine.advance(30 * MINUTE)
        assert handle.record().auto_resumes == 0
        engine.advance(HOUR)

        assert [row.reason for row in handle.history() if row.cause is Cause.AUTO_RESUME] == ["automatic resume 1"]
        assert handle.record().auto_resumes == 0


def test_a_run_that_its_own_step_paused_is_never_resumed(world: World) -> None:
    job = Job(world.clock, lambda run: run.pause("look at this"))
    with world.engine(job.workflow) as engine:
        (handle,) = trigger(engine, job)
        engine.advance(7 * DAY)

        assert len(job.begun) == 1
        assert (handle.record().state, handle.record().reason) == (RunState.PAUSED, "look at this")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"after": 3600}, "is not a duration"),
        ({"after": timedelta(0)}, "would not wait"),
        ({"limit": -1}, "is negative"),
        ({"multiplier": 0.5}, "is not from 1"),
        ({"multiplier": float("nan")}, "is not from 1"),
        ({"cap": MINUTE}, "is below after"),
    ],
)
def test_a_policy_that_cannot_work_is_refused(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        AutoResume(**values)


def test_switched_off_a_run_that_errors_paused_stays_paused(world: World) -> None:
    job = Job(world.clock, failing, own={"pause_after_err_count": 1})
    with world.engine(job.workflow, auto_resume=AutoResume(after=None)) as engine:
        (handle,) = trigger(engine, job)
        engine.advance(7 * DAY)

        assert len(job.begun) == 1
        assert handle.record().state is RunState.PAUSED


@pytest.mark.parametrize("verb", ["taken over", "resumed and paused again", "cancelled"])
def test_a_person_who_acts_before_the_resumption_has_the_last_word(world: World, verb: str) -> None:
    job = Job(world.clock, failing, own={"pause_after_err_count": 1})
    with world.engine(job.workflow, handoff=False) as engine:
        (handle,) = trigger(engine, job)
        engine.run_until_idle()
        if verb == "cancelled":
            handle.cancel("enough")
        elif verb == "taken over":
            handle.pause("wait for the boss", actor="ada")
            assert handle.explain().reasons[0].because is Because.PAUSED
            with pytest.raises(IllegalMoveError, match="paused already"):
                handle.pause("me too")
        else:
            handle.resume()
            handle.pause("wait for the boss")
        before = handle.record()
        attempts = len(job.begun)

        engine.advance(7 * DAY)

        assert handle.record() == before
        assert len(job.begun) == attempts


def test_an_item_of_an_earlier_pause_does_not_cut_a_later_one_short(world: World) -> None:
    job = Job(world.clock, failing, own={"pause_after_err_count": 1})
    with world.engine(job.workflow) as engine:
        (handle,) = trigger(engine, job)
        engine.advance(50 * MINUTE)
        handle.resume()
        engine.advance(MINUTE)
        assert len(job.begun) == 2

        engine.advance(20 * MINUTE)  # an hour and more after the first pause

        assert len(job.begun) == 2
        engine.advance(40 * MINUTE)
        assert len(job.begun) == 3


def test_a_pause_that_the_store_could_not_take_is_stored_later_and_the_step_not_called_for_it(world: World) -> None:
    job = Job(world.clock, failing, own={"pause_after_err_count": 1})
    (handle,) = trigger(world.outsider(job.workflow), job)
    away = [True, True]

    def commit(changes: Any) -> Any:
        if away and any(isinstance(change, MoveRun) and change.origin.cause is Cause.ERRORS for change in changes):
            away.pop()
            raise StoreUnavailableError("the database is away.")
        return world.store.commit(changes)

    store = Doctored(world.store, commit=commit)
    with world.engine(job.workflow, store=store, auto_resume=AutoResume(after=None)) as engine:
        engine.run_until_idle()
        assert handle.record().state is RunState.INITIATED

        engine.advance(5 * SECOND)

        assert not away
        assert handle.record().state is RunState.PAUSED
        assert len(job.begun) == 1


def test_a_resumption_that_the_store_could_not_take_is_made_later(world: World) -> None:
    job = Job(world.clock, failing, own={"pause_after_err_count": 1})
    away = [True, True]

    def commit(changes: Any) -> Any:
        if away and any(isinstance(change, MoveRun) and change.origin.cause is Cause.AUTO_RESUME for change in changes):
            away.pop()
            raise StoreUnavailableError("the database is away.")
        return world.store.commit(changes)

    with world.engine(job.workflow, store=Doctored(world.store, commit=commit)) as engine:
        trigger(engine, job)
        engine.advance(HOUR + 5 * SECOND)
        assert len(job.begun) == 1

        for _ in range(5):
            engine.advance(5 * SECOND)

        assert not away
        assert len(job.begun) == 2


@pytest.mark.parametrize(("verb", "state"), [("pause", RunState.PAUSED), ("cancel", RunState.CANCELLED)])
@pytest.mark.parametrize("ending", ["fails once too often", "pauses itself"])
def test_what_a_person_asked_for_during_a_step_outlives_the_steps_own_pause(
    world: World, verb: str, state: RunState, ending: str
) -> None:
    def body(run: Run[Thing, Status]) -> Answer:
        if run.attempt == 2:
            getattr(engine.handle(run.run_id), verb)("asked for", actor="Ada")
        return run.pause("of its own") if ending == "pauses itself" and run.attempt == 2 else failing(run)

    job = Job(world.clock, body, own={"pause_after_err_count": 2, "err_backoff": SECOND})
    with world.engine(job.workflow) as engine:
        (handle,) = trigger(engine, job)
        engine.advance(7 * DAY)

        record = handle.record()
        assert (record.state, record.reason, record.actor, record.requested) == (state, "asked for", "Ada", None)
        assert len(job.begun) == 2, "a run that a person paused does not resume by itself"
