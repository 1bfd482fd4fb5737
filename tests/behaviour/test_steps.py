"""What a step is given and what becomes of its answer."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Any

import pytest

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.model.run_state import RunState
from tests.behaviour.world import SECOND, Answer, Job, Status, Thing, World, failing, sample, trigger


class Stage(StrEnum):
    ONE = "one"
    TWO = "two"
    THREE = "three"


def staged(seen: list[Run[Thing, Stage]]) -> Workflow[Thing, Stage]:
    """Two steps that note what they are given."""
    workflow = Workflow("stages", object_type=Thing, status_type=Stage)

    @workflow.step(from_=Stage.ONE, to=Stage.TWO)
    def first(run: Run[Thing, Stage]) -> Stage:
        seen.append(run)
        run.object.note = "first"
        return Stage.TWO

    @workflow.step(from_=Stage.TWO, to=Stage.THREE)
    def second(run: Run[Thing, Stage]) -> Stage:
        seen.append(run)
        return Stage.THREE

    return workflow


def test_a_step_sees_its_run_and_the_object_as_it_was_stored(world: World) -> None:
    seen: list[Run[Thing, Stage]] = []
    workflow = staged(seen)
    with world.engine(workflow) as engine:
        handle = engine.trigger(workflow, "thing", Thing("new"), metadata={"tenant": "blue"})
        engine.run_until_idle()

    first, second = seen
    assert (first.workflow, first.foreign_id, first.run_id) == ("stages", "thing", handle.run_id)
    assert (first.status, first.version, first.attempt, dict(first.metadata)) == (Stage.ONE, 1, 1, {"tenant": "blue"})
    assert first.created_at == first.updated_at
    assert (second.status, second.version, second.object) == (Stage.TWO, 2, Thing("first"))


def test_an_initiated_run_is_shown_to_its_step_as_running_and_stored_so_by_the_first_success(world: World) -> None:
    shown: list[RunState] = []

    def look(run: Run[Thing, Status]) -> Answer:
        shown.append(run.state)
        if run.attempt == 1:
            return failing(run)
        return run.save_and_repeat() if run.version == 1 else run.skip()

    job = Job(world.clock, look, own={"err_backoff": SECOND})
    with world.engine(job.workflow) as engine:
        (handle,) = trigger(engine, job)
        engine.run_until_idle()
        assert shown == [RunState.RUNNING]
        assert handle.record().state is RunState.INITIATED

        engine.advance(SECOND)
        assert handle.record().state is RunState.RUNNING


def test_a_transition_keeps_the_time_of_creation_and_sets_that_of_the_change(world: World) -> None:
    job = Job(world.clock)
    with world.engine(job.workflow) as engine:
        (handle,) = trigger(engine, job)
        created = world.clock.now()
        world.clock.advance(timedelta(minutes=5))
        engine.run_until_idle()

        record = handle.record()
        assert (record.created_at, record.updated_at, record.version) == (created, world.clock.now(), 2)


def test_the_run_that_a_step_was_given_may_be_kept(world: World) -> None:
    seen: list[Run[Thing, Stage]] = []
    workflow = staged(seen)
    with world.engine(workflow) as engine:
        engine.trigger(workflow, "a", Thing())
        engine.trigger(workflow, "b", Thing())
        engine.run_until_idle()

    kept = [(run.foreign_id, run.status, run.object.note) for run in seen if run.status is Stage.ONE]
    assert sorted(kept) == [("a", Stage.ONE, "first"), ("b", Stage.ONE, "first")]


def test_a_step_cannot_change_the_metadata_of_its_run(world: World) -> None:
    refused: list[TypeError] = []

    def write(run: Run[Thing, Status]) -> Answer:
        metadata: Any = run.metadata
        try:
            metadata["tenant"] = "red"
        except TypeError as error:
            refused.append(error)
        return Status.DONE

    job = Job(world.clock, write)
    with world.engine(job.workflow) as engine:
        handle = engine.trigger(job.workflow, "thing", Thing(), metadata={"tenant": "blue"})
        engine.run_until_idle()

        assert len(refused) == 1
        assert dict(handle.record().metadata) == {"tenant": "blue"}


def test_a_failed_attempt_hands_the_next_one_the_object_as_it_was_stored(world: World) -> None:
    notes: list[str] = []

    def spoil(run: Run[Thing, Status]) -> Answer:
        notes.append(run.object.note)
        run.object.note = "spoiled"
        return failing(run) if run.attempt < 3 else Status.DONE

    job = Job(world.clock, spoil, own={"err_backoff": timedelta(0)})
    with world.engine(job.workflow) as engine:
        trigger(engine, job)
        engine.run_until_idle()

    assert notes == ["", "", ""]


def test_the_error_of_the_last_attempt_can_be_read_with_its_type_while_the_run_waits(world: World) -> None:
    job = Job(world.clock, failing)
    with world.engine(job.workflow) as engine:
        (handle,) = trigger(engine, job)
        engine.run_until_idle()

        (row,) = handle.pending()
        assert row.last_error == "RuntimeError: no luck"


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("handoff", [True, False])
def test_a_repeat_goes_behind_the_work_that_waits_already(world: World, handoff: bool, concurrency: int) -> None:
    order: list[str] = []

    def in_pieces(run: Run[Thing, Status]) -> Answer:
        order.append(run.foreign_id)
        run.object.note += "x"
        return Status.DONE if len(run.object.note) == 2 else run.save_and_repeat()

    names = [f"thing-{number}" for number in range(12)]
    job = Job(world.clock, in_pieces, own={"concurrency": concurrency})
    outsider = world.outsider(job.workflow)
    for name in names:
        outsider.trigger(job.workflow, name, Thing())
        world.clock.advance(SECOND)
    with world.engine(job.workflow, handoff=handoff) as engine:
        engine.run_until_idle()

    assert order[:12] == names, "everybody's first piece before anybody's second"
    assert sorted(order[12:]) == sorted(names)


def test_a_hundred_repeats_keep_every_change(world: World) -> None:
    def count(run: Run[Thing, Status]) -> Answer:
        run.object.note += "x"
        return Status.DONE if len(run.object.note) == 100 else run.save_and_repeat()

    job = Job(world.clock, count)
    with world.engine(job.workflow) as engine:
        (handle,) = trigger(engine, job)
        engine.run_until_idle()

        assert handle.run().object.note == "x" * 100
        assert (handle.record().version, handle.record().visit) == (101, 2)


def test_an_event_of_a_run_that_was_stopped_meanwhile_runs_nothing(world: World) -> None:
    job = Job(world.clock)
    outsider = world.outsider(job.workflow)
    (paused, cancelled) = trigger(outsider, job, count=2)
    paused.pause("lunch")
    cancelled.cancel("no need")

    with world.engine(job.workflow) as engine:
        engine.run_until_idle()

        assert job.begun == []
        assert (paused.record().state, cancelled.record().state) == (RunState.PAUSED, RunState.CANCELLED)


def test_two_instances_never_run_one_step_of_one_run_twice(world: World) -> None:
    job = Job(world.clock)
    with world.engine(job.workflow) as one, world.engine(job.workflow, store=world.open_store()) as other:
        handles = trigger(world.outsider(job.workflow), job, count=20)
        for engine in (one, other):
            engine.worker.dispatcher.wake_all()
        while one.step() | other.step():
            pass

        assert len(job.begun) == 20
        assert {handle.record().version for handle in handles} == {2}
        done = [
            sample(
                engine,
                "workflow_run_state_changes",
                workflow_name="jobs",
                previous_run_state="Initiated",
                current_run_state="Completed",
            )
            or 0.0
            for engine in (one, other)
        ]
        assert sum(done) == 20
