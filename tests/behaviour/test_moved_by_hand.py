"""Runs put into another status by hand."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import pytest

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.errors import (
    ConfigurationError,
    DefinitionError,
    IllegalMoveError,
)
from flowdsl.model.history import Cause
from flowdsl.model.pending import RowKind
from flowdsl.model.run_state import RunState
from tests.behaviour.test_repair import DAY, Box, Post, Stage
from tests.behaviour.world import HOUR, MINUTE, SECOND, Answer, Job, Status, Thing, World, trigger


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
