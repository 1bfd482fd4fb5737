"""Finished runs, started once more as new ones."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.handle import RunHandle
from flowdsl.errors import (
    DefinitionError,
    IllegalMoveError,
    PayloadError,
    RunNotFoundError,
    WorkflowInProgressError,
)
from flowdsl.model.run_state import RunState
from tests.behaviour.test_repair import Box, Post, Stage
from tests.behaviour.world import SECOND, World


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
