"""Why a run is where it is: each reason, as a sentence and as data."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

import msgspec
import pytest

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.auto_resume import AutoResume
from flowdsl.engine.handle import RunHandle
from flowdsl.engine.presence import INTERVAL
from flowdsl.errors import RunNotFoundError
from flowdsl.model.explanation import Because, Explanation
from flowdsl.model.outcome import Outcome
from flowdsl.model.run_state import RunState
from flowdsl.testing.stepped import SteppedEngine
from tests.behaviour.world import HOUR, MINUTE, SECOND, Answer, Job, Status, Thing, World, failing, trigger

NEVER = AutoResume(after=None)


def text_of(handle: RunHandle[Any, Any]) -> str:
    return str(handle.explain())


def reasons(explanation: Explanation) -> list[Because]:
    return [reason.because for reason in explanation.reasons]


def at(world: World, after: timedelta = timedelta(0)) -> str:
    return (world.clock.now() + after).strftime("%Y-%m-%d %H:%M:%SZ")


def says_what_it_consumes(world: World, *engines: SteppedEngine) -> None:
    world.clock.advance(INTERVAL)
    for engine in engines:
        engine.worker.presence.step()


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
    assert "3 other runs due there as well, the first for 0:01:30; 1 instance to take them." in str(explanation)


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
    assert f"(process {os.getpid()}), attempt 1." in text
    assert text.endswith("A pause by Ada waits for the commit of the running step: look at this.")


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

        assert text_of(handle) == f"Step work is not due before {at(world, 5 * MINUTE)}: its consume_lag of 0:05:00 is not over."


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
    assert "failed 1 times in a row; the last error was RuntimeError: no luck." in str(first)
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


class Stage(StrEnum):
    PACKED = "packed"
    WAITING = "waiting"
    GONE = "gone"


@dataclass
class Box:
    weight: int = 1


def post() -> Workflow[Box, Stage]:
    workflow = Workflow("post", object_type=Box, status_type=Stage)

    @workflow.step(from_=Stage.PACKED, to=Stage.WAITING)
    def pack(run: Run[Box, Stage]) -> None: ...

    @workflow.callback(from_=Stage.WAITING, to=Stage.GONE)
    def fetched(run: Run[Box, Stage], payload: bytes) -> None: ...

    @workflow.timeout(from_=Stage.WAITING, to=Stage.GONE, after=3 * HOUR)
    def forgotten(run: Run[Box, Stage]) -> None: ...

    @workflow.timeout(from_=Stage.WAITING, to=Stage.GONE, at=lambda run, now: None)
    def never(run: Run[Box, Stage]) -> None: ...

    return workflow


def test_a_run_that_waits_for_a_callback_and_a_timeout(world: World) -> None:
    workflow = post()
    with world.engine(workflow) as engine:
        handle = engine.trigger(workflow, "box", Box())
        engine.run_until_idle()
        since, due = at(world), at(world, 3 * HOUR)
        engine.advance(HOUR)

        explanation = handle.explain()
        assert reasons(explanation) == [Because.WAITING, Because.CALLBACK, Because.TIMEOUT, Because.TIMEOUT]
        assert str(explanation).split(". ") == [
            f"It has been in 'waiting' since {since}; no step consumes that status",
            f"Callback 'fetched' would move it on; it waits for that since {since}",
            f"Timeout 'forgotten' is due at {due}",
            "Timeout 'never' has no time.",
        ]

        handle.pause("lunch", actor="Ada")
        assert "Timeout 'forgotten' stands still while the run is paused." in text_of(handle)


def test_a_run_with_a_callback_that_came_early(world: World) -> None:
    workflow = post()
    engine = world.outsider(workflow)
    handle = engine.trigger(workflow, "box", Box())
    engine.callback(workflow, "box", Stage.WAITING, b"{}", actor="courier")

    assert "A callback by courier for status 'waiting' is kept: it is applied when the run enters 'waiting'." in text_of(handle)


def test_a_hook_that_could_not_be_told_yet(world: World) -> None:
    job = Job(world.clock)

    @job.workflow.on_pause(err_backoff=HOUR)
    def tell(run: Run[Thing, Status]) -> None:
        raise RuntimeError("mail is down")

    with world.engine(job.workflow) as engine:
        (handle,) = trigger(world.outsider(job.workflow), job)
        handle.pause("lunch", actor="Ada")
        engine.run_until_idle()

        due = at(world, HOUR)
        said = f"Telling hook 'tell' of the pause is due at {due}, because the last attempt failed: RuntimeError: mail is down."
        assert said in text_of(handle)


def test_a_run_explained_without_its_code(world: World) -> None:
    workflow = post()
    with world.engine(workflow) as engine:
        handle = engine.trigger(workflow, "box", Box())
        engine.run_until_idle()
        stranger = world.engine(store=world.open_store()).handle(handle.run_id)

        explanation = stranger.explain()
        assert reasons(explanation) == [Because.NO_CODE, Because.TIMEOUT, Because.TIMEOUT]
        assert explanation.reasons[0].remedy == "Ask with the code at hand: --app MODULE:ENGINE."

    job = Job(world.clock, failing, own={"err_backoff": HOUR})
    with world.engine(job.workflow) as engine:
        (failed,) = trigger(engine, job)
        engine.run_until_idle()
        stranger = world.engine(store=world.open_store()).handle(failed.run_id)
        assert text_of(stranger).startswith(f"The step of 'new' is tried again at {at(world, HOUR)}, attempt 2, after 1 failed")


class Later(StrEnum):
    PACKED = "packed"
    GONE = "gone"
    WEIGHED = "weighed"


def test_a_run_in_a_status_that_the_code_does_not_know_or_that_ends_there_or_leads_nowhere(world: World) -> None:
    old = post()
    with world.engine(old) as engine:
        waiting = engine.trigger(old, "box", Box())
        engine.run_until_idle()
        packed = world.outsider(old).trigger(old, "other", Box())
    new = Workflow("post", object_type=Box, status_type=Later)

    @new.step(from_=Later.WEIGHED, to=[Later.PACKED, Later.GONE])
    def weigh(run: Run[Box, Later]) -> Outcome:
        return run.skip()

    newer = world.outsider(new)
    assert "This code of 'post' does not know status 'waiting'; other code may." in text_of(newer.handle(waiting.run_id))
    with world.engine(new) as worker:  # the row of the old step stays where it is
        says_what_it_consumes(world, worker)
        assert "of which none consumes it" in text_of(newer.handle(packed.run_id))
    newer.handle(packed.run_id).pause("by new code")
    newer.handle(packed.run_id).resume()
    explanation = newer.handle(packed.run_id).explain()
    assert reasons(explanation) == [Because.NOTHING_LEADS_ON]
    assert "It is where runs end in this code, and was not when the run came there." in str(explanation)


def test_a_run_whose_row_is_missing(world: World) -> None:
    old = Workflow("post", object_type=Box, status_type=Stage)

    @old.step(from_=Stage.PACKED, to=Stage.WAITING)
    def pack(run: Run[Box, Stage]) -> None: ...

    @old.callback(from_=Stage.WAITING, to=Stage.GONE)
    def fetched(run: Run[Box, Stage]) -> None: ...

    with world.engine(old) as engine:
        handle = engine.trigger(old, "box", Box())
        engine.run_until_idle()

    @old.step(from_=Stage.WAITING, to=Stage.GONE)
    def fetch(run: Run[Box, Stage]) -> None: ...

    explanation = world.outsider(old).handle(handle.run_id).explain()
    assert reasons(explanation)[0] is Because.ROW_MISSING
    assert "Step fetch consumes its status and its row is missing: the sweeper makes it within a minute." in str(explanation)


def test_a_run_whose_object_this_code_cannot_read(world: World) -> None:
    @dataclass
    class Heavier:
        weight: int
        colour: str

    job = Workflow("post", object_type=Box, status_type=Status)
    other = Workflow("post", object_type=Heavier, status_type=Status)

    @job.step(from_=Status.NEW, to=Status.DONE)
    def one(run: Run[Box, Status]) -> None: ...

    @other.step(from_=Status.NEW, to=Status.DONE)
    def two(run: Run[Heavier, Status]) -> None: ...

    handle = world.outsider(job).trigger(job, "box", Box())
    explanation = world.outsider(other).handle(handle.run_id).explain()

    assert reasons(explanation)[-1] is Because.UNREADABLE
    assert "This code cannot read its object" in str(explanation)


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
