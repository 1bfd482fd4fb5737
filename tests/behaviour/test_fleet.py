"""The fleet, as anybody with the store sees it."""

from __future__ import annotations

import asyncio
import os
import platform
from datetime import timedelta
from enum import StrEnum

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.model.fleet import Fleet, FleetLane
from tests.behaviour.world import DAY, MINUTE, Job, Status, Thing, World, says_what_it_consumes, trigger


def lane(fleet: Fleet, kind: str, name: str = "new") -> FleetLane:
    (found,) = [lane for lane in fleet.lanes if (lane.kind, lane.name) == (kind, name)]
    return found


def test_nobody_is_there_and_runs_wait(world: World) -> None:
    job = Job(world.clock)
    engine = world.outsider(job.workflow)
    trigger(engine, job, count=3)
    world.clock.advance(MINUTE)

    fleet = engine.fleet()

    assert (fleet.namespace, fleet.instances, fleet.at) == ("default", (), world.store.now())
    assert lane(fleet, "step") == FleetLane(
        topic="jobs/new", workflow="jobs", kind="step", name="new", due=3, oldest=MINUTE, waiting=0, consumers=0
    )


def test_without_the_code_it_knows_what_live_instances_have_said(world: World) -> None:
    job = Job(world.clock)
    with world.engine(job.workflow) as one, world.engine(job.workflow) as two:
        says_what_it_consumes(world, one)
        trigger(one, job)

        fleet = world.outsider().fleet()

        by_id = {instance.instance: instance for instance in fleet.instances}
        assert by_id.keys() == {one.worker._core.owner, two.worker._core.owner}
        first, second = by_id[one.worker._core.owner], by_id[two.worker._core.owner]
        assert (first.machine, first.pid) == (platform.node(), os.getpid())
        assert first.expires_at is not None
        assert first.expires_at > fleet.at
        assert first.consumers is not None
        assert first.consumers["jobs/new"] == 1
        assert second.consumers is None
        assert lane(fleet, "step").consumers == 1
    assert world.outsider().fleet().instances == ()
    assert world.outsider().fleet().lanes == ()


def test_what_waits_for_its_time_and_what_stands_beside_the_steps(world: World) -> None:
    job = Job(world.clock, own={"consume_lag": MINUTE})

    @job.workflow.timeout(from_=Status.NEW, to=Status.DONE, after=DAY, name="late/ly")
    def late(run: Run[Thing, Status]) -> None: ...

    @job.workflow.on_pause
    def tell(run: Run[Thing, Status]) -> None: ...

    engine = world.outsider(job.workflow)
    (handle,) = trigger(engine, job)
    handle.pause("stock")
    world.clock.advance(timedelta(seconds=5))

    fleet = engine.fleet()

    assert {(lane.kind, lane.name) for lane in fleet.lanes} == {
        ("step", "new"),
        ("timeout", "new/late/ly"),
        ("hook", "pause/tell"),
        ("event", ""),
        ("deletion", ""),
    }
    assert (lane(fleet, "hook", "pause/tell").due, lane(fleet, "hook", "pause/tell").oldest) == (1, timedelta(seconds=5))
    assert (lane(fleet, "step").due, lane(fleet, "timeout", "new/late/ly").waiting) == (0, 0), "they stand still"
    handle.resume()
    fleet = engine.fleet()
    assert (lane(fleet, "step").waiting, lane(fleet, "timeout", "new/late/ly").waiting) == (1, 1)


def test_names_of_any_text_are_read_back(world: World) -> None:
    class Odd(StrEnum):
        A = "a/b c"
        B = "%2F"

    workflow = Workflow("über x", object_type=Thing, status_type=Odd)

    @workflow.step(from_=Odd.A, to=Odd.B)
    def go(run: Run[Thing, Odd]) -> None: ...

    fleet = world.outsider(workflow).fleet()

    assert {lane.workflow for lane in fleet.lanes} == {"über x"}
    assert lane(fleet, "step", "a/b c").due == 0


def test_a_coroutine_may_ask(world: World) -> None:
    job = Job(world.clock)

    assert asyncio.run(world.outsider(job.workflow).aio.fleet()).namespace == "default"
