"""Runs mended by hand: tried again now, moved to another status, started once more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import pytest

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.auto_resume import AutoResume
from flowdsl.engine.handle import RunHandle
from flowdsl.errors import (
    ConfigurationError,
    DefinitionError,
    IllegalMoveError,
    PayloadError,
    RunNotFoundError,
    WorkflowInProgressError,
)
from flowdsl.model.history import Cause
from flowdsl.model.outcome import Outcome
from flowdsl.model.pending import RowKind
from flowdsl.model.run_state import RunState
from flowdsl.testing.stepped import SteppedEngine
from tests.behaviour.world import HOUR, MINUTE, SECOND, Answer, Job, Status, Thing, World, failing, trigger

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


# -- retry --------------------------------------------------------------------------------------------------------------------


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


# -- move ---------------------------------------------------------------------------------------------------------------------


def test_a_run_is_moved_to_another_status_and_goes_on_from_there_as_new_work(world: World) -> None:
    post = Post(world)
    post.sending = "closed"
    with world.engine(post.workflow) as engine:
        handle = post.start(engine)
        before = handle.record()

        after = handle.move(Stage.CHECKED, "sent by courier", actor="Ada")

        assert (after.status, after.state, after.visit) == ("checked", RunState.RUNNING, before.visit + 1)
        assert after.payload == before.payload
        row = handle.history()[-1]
        assert (row.from_status, row.to_status, row.cause) == ("packed", "checked", Cause.CONTROL)
        assert (row.actor, row.reason) == ("Ada", "sent by courier")
        engine.run_until_idle()
        assert (handle.record().status, handle.record().state) == ("gone", RunState.COMPLETED)
        assert post.keys[-1] != post.keys[0], "a move begins new work"
        assert len(post.keys) == 2, "the failed step does not run again"


def test_a_run_moved_to_a_terminal_status_is_completed(world: World) -> None:
    post = Post(world)
    post.sending = "closed"
    with world.engine(post.workflow) as engine:
        handle = post.start(engine)

        after = handle.move(Stage.LOST, "never seen again")
        engine.advance(DAY)

        assert (after.status, after.state) == ("lost", RunState.COMPLETED)
        assert handle.wait(Stage.LOST).state is RunState.COMPLETED
        assert handle.pending() == []
        assert post.start(engine).created, "its foreign id is free"


@pytest.mark.parametrize("target", [Stage.SENT, Stage.LOST])
def test_a_paused_run_goes_on_where_it_is_moved_to_and_the_automatic_resume_is_off(world: World, target: Stage) -> None:
    post = Post(world)
    post.sending = "closed"
    with world.engine(post.workflow) as engine:
        handle = post.start(engine)
        engine.advance(MINUTE)
        assert handle.record().state is RunState.PAUSED

        handle.move(target, "by hand")
        engine.advance(DAY)

        record = handle.record()
        assert (record.state, record.reason, record.last_error) == (RunState.COMPLETED, None, None)
        assert Cause.AUTO_RESUME not in {row.cause for row in handle.history()}


def test_a_move_by_force_discards_what_the_step_did(world: World) -> None:
    def body(run: Run[Thing, Status]) -> Answer:
        run.object.note = "changed"
        engine.latest(job.workflow, run.foreign_id).move(Status.DONE, "now", force=True)
        return Status.DONE

    job = Job(world.clock, body)
    with world.engine(job.workflow) as engine:
        (handle,) = trigger(engine, job)
        engine.run_until_idle()

        assert (handle.record().version, handle.run().object.note) == (2, "")
        assert handle.history()[-1].reason == "now"


def test_a_status_that_a_run_cannot_be_moved_to_is_refused(memory_world: World) -> None:
    post = Post(memory_world)
    post.sending = "closed"
    with memory_world.engine(post.workflow) as engine:
        handle = post.start(engine)
        before = handle.record()
        with pytest.raises(IllegalMoveError, match=r"in 'packed' already.*retry"):
            handle.move(Stage.PACKED, "why not")
        with pytest.raises(DefinitionError, match=r"Did you mean Stage\.SENT"):
            handle.move("snet", "why not")  # type: ignore[arg-type]

        assert handle.record() == before


class Old(StrEnum):
    NEW = "new"
    DONE = "done"
    FORMER = "former"


def test_a_run_is_not_moved_to_a_retired_status_where_nothing_would_happen_to_it(memory_world: World) -> None:
    workflow = Workflow("jobs", object_type=Thing, status_type=Old, retired=[Old.FORMER])

    @workflow.step(from_=Old.NEW, to=Old.DONE)
    def work(run: Run[Thing, Old]) -> None:
        raise RuntimeError("no luck")

    with memory_world.engine(workflow) as engine:
        handle = engine.trigger(workflow, "thing", Thing())
        with pytest.raises(IllegalMoveError, match=r"nothing leads to or from status 'former'.*done, new"):
            handle.move(Old.FORMER, "why not")


def test_without_its_code_a_run_is_not_moved(memory_world: World) -> None:
    job = Job(memory_world.clock)
    (handle,) = trigger(memory_world.outsider(job.workflow), job)

    with pytest.raises(ConfigurationError, match="not one of this engine's"):
        memory_world.engine().handle(handle.run_id).move(Status.DONE, "why not")


def test_the_timeouts_of_the_status_that_a_run_is_moved_to_are_its_own_from_then_on(world: World) -> None:
    workflow = Workflow("post", object_type=Box, status_type=Stage)

    @workflow.step(from_=Stage.PACKED, to=[Stage.SENT, Stage.CHECKED], err_backoff=DAY)
    def send(run: Run[Box, Stage]) -> Stage:
        raise RuntimeError("closed")

    @workflow.timeout(from_=Stage.PACKED, to=Stage.LOST, after=2 * HOUR)
    def forgotten(run: Run[Box, Stage]) -> None: ...

    @workflow.callback(from_=Stage.SENT, to=Stage.GONE)
    def arrived(run: Run[Box, Stage]) -> None: ...

    @workflow.timeout(from_=Stage.SENT, to=Stage.LOST, at=lambda run, now: now + run.object.weight * HOUR)
    def missed(run: Run[Box, Stage]) -> None: ...

    @workflow.callback(from_=Stage.CHECKED, to=Stage.GONE)
    def looked_at(run: Run[Box, Stage]) -> None: ...

    with world.engine(workflow) as engine:
        handle = engine.trigger(workflow, "box", Box(5))
        engine.advance(HOUR)
        assert [row.due_at for row in handle.pending() if row.kind is RowKind.TIMEOUT] == [world.clock.now() + HOUR]

        handle.move(Stage.SENT, "by hand")

        (row,) = handle.pending()
        assert (row.kind, row.receiver, row.due_at) == (RowKind.TIMEOUT, "missed", world.clock.now() + 5 * HOUR)
        engine.advance(4 * HOUR)
        assert handle.record().status == "sent"
        engine.advance(HOUR + MINUTE)
        assert handle.record().status == "lost"


def test_a_move_whose_timeout_cannot_be_computed_is_refused(memory_world: World) -> None:
    post = Post(memory_world)
    post.sending = "closed"

    def at(run: Run[Box, Stage], now: datetime) -> datetime:
        raise KeyError("deadline")

    @post.workflow.timeout(from_=Stage.CHECKED, to=Stage.LOST, at=at)
    def missed(run: Run[Box, Stage]) -> None: ...

    with memory_world.engine(post.workflow) as engine:
        handle = post.start(engine)
        before = handle.record()
        with pytest.raises(IllegalMoveError, match=r"at= of a timeout of status 'checked' raised KeyError"):
            handle.move(Stage.CHECKED, "by hand")
        report = engine.bulk.move("workflow=post", to=Stage.CHECKED, reason="by hand", rate=None)

        assert (report.done, report.refused) == (0, 1)
        assert handle.record() == before


# -- restart ------------------------------------------------------------------------------------------------------------------


def test_a_finished_run_is_started_once_more_where_it_began_with_what_it_had(world: World) -> None:
    post = Post(world)
    with world.engine(post.workflow) as engine:
        first = post.start(engine)
        assert first.run().object == Box(3, seen=1)
        engine.advance(SECOND)

        again = first.restart(actor="Ada")
        engine.run_until_idle()

        old, new = first.record(), again.record()
        assert again.created
        assert (new.parent_run_id, new.foreign_id, new.run_id == old.run_id) == (old.run_id, "box", False)
        assert (new.tags, dict(new.metadata), new.priority) == (("fragile",), {"from": "here"}, 2)
        assert (new.state, again.run().object) == (RunState.COMPLETED, Box(3, seen=2))
        assert (again.history()[0].to_status, again.history()[0].actor) == ("packed", "Ada")
        assert engine.latest(post.workflow, "box").run_id == new.run_id


def test_a_cancelled_run_is_restarted_from_a_status_with_another_object(world: World) -> None:
    post = Post(world)
    post.sending = "closed"
    with world.engine(post.workflow) as engine:
        first = post.start(engine)
        first.cancel("wrong box")

        again = first.restart(Stage.SENT, Box(9))
        engine.run_until_idle()

        assert [row.to_status for row in again.history()] == ["sent", "gone"]
        assert again.run().object == Box(9)
        assert first.record().state is RunState.CANCELLED


def test_what_newer_code_stored_beside_the_object_goes_into_the_new_run(world: World) -> None:
    @dataclass
    class Wider(Box):
        colour: str = "red"

    wide = Workflow("post", object_type=Wider, status_type=Stage)

    @wide.step(from_=Stage.PACKED, to=[Stage.SENT, Stage.CHECKED, Stage.GONE, Stage.LOST])
    def send(run: Run[Wider, Stage]) -> Stage:
        return Stage.GONE

    post = Post(world)
    with world.engine(wide) as newer:
        newer.trigger(wide, "box", Wider(3, colour="blue"))
        newer.run_until_idle()
    with world.engine(post.workflow) as older:
        again = older.latest(post.workflow, "box").restart()
        older.run_until_idle()

        payload = again.record().payload
        assert payload is not None
        assert b'"colour":"blue"' in payload.data


def test_a_run_that_is_not_finished_is_not_restarted(world: World) -> None:
    post = Post(world)
    post.sending = "closed"
    with world.engine(post.workflow) as engine:
        handle = post.start(engine)
        with pytest.raises(IllegalMoveError, match=r"only a finished run"):
            handle.restart()


def test_a_second_restart_beside_the_first_is_refused_or_answered_with_it(world: World) -> None:
    post = Post(world)
    with world.engine(post.workflow) as engine:
        first = post.start(engine)
        post.sending = "closed"
        one = first.restart(idempotency_key="again")
        engine.run_until_idle()

        with pytest.raises(WorkflowInProgressError) as caught:
            first.restart()
        assert caught.value.run_id == one.run_id
        two = first.restart(idempotency_key="again")
        assert (two.run_id, two.created) == (one.run_id, False)


def test_a_restart_that_cannot_be_is_refused(memory_world: World) -> None:
    post = Post(memory_world)
    with memory_world.engine(post.workflow) as engine:
        handle = post.start(engine)
        with pytest.raises(DefinitionError, match="nothing leaves it"):
            handle.restart(Stage.GONE)
        with pytest.raises(PayloadError):
            handle.restart(obj="not a box")  # type: ignore[arg-type]
        with pytest.raises(RunNotFoundError):
            RunHandle(engine._the_core(), post.workflow, "nobody", "box").restart()


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


def test_a_move_wins_over_a_retry_that_is_due_at_the_same_time(world: World) -> None:
    """Whoever is first moves the version: the other finds nothing to do."""
    post = Post(world)
    post.sending = "closed"
    with world.engine(post.workflow) as engine:
        handle = post.start(engine)
        world.clock.advance(MINUTE)
        handle.move(Stage.CHECKED, "by hand")
        engine.advance(HOUR + SECOND)

        assert [row.to_status for row in handle.history()] == ["packed", "checked", "gone"]
        assert len(post.keys) == 2
