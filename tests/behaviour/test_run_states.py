"""The states of a run, and who may change them."""

from __future__ import annotations

import itertools

import pytest

from flowdsl.errors import IllegalMoveError, RunNotFoundError
from flowdsl.model.history import Cause
from flowdsl.model.run_state import RunState, may_move
from tests.behaviour.world import SECOND, Job, World, trigger

S = RunState
LABELS = {
    S.UNKNOWN: "Unknown",
    S.INITIATED: "Initiated",
    S.RUNNING: "Running",
    S.PAUSED: "Paused",
    S.COMPLETED: "Completed",
    S.CANCELLED: "Cancelled",
    S.DATA_DELETED: "Data Deleted",
    S.REQUESTED_DATA_DELETED: "Requested Data Deleted",
}
MOVES = {
    (S.UNKNOWN, S.INITIATED),
    (S.INITIATED, S.RUNNING),
    (S.INITIATED, S.PAUSED),
    (S.INITIATED, S.CANCELLED),
    (S.INITIATED, S.COMPLETED),
    (S.RUNNING, S.RUNNING),
    (S.RUNNING, S.PAUSED),
    (S.RUNNING, S.CANCELLED),
    (S.RUNNING, S.COMPLETED),
    (S.PAUSED, S.RUNNING),
    (S.PAUSED, S.CANCELLED),
    (S.PAUSED, S.COMPLETED),
    (S.COMPLETED, S.REQUESTED_DATA_DELETED),
    (S.CANCELLED, S.REQUESTED_DATA_DELETED),
    (S.REQUESTED_DATA_DELETED, S.DATA_DELETED),
    (S.DATA_DELETED, S.REQUESTED_DATA_DELETED),
}


def test_the_numbers_of_the_states_are_those_that_are_stored() -> None:
    assert [state.name for state in sorted(S)] == [
        "UNKNOWN",
        "INITIATED",
        "RUNNING",
        "PAUSED",
        "COMPLETED",
        "CANCELLED",
        "DATA_DELETED",
        "REQUESTED_DATA_DELETED",
    ]
    assert [int(state) for state in sorted(S)] == list(range(8))


def test_each_state_has_the_text_that_people_and_metrics_read() -> None:
    assert {state: state.label for state in S} == LABELS


def test_a_number_that_is_no_state_is_refused() -> None:
    with pytest.raises(ValueError, match="8"):
        RunState(8)


def test_what_is_finished_and_what_is_stopped() -> None:
    finished = {S.COMPLETED, S.CANCELLED, S.DATA_DELETED, S.REQUESTED_DATA_DELETED}

    assert {state for state in S if state.finished} == finished
    assert {state for state in S if state.stopped} == finished | {S.PAUSED}


@pytest.mark.parametrize(("before", "after"), list(itertools.product(S, S)))
def test_the_table_of_moves(before: RunState, after: RunState) -> None:
    assert may_move(before, after) == ((before, after) in MOVES)


def test_a_pause_keeps_status_and_object_and_says_who_when_and_why(world: World) -> None:
    job = Job(world.clock)
    (handle,) = trigger(world.outsider(job.workflow), job)
    before = handle.record()
    world.clock.advance(SECOND)

    after = handle.pause("lunch", actor="Ada")

    assert (after.state, after.reason, after.actor, after.version) == (S.PAUSED, "lunch", "Ada", 2)
    assert (after.status, after.payload, after.created_at) == (before.status, before.payload, before.created_at)
    assert after.updated_at == world.clock.now()
    row = handle.history()[-1]
    assert (row.cause, row.actor, row.reason) == (Cause.CONTROL, "Ada", "lunch")


def test_a_resume_clears_the_reason_and_the_step_runs(world: World) -> None:
    job = Job(world.clock)
    with world.engine(job.workflow) as engine:
        (handle,) = trigger(world.outsider(job.workflow), job)
        handle.pause("lunch")
        engine.run_until_idle()
        assert job.begun == []

        after = handle.resume()
        assert (after.state, after.reason, after.actor) == (S.RUNNING, None, None)
        engine.run_until_idle()
        assert handle.record().state is S.COMPLETED


def test_a_paused_run_may_be_cancelled(world: World) -> None:
    job = Job(world.clock)
    with world.engine(job.workflow) as engine:
        (handle,) = trigger(world.outsider(job.workflow), job)
        handle.pause("lunch")

        after = handle.cancel("no dinner", actor="Ada")
        engine.run_until_idle()

        assert (after.state, after.reason, after.actor) == (S.CANCELLED, "no dinner", "Ada")
        assert job.begun == []
        assert trigger(engine, job)[0].created


@pytest.mark.parametrize("verb", ["pause", "cancel"])
def test_the_same_state_again_is_refused_and_stores_nothing(world: World, verb: str) -> None:
    job = Job(world.clock)
    (handle,) = trigger(world.outsider(job.workflow), job)
    getattr(handle, verb)("once")

    with pytest.raises(IllegalMoveError, match="already"):
        getattr(handle, verb)("twice")

    assert handle.record().version == 2
    assert handle.record().reason == "once"


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel"])
def test_a_finished_run_takes_no_control_and_both_states_are_named(world: World, verb: str) -> None:
    job = Job(world.clock)
    with world.engine(job.workflow) as engine:
        (handle,) = trigger(engine, job)
        engine.run_until_idle()

        with pytest.raises(IllegalMoveError, match="is completed and cannot become"):
            getattr(handle, verb)(*(() if verb == "resume" else ("why",)))

        assert handle.record().version == 2


def test_a_run_is_controlled_from_an_engine_that_has_not_its_code(world: World) -> None:
    job = Job(world.clock)
    (handle,) = trigger(world.outsider(job.workflow), job)
    stranger = world.engine(store=world.open_store())

    stranger.handle(handle.run_id).pause("from afar")
    assert handle.record().state is S.PAUSED
    stranger.handle(handle.run_id).resume()

    with world.engine(job.workflow) as engine:
        engine.run_until_idle()
        assert handle.record().state is S.COMPLETED


def test_a_run_that_is_not_there_is_said(memory_world: World) -> None:
    job = Job(memory_world.clock)
    engine = memory_world.engine(job.workflow)

    with pytest.raises(RunNotFoundError):
        engine.handle("nobody")
    with pytest.raises(RunNotFoundError):
        engine.latest(job.workflow, "nobody")
