"""Why a run is where it is: each reason, as a sentence and as data."""

from __future__ import annotations

import asyncio
import os
import platform
from datetime import timedelta
from enum import StrEnum
from typing import Any

import msgspec
import pytest

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.auto_resume import AutoResume
from flowdsl.engine.handle import RunHandle
from flowdsl.errors import RunNotFoundError
from flowdsl.model.explanation import Because, Explanation
from flowdsl.model.run_state import RunState
from tests.behaviour.world import HOUR, MINUTE, SECOND, Answer, Job, Status, Thing, World, failing, says_what_it_consumes, trigger

NEVER = AutoResume(after=None)


def text_of(handle: RunHandle[Any, Any]) -> str:
    return str(handle.explain())


def reasons(explanation: Explanation) -> list[Because]:
    return [reason.because for reason in explanation.reasons]


def at(world: World, after: timedelta = timedelta(0)) -> str:
    return (world.clock.now() + after).strftime("%Y-%m-%d %H:%M:%SZ")


def test_a_run_whose_step_nobody_takes_because_nobody_is_there(world: World) -> None:
    job = Job(world.clock)
    (handle,) = trigger(world.outsider(job.workflow), job)
    since = at(world)
    world.clock.advance(MINUTE)

    explanation = handle.explain()

    assert reasons(explanation) == [Because.DUE, Because.NO_INSTANCE]
    assert (
        str(explanation) == f"Step work is due since {since} and in nobody's hands. No instance is alive: nobody works on runs."
    )
    assert explanation.reasons[1].remedy == "Start one with the workflow's code: flowdsl run MODULE:ENGINE."
    assert (explanation.run_id, explanation.status, explanation.state) == (handle.run_id, "new", "initiated")


def test_a_reason_that_two_things_have_is_said_once(world: World) -> None:
    job = Job(world.clock)

    @job.workflow.on_pause
    def tell(run: Run[Thing, Status]) -> None: ...

    @job.workflow.on_pause
    def tell_too(run: Run[Thing, Status]) -> None: ...

    (handle,) = trigger(world.outsider(job.workflow), job)
    handle.pause("wait")

    assert reasons(handle.explain()) == [Because.PAUSED, Because.HOOK, Because.NO_INSTANCE, Because.HOOK]


def test_a_run_whose_step_no_live_instance_consumes(world: World) -> None:
    job = Job(world.clock)

    class Other(StrEnum):
        A = "a"
        B = "b"

    other = Workflow("others", object_type=Thing, status_type=Other)

    @other.step(from_=Other.A, to=Other.B)
    def go(run: Run[Thing, Other]) -> None: ...

    (handle,) = trigger(world.outsider(job.workflow), job)
    with world.engine(other) as stranger:
        assert reasons(handle.explain()) == [Because.DUE], "it has not said yet what it consumes"
        says_what_it_consumes(world, stranger)
        assert "1 instance alive, of which none consumes it." in text_of(handle)
        with world.engine(job.workflow) as taker:
            says_what_it_consumes(world, taker)
            assert reasons(handle.explain()) == [Because.DUE], "now somebody will take it"


def test_a_run_whose_consumer_role_nobody_holds(world: World) -> None:
    job = Job(world.clock, own={"parallel_count": 1})
    (handle,) = trigger(world.outsider(job.workflow), job)
    with world.engine(job.workflow) as one, world.engine(job.workflow) as two:
        says_what_it_consumes(world, one, two)
        assert reasons(handle.explain()) == [Because.DUE], "the first holds it"
        one.worker.roles.resign()
        says_what_it_consumes(world, one, two)

        assert "2 instances alive, of which none consumes it. Nobody holds any of its 1 consumer role." in text_of(handle)


def test_a_run_behind_others(world: World) -> None:
    job = Job(world.clock)
    (handle, *_) = trigger(world.outsider(job.workflow), job, count=4)
    world.clock.advance(90 * SECOND)
    with world.engine(job.workflow):
        explanation = handle.explain()

    assert reasons(explanation) == [Because.DUE, Because.BEHIND]
    assert "3 other runs due there as well, the first for 1m30s; 1 instance to take them." in str(explanation)


def test_a_run_whose_step_is_being_executed_and_is_to_be_paused(world: World) -> None:
    said: list[Explanation] = []

    def body(run: Run[Thing, Status]) -> Answer:
        handle = engine.handle(run.run_id)
        handle.pause("look at this", actor="Ada")
        said.append(handle.explain())
        return Status.DONE

    job = Job(world.clock, body)
    with world.engine(job.workflow) as engine:
        trigger(engine, job)
        engine.run_until_idle()

    assert reasons(said[0]) == [Because.EXECUTING, Because.REQUESTED]
    text = str(said[0])
    assert text.startswith("Step work is being executed by instance ")
    assert f"(process {os.getpid()} on {platform.node()}), attempt 1. Unless it is heard of before, it counts as gone at " in text
    assert said[0].reasons[0].at is not None
    assert said[0].reasons[0].at - said[0].now <= 30 * SECOND, "the lapse of its heartbeat"
    assert text.endswith("A pause by Ada waits for the commit of what is being executed: look at this.")


def test_a_run_whose_worker_is_gone(world: World) -> None:
    job = Job(world.clock)
    with world.engine(job.workflow) as engine:
        (handle,) = trigger(engine, job)  # handed over and not begun
        engine.crash()
    world.clock.advance(10 * MINUTE)

    explanation = handle.explain()

    assert reasons(explanation) == [Because.CLAIM_LAPSED]
    assert "which is gone: another instance frees and takes it." in str(explanation)


def test_a_run_whose_step_is_tried_again(world: World) -> None:
    job = Job(world.clock, failing, own={"err_backoff": HOUR, "pause_after_err_count": 5})
    with world.engine(job.workflow) as engine:
        (handle,) = trigger(engine, job)
        engine.advance(HOUR)
        due = at(world, HOUR)

        explanation = handle.explain()

    (reason,) = explanation.reasons
    assert (reason.because, reason.at) == (Because.RETRYING, world.clock.now() + HOUR)
    assert reason.sentence == (
        f"Step work is tried again at {due}, attempt 3 of 5, after 2 failed attempts; the last error was RuntimeError: no luck."
    )
    assert reason.remedy == "flowdsl retry, or handle.retry(), runs the step now."


def test_a_run_that_waits_for_its_lag(world: World) -> None:
    job = Job(world.clock, own={"consume_lag": 5 * MINUTE})
    with world.engine(job.workflow) as engine:
        (handle,) = trigger(engine, job)

        assert text_of(handle) == f"Step work is not due before {at(world, 5 * MINUTE)}: its consume_lag of 5m00s is not over."


def test_a_run_whose_step_answered_skip(world: World) -> None:
    job = Job(world.clock, lambda run: run.skip())
    with world.engine(job.workflow) as engine:
        (handle,) = trigger(engine, job)
        engine.run_until_idle()

        explanation = handle.explain()

    assert reasons(explanation) == [Because.PARKED]
    assert str(explanation) == "Step work answered skip: nothing happens to the run until something else moves it."


def test_a_run_that_errors_paused_and_when_it_is_resumed_by_itself(world: World) -> None:
    job = Job(world.clock, failing, own={"pause_after_err_count": 1})
    with world.engine(job.workflow, auto_resume=AutoResume(limit=1)) as engine:
        (handle,) = trigger(engine, job)
        engine.run_until_idle()
        first = handle.explain()
        engine.advance(2 * HOUR)
        second = handle.explain()

    assert reasons(first) == [Because.PAUSED_BY_ERRORS, Because.AUTO_RESUME]
    assert "failed once; the last error was RuntimeError: no luck." in str(first)
    assert first.reasons[1].at == first.since + HOUR
    assert str(second).endswith("It is not going to be resumed by itself. 1 automatic resume in this status came to nothing.")


@pytest.mark.parametrize(
    ("verb", "says"),
    [
        ("pause", "Ada paused it at {}: look at this."),
        ("cancel", "Ada cancelled it at {}: look at this."),
    ],
)
def test_a_run_that_a_person_stopped(world: World, verb: str, says: str) -> None:
    job = Job(world.clock)
    (handle,) = trigger(world.outsider(job.workflow), job)
    getattr(handle, verb)("look at this", actor="Ada")

    assert text_of(handle) == says.format(at(world))


@pytest.mark.parametrize(("verb", "says"), [("pause", "paused"), ("cancel", "cancelled")])
def test_a_run_that_its_own_step_stopped(world: World, verb: str, says: str) -> None:
    job = Job(world.clock, lambda run: getattr(run, verb)("look at this"))
    with world.engine(job.workflow) as engine:
        (handle,) = trigger(engine, job)
        engine.run_until_idle()

        assert text_of(handle) == f"Its own step work {says} it at {at(world)}: look at this."


def test_a_run_that_is_finished(world: World) -> None:
    job = Job(world.clock)
    with world.engine(job.workflow) as engine:
        (handle,) = trigger(engine, job)
        engine.run_until_idle()
        assert text_of(handle) == f"It was completed at {at(world)}: 'done' is where it ends."

        handle.delete_data("asked by mail", actor="Ada")
        assert f"It is finished; Ada asked at {at(world)} for its data to be erased." in text_of(handle)
        assert Because.DELETION in reasons(handle.explain())
        engine.run_until_idle()
        assert text_of(handle) == f"It is finished, and its data was erased at {at(world)}."

        (other,) = trigger(world.outsider(job.workflow), job)
        other.move(Status.DONE, "by hand", actor="Bob")
        assert text_of(other) == f"Bob completed it at {at(world)} by moving it to 'done': by hand."


def test_an_explanation_is_data_for_programs_and_a_coroutine_may_ask_for_it(memory_world: World) -> None:
    job = Job(memory_world.clock)
    (handle,) = trigger(memory_world.outsider(job.workflow), job)
    handle.pause("lunch", actor="Ada")

    explanation = asyncio.run(handle.aio.explain())

    data = msgspec.json.decode(msgspec.json.encode(explanation))
    assert data["reasons"][0]["because"] == "paused"
    assert data["state"] == RunState.PAUSED.name.lower()


def test_a_run_that_is_not_there_is_not_explained(memory_world: World) -> None:
    engine = memory_world.engine()
    with pytest.raises(RunNotFoundError):
        RunHandle(engine._the_core(), None, "nobody", "box").explain()


def test_the_word_of_an_instance_that_left_or_died_is_removed(world: World) -> None:
    job = Job(world.clock)
    with world.engine(job.workflow) as engine:
        says_what_it_consumes(world, engine)
        assert len(world.store.items("default", "instance")) == 1
    assert world.store.items("default", "instance") == []

    with world.engine(job.workflow) as engine:
        says_what_it_consumes(world, engine)
        engine.crash()
    world.clock.advance(HOUR)
    with world.engine(job.workflow) as engine:
        says_what_it_consumes(world, engine)
        assert len(world.store.items("default", "instance")) == 1


def test_who_asked_for_the_pause_that_a_step_s_commit_applied_is_told(world: World) -> None:
    def body(run: Run[Thing, Status]) -> Answer:
        engine.handle(run.run_id).pause("look at this", actor="Ada")
        return run.save_and_repeat()

    job = Job(world.clock, body)
    with world.engine(job.workflow) as engine:
        (handle,) = trigger(engine, job)
        engine.run_until_idle()

        assert handle.record().state is RunState.PAUSED
        assert handle.explain().reasons[0].sentence.startswith("Ada paused it at ")
