"""How many work at once, in the fleet and in one consumer: parallel_count, concurrency."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest

from flowdsl.engine.metrics import ProcessState
from flowdsl.errors import OptionError
from flowdsl.model.run_state import RunState
from flowdsl.options import DEFAULT_ASYNC_CONCURRENCY, DEFAULT_CONCURRENCY
from flowdsl.testing.stepped import SteppedEngine
from tests.behaviour.world import MINUTE, PLACES, SECOND, Job, Place, World, claimed, given, trigger

places = pytest.mark.parametrize("place", PLACES)


def fleet(world: World, stack: ExitStack, job: Job, size: int) -> list[SteppedEngine]:
    """Instances that have had the time to agree on who consumes."""
    engines = [stack.enter_context(world.engine(job.workflow)) for _ in range(size)]
    agree(world, engines)
    return engines


def agree(world: World, engines: list[SteppedEngine]) -> None:
    """Let the instances beat and campaign for longer than a lapse and a lease."""
    for _ in range(10):
        world.clock.advance(5 * SECOND)
        for engine in engines:
            for process in engine.worker.vital_processes:
                process.step()


def consumers(engines: list[SteppedEngine]) -> list[bool]:
    """Which of the instances consume the step."""
    names = [{name: state for name, state in engine.states().items() if "new-consumer" in name} for engine in engines]
    return [list(states.values()) == [ProcessState.RUNNING] for states in names]


def claim_everywhere(engines: list[SteppedEngine]) -> None:
    """Let every instance take what it may, and run nothing."""
    for _ in range(5):
        for engine in engines:
            engine.worker.dispatcher.wake_all()
            engine.worker.dispatcher.step()


@places
def test_parallel_count_bounds_the_consumers_of_the_whole_fleet(world: World, place: Place) -> None:
    own, defaults = given(place, parallel_count=2, concurrency=3)
    job = Job(world.clock, own=own, defaults=defaults)
    handles = trigger(world.outsider(job.workflow), job, count=20)
    with ExitStack() as stack:
        engines = fleet(world, stack, job, 4)
        assert sum(consumers(engines)) == 2
        claim_everywhere(engines)
        assert claimed(handles) == 2 * 3, "two consumers, three runs in flight each"


def test_parallel_count_of_one_is_one_consumer_in_the_fleet(world: World) -> None:
    job = Job(world.clock, own={"parallel_count": 1, "concurrency": 1})
    handles = trigger(world.outsider(job.workflow), job, count=5)
    with ExitStack() as stack:
        engines = fleet(world, stack, job, 3)
        assert sum(consumers(engines)) == 1
        claim_everywhere(engines)
        assert claimed(handles) == 1


@places
@pytest.mark.parametrize("options", [{}, {"parallel_count": None}], ids=["unset", "none"])
def test_without_parallel_count_every_instance_consumes(world: World, place: Place, options: dict[str, Any]) -> None:
    own, defaults = given(place, concurrency=2, **options)
    job = Job(world.clock, own=own, defaults=defaults)
    handles = trigger(world.outsider(job.workflow), job, count=20)
    with ExitStack() as stack:
        engines = fleet(world, stack, job, 3)
        assert consumers(engines) == [True] * 3
        claim_everywhere(engines)
        assert claimed(handles) == 3 * 2


def test_none_at_the_step_undoes_the_workflows_parallel_count(world: World) -> None:
    job = Job(world.clock, own={"parallel_count": None}, defaults={"parallel_count": 1})
    with ExitStack() as stack:
        assert consumers(fleet(world, stack, job, 3)) == [True] * 3


def test_one_instance_fills_every_consumer_that_nobody_else_wants(world: World) -> None:
    job = Job(world.clock, own={"parallel_count": 3, "concurrency": 2})
    handles = trigger(world.outsider(job.workflow), job, count=20)
    with world.engine(job.workflow) as engine:
        claim_everywhere([engine])
        assert claimed(handles) == 3 * 2


def test_a_consumer_moves_on_when_its_holder_crashes(world: World) -> None:
    job = Job(world.clock, own={"parallel_count": 1})
    with ExitStack() as stack:
        first, second = fleet(world, stack, job, 2)
        holder, other = (first, second) if consumers([first])[0] else (second, first)
        (handle,) = trigger(world.outsider(job.workflow), job)
        other.run_until_idle()
        assert job.begun == [], "the one that does not hold the role leaves the work alone"
        holder.crash()
        agree(world, [other])
        assert consumers([other]) == [True]
        other.run_until_idle()
        assert other.handle(handle.run_id).record().state is RunState.COMPLETED


def test_a_consumer_moves_on_at_once_when_its_holder_stops(world: World) -> None:
    job = Job(world.clock, own={"parallel_count": 1})
    with ExitStack() as stack:
        other = stack.enter_context(world.engine(job.workflow))
        with world.engine(job.workflow) as newcomer:
            agree(world, [other, newcomer])
            holder = other if consumers([other])[0] else newcomer
            rest = newcomer if holder is other else other
            trigger(world.outsider(job.workflow), job)
            holder._stop(None)
            rest.advance(5 * SECOND)
            assert len(job.begun) == 1


def test_a_holder_that_cannot_renew_stops_before_another_may_begin(world: World) -> None:
    job = Job(world.clock, own={"parallel_count": 1})
    with ExitStack() as stack:
        first = stack.enter_context(world.engine(job.workflow))
        assert consumers([first]) == [True]
        trigger(world.outsider(job.workflow), job)
        first.worker.roles._next = float("inf")  # its campaigns do not get through
        world.clock.advance(11 * SECOND)  # of a lease of 15
        first.run_until_idle()
        assert consumers([first]) == [False]
        assert job.begun == []
        second = stack.enter_context(world.engine(job.workflow))
        assert consumers([second]) == [False], "the lease still runs"
        agree(world, [second])
        second.run_until_idle()
        assert len(job.begun) == 1


def test_consumers_are_shared_out_and_not_hoarded_by_whoever_came_first(world: World) -> None:
    job = Job(world.clock, own={"parallel_count": 4, "concurrency": 1})
    handles = trigger(world.outsider(job.workflow), job, count=10)
    with ExitStack() as stack:
        first = stack.enter_context(world.engine(job.workflow))
        agree(world, [first])
        second = stack.enter_context(world.engine(job.workflow))
        agree(world, [first, second])
        assert consumers([first, second]) == [True, True]
        claim_everywhere([first, second])
        assert claimed(handles) == 4


# -- concurrency ----------------------------------------------------------------------------------------------------------------


def in_flight(world: World, job: Job, count: int) -> int:
    """How many of so many waiting runs one instance takes in hand."""
    handles = trigger(world.outsider(job.workflow), job, count=count)
    with world.engine(job.workflow) as engine:
        claim_everywhere([engine])
        return claimed(handles)


@places
@pytest.mark.parametrize("is_async", [False, True], ids=["def", "async def"])
@pytest.mark.parametrize("concurrency", [1, 4])
def test_concurrency_is_the_number_of_runs_in_flight(world: World, place: Place, is_async: bool, concurrency: int) -> None:
    own, defaults = given(place, concurrency=concurrency)
    assert in_flight(world, Job(world.clock, own=own, defaults=defaults, is_async=is_async), 12) == concurrency


@places
@pytest.mark.parametrize("options", [{}, {"concurrency": None}], ids=["unset", "none"])
@pytest.mark.parametrize(
    ("is_async", "limit"), [(False, DEFAULT_CONCURRENCY), (True, DEFAULT_ASYNC_CONCURRENCY)], ids=["def", "async def"]
)
def test_unset_or_none_ten_def_bodies_or_a_hundred_async_ones_are_in_flight(
    world: World, place: Place, options: dict[str, Any], is_async: bool, limit: int
) -> None:
    own, defaults = given(place, **options)
    assert in_flight(world, Job(world.clock, own=own, defaults=defaults, is_async=is_async), limit + 5) == limit


def test_none_at_the_step_undoes_the_workflows_concurrency(world: World) -> None:
    assert in_flight(world, Job(world.clock, own={"concurrency": None}, defaults={"concurrency": 1}), 12) == 10


def test_work_beyond_the_concurrency_waits_for_a_free_place(world: World) -> None:
    job = Job(world.clock, own={"concurrency": 2})
    with world.engine(job.workflow) as engine:
        handles = trigger(engine, job, count=6)
        claim_everywhere([engine])
        assert claimed(handles) == 2
        engine.run_until_idle()
        assert all(handle.record().state is RunState.COMPLETED for handle in handles)


@places
@pytest.mark.parametrize("name", ["parallel_count", "concurrency"])
def test_zero_is_refused_where_it_is_written(memory_world: World, place: Place, name: str) -> None:
    own, defaults = given(place, **{name: 0})
    with pytest.raises(OptionError, match=name):
        Job(memory_world.clock, own=own, defaults=defaults)


def test_the_whole_fleet_together_does_every_run_once(world: World) -> None:
    job = Job(world.clock, own={"parallel_count": 2, "concurrency": 2})
    with ExitStack() as stack:
        engines = fleet(world, stack, job, 3)
        handles = trigger(world.outsider(job.workflow), job, count=15)
        for _ in range(20):
            for engine in engines:
                engine.step()
        engines[0].advance(MINUTE)
        assert all(handle.record().state is RunState.COMPLETED for handle in handles)
    assert len(job.begun) == 15
