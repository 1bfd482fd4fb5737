"""Runs mended by hand: tried again now, moved to another status, started once more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import pytest

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.auto_resume import AutoResume
from flowdsl.engine.handle import RunHandle
from flowdsl.errors import (
    IllegalMoveError,
)
from flowdsl.model.history import Cause
from flowdsl.model.outcome import Outcome
from flowdsl.model.run_state import RunState
from flowdsl.testing.stepped import SteppedEngine
from tests.behaviour.world import MINUTE, Answer, Job, Status, Thing, World, failing, trigger

NEVER = AutoResume(after=None)
DAY = timedelta(days=1)


class Stage(StrEnum):
    PACKED = "packed"
    SENT = "sent"
    CHECKED = "checked"
    GONE = "gone"
    LOST = "lost"


@dataclass
class Box:
    weight: int
    seen: int = 0


class Post:
    """packed -> sent -> gone or lost, and checked -> gone beside it; `send` does as it is told."""

    def __init__(self, world: World) -> None:
        self.sending: str | None = None
        self.keys: list[str] = []
        self.workflow = Workflow("post", object_type=Box, status_type=Stage, defaults={"pause_after_err_count": 2})

        @self.workflow.step(from_=Stage.PACKED, to=[Stage.SENT, Stage.CHECKED], err_backoff=MINUTE)
        def send(run: Run[Box, Stage]) -> Stage | Outcome:
            self.keys.append(run.idempotency_key)
            run.object.seen += 1
            if self.sending == "skip":
                return run.skip()
            if self.sending is not None:
                raise RuntimeError(self.sending)
            return Stage.SENT

        @self.workflow.step(from_=Stage.SENT, to=[Stage.GONE, Stage.LOST])
        def deliver(run: Run[Box, Stage]) -> Stage:
            self.keys.append(run.idempotency_key)
            return Stage.GONE

        @self.workflow.step(from_=Stage.CHECKED, to=Stage.GONE)
        def check(run: Run[Box, Stage]) -> None:
            self.keys.append(run.idempotency_key)

    def start(self, engine: SteppedEngine, foreign_id: str = "box") -> RunHandle[Box, Stage]:
        handle = engine.trigger(self.workflow, foreign_id, Box(3), tags=["fragile"], metadata={"from": "here"}, priority=2)
        engine.run_until_idle()
        return handle


def test_a_run_that_errors_paused_is_tried_again_at_once_with_fresh_counters_and_the_same_key(world: World) -> None:
    post = Post(world)
    post.sending = "post office closed"
    with world.engine(post.workflow) as engine:
        handle = post.start(engine)
        engine.advance(MINUTE)
        assert handle.record().state is RunState.PAUSED
        assert len(post.keys) == 2

        after = handle.retry("it has opened", actor="Ada")

        assert (after.state, after.reason, after.actor, after.last_error) == (RunState.RUNNING, None, None, None)
        row = handle.history()[-1]
        assert (row.cause, row.actor, row.reason) == (Cause.CONTROL, "Ada", "it has opened")
        engine.run_until_idle()
        assert handle.pending()[0].attempts == 1, "failures are counted from zero again"
        post.sending = None
        engine.advance(MINUTE)
        assert handle.record().status == "gone"
        assert len(set(post.keys[:4])) == 1, "all attempts at one piece of work have one key"


def test_a_retry_takes_the_place_of_the_automatic_resume(world: World) -> None:
    post = Post(world)
    post.sending = "closed"
    with world.engine(post.workflow) as engine:
        handle = post.start(engine)
        engine.advance(MINUTE)
        handle.retry()
        engine.advance(MINUTE)
        assert (handle.record().state, handle.record().auto_resumes) == (RunState.PAUSED, 0)
        begun = len(post.keys)

        engine.advance(58 * MINUTE)  # the hour after the first pause is over, that after the second is not

        assert len(post.keys) == begun


def test_a_failed_step_that_waits_for_its_next_attempt_is_tried_now(world: World) -> None:
    post = Post(world)
    post.sending = "closed"
    with world.engine(post.workflow) as engine:
        handle = post.start(engine)
        post.sending = None
        engine.run_until_idle()
        assert handle.record().status == "packed"

        handle.retry()
        engine.run_until_idle()

        assert (handle.record().status, handle.record().state) == ("gone", RunState.COMPLETED)


def test_a_step_that_answered_skip_runs_again_when_it_is_asked_to(world: World) -> None:
    post = Post(world)
    post.sending = "skip"
    with world.engine(post.workflow) as engine:
        handle = post.start(engine)
        post.sending = None
        engine.advance(DAY)
        assert handle.record().status == "packed"

        handle.retry()
        engine.run_until_idle()

        assert handle.record().status == "gone"


@pytest.mark.parametrize("paused", ["by a person", "by its step", "by a person during the last attempt"])
def test_a_pause_that_errors_did_not_make_is_not_retried(world: World, paused: str) -> None:
    def body(run: Run[Thing, Status]) -> Answer:
        if paused == "by its step":
            return run.pause("look at this")
        engine.handle(run.run_id).pause("look at this", actor="Ada")
        return failing(run)

    job = Job(world.clock, body, own={"pause_after_err_count": 1})
    with world.engine(job.workflow) as engine:
        if paused == "by a person":
            (handle,) = trigger(world.outsider(job.workflow), job)
            handle.pause("look at this", actor="Ada")
        else:
            (handle,) = trigger(engine, job)
            engine.run_until_idle()
        before = handle.record()
        assert (before.state, before.reason) == (RunState.PAUSED, "look at this")

        with pytest.raises(IllegalMoveError, match=r"not errors that paused it.*look at this.*resume"):
            handle.retry()

        assert handle.record() == before


def test_a_run_of_which_nothing_failed_is_not_retried(world: World) -> None:
    job = Job(world.clock)
    (handle,) = trigger(world.outsider(job.workflow), job)
    before = handle.record()

    with pytest.raises(IllegalMoveError, match="has not failed"):
        handle.retry()

    assert handle.record() == before


def test_a_finished_run_is_not_retried_or_moved(world: World) -> None:
    post = Post(world)
    with world.engine(post.workflow) as engine:
        handle = post.start(engine)
        before = handle.record()
        verbs: list[Callable[[], object]] = [handle.retry, lambda: handle.move(Stage.SENT, "again")]
        for verb in verbs:
            with pytest.raises(IllegalMoveError, match=r"is completed.*restart"):
                verb()

        assert handle.record() == before


def test_a_step_that_is_being_executed_is_neither_retried_nor_moved(world: World) -> None:
    said: list[str] = []

    def body(run: Run[Thing, Status]) -> Answer:
        handle = engine.latest(job.workflow, run.foreign_id)
        verbs: list[Callable[[], object]] = [handle.retry, lambda: handle.move(Status.DONE, "now")]
        for verb in verbs:
            with pytest.raises(IllegalMoveError) as caught:
                verb()
            said.append(str(caught.value))
        return Status.DONE

    job = Job(world.clock, body)
    with world.engine(job.workflow) as engine:
        (handle,) = trigger(engine, job)
        engine.run_until_idle()

        assert len(said) == 2
        assert all("being executed" in text for text in said)
        assert handle.record().state is RunState.COMPLETED


def test_a_run_is_retried_from_an_engine_that_has_not_its_code(world: World) -> None:
    job = Job(world.clock, failing, own={"pause_after_err_count": 1})
    with world.engine(job.workflow, auto_resume=NEVER) as engine:
        (handle,) = trigger(engine, job)
        engine.run_until_idle()
        world.engine(store=world.open_store()).handle(handle.run_id).retry()
        engine.run_until_idle()

        assert len(job.begun) == 2


def test_coroutines_have_the_same_verbs(memory_world: World) -> None:
    post = Post(memory_world)
    post.sending = "closed"
    engine = memory_world.engine(post.workflow)
    with engine:
        handle = post.start(engine)

        async def use() -> tuple[str, RunState, str | None]:
            await handle.aio.retry("now")
            moved = await handle.aio.move(Stage.LOST, "gone", force=True)
            again = await handle.aio.restart(Stage.SENT)
            return moved.status, moved.state, (await again.record()).parent_run_id

        assert asyncio.run(use()) == ("lost", RunState.COMPLETED, handle.run_id)
