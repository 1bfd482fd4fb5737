"""Another version of the code takes over: nothing is repeated, nothing is lost, and what it does not know it leaves alone."""

from __future__ import annotations

from enum import StrEnum

import pytest

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.model.run_state import RunState
from tests.behaviour.world import MINUTE, Job, Thing, World, failing, trigger


class Old(StrEnum):
    NEW = "new"
    CHECKED = "checked"
    DONE = "done"


class Young(StrEnum):
    NEW = "new"
    DONE = "done"


def old_code() -> Workflow[Thing, Old]:
    workflow = Workflow("jobs", object_type=Thing, status_type=Old)

    @workflow.step(from_=Old.NEW, to=Old.CHECKED)
    def check(run: Run[Thing, Old]) -> None:
        run.object.note += "checked "

    @workflow.step(from_=Old.CHECKED, to=Old.DONE)
    def finish(run: Run[Thing, Old]) -> None:
        run.object.note += "finished"

    return workflow


def young_code() -> Workflow[Thing, Young]:
    workflow = Workflow("jobs", object_type=Thing, status_type=Young)

    @workflow.step(from_=Young.NEW, to=Young.DONE)
    def finish(run: Run[Thing, Young]) -> None:
        run.object.note += "at once"

    return workflow


@pytest.mark.parametrize("handoff", [True, False])
def test_another_parallel_count_repeats_nothing_and_leaves_nothing_out(world: World, handoff: bool) -> None:
    jobs = [Job(world.clock, own={"parallel_count": count}) for count in (1, 4, 2)]
    for number, job in enumerate(jobs):
        with world.engine(job.workflow, handoff=handoff) as engine:
            handles = [engine.trigger(job.workflow, f"{number}-{thing}", Thing()) for thing in range(20)]
            engine.advance(MINUTE)

            assert {handle.record().state for handle in handles} == {RunState.COMPLETED}
            assert len(job.begun) == 20, "its own runs, and none of those that an earlier deployment did"


def test_a_run_in_a_status_that_the_code_does_not_know_waits_in_sight_for_code_that_does(world: World) -> None:
    old, young = old_code(), young_code()
    with world.engine(old, handoff=False) as engine:
        handle = engine.trigger(old, "thing", Thing())
        while handle.record().status == "new":
            engine.step()
    assert handle.record().status == "checked"

    with world.engine(young) as engine:
        other = engine.trigger(young, "other", Thing())
        engine.advance(30 * MINUTE)

        assert other.run().object.note == "at once"
        assert [run.status for run in engine.runs(young, statuses=["checked"]).runs] == ["checked"]
        (row,) = handle.pending()
        assert (row.topic, row.attempts) == ("jobs/checked", 0)

    with world.engine(old) as engine:
        engine.advance(MINUTE)

        run = engine.latest(old, "thing").run()
        assert (run.object.note, run.state) == ("checked finished", RunState.COMPLETED)


def test_a_run_that_waits_for_a_retry_meets_the_new_body(world: World) -> None:
    before = Job(world.clock, failing, own={"err_backoff": MINUTE})
    with world.engine(before.workflow) as engine:
        (handle,) = trigger(engine, before)
        engine.run_until_idle()

    after = Job(world.clock)
    with world.engine(after.workflow) as engine:
        engine.advance(MINUTE)

        assert len(after.begun) == 1
        assert engine.handle(handle.run_id).record().state is RunState.COMPLETED
