"""polling_frequency=None: nobody looks without being told to, and yet nothing that a dead process knew of is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from flowdsl.engine.membership import DEFAULT_BEAT, DEFAULT_LAPSE
from flowdsl.memory.event_streamer import MemoryEventStreamer
from flowdsl.model.run_state import RunState
from flowdsl.testing.stepped import SteppedEngine
from tests.behaviour.world import HOUR, MINUTE, SECOND, Job, World, claimed, trigger

LATER = 3 * HOUR


@pytest.fixture(params=["the store alone", "with a streamer"])
def settings(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    if request.param == "the store alone":
        yield {}
        return
    streamer = MemoryEventStreamer()
    yield {"streamer": streamer}
    streamer.close()


def job_that_fails_once(world: World) -> Job:
    tries = iter([RuntimeError("once")])

    def body(run: Any) -> None:
        if error := next(tries, None):
            raise error

    return Job(world.clock, body, own={"polling_frequency": None, "err_backoff": LATER})


def settle(engine: SteppedEngine) -> None:
    """As run_until_idle, without telling the engine to look again."""
    while engine.step():
        pass


def pass_time(engine: SteppedEngine, duration: timedelta) -> None:
    engine.worker.membership.cover(duration)
    engine.clock.advance(duration)
    settle(engine)


def test_a_retry_is_made_when_it_is_due_by_whoever_was_started_since(world: World, settings: dict[str, Any]) -> None:
    job = job_that_fails_once(world)
    with world.engine(job.workflow, **settings) as first:
        (handle,) = trigger(first, job)
        settle(first)
    world.clock.advance(HOUR)
    with world.engine(job.workflow, **settings) as second:
        settle(second)
        pass_time(second, LATER - HOUR - SECOND)
        assert len(job.begun) == 1
        pass_time(second, SECOND)
        assert handle.record().state is RunState.COMPLETED


def test_a_retry_of_an_instance_that_died_is_made_by_another(world: World, settings: dict[str, Any]) -> None:
    job = job_that_fails_once(world)
    with world.engine(job.workflow, **settings) as other:
        settle(other)
        first = world.engine(job.workflow, store=world.open_store(), **settings)
        first.start()
        (handle,) = trigger(first, job)
        settle(first)
        assert len(job.begun) == 1
        pass_time(other, DEFAULT_BEAT)  # it has seen the first one
        first.crash()
        pass_time(other, DEFAULT_LAPSE + DEFAULT_BEAT)
        pass_time(other, LATER)
        assert handle.record().state is RunState.COMPLETED


def test_what_a_dead_instance_held_is_taken_over_without_a_poll(world: World, settings: dict[str, Any]) -> None:
    job = Job(world.clock, own={"polling_frequency": None})
    with world.engine(job.workflow, **settings) as other:
        settle(other)
        first = world.engine(job.workflow, store=world.open_store(), **settings)
        first.start()
        (handle,) = trigger(first, job)  # handed over within the first, whose body has not begun
        while not claimed([handle]):
            first.step()
        first.crash()
        pass_time(other, DEFAULT_LAPSE + DEFAULT_BEAT)
        assert handle.record().state is RunState.COMPLETED


def test_rows_that_are_to_come_are_not_asked_for_again_and_again(world: World) -> None:
    job = job_that_fails_once(world)
    with world.engine(job.workflow) as engine:
        trigger(engine, job)
        settle(engine)
        for _ in range(20):
            pass_time(engine, MINUTE)
        lane = engine._the_core().topics["jobs/new"]
        assert lane.next_look() is not None
        assert (lane.next_look() or 0) > world.clock.monotonic() + HOUR.total_seconds()
