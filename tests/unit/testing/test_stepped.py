"""The engine without threads, as tests use it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from flowdsl.errors import ConfigurationError, FlowError, WaitTimeoutError
from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.memory.role_scheduler import MemoryRoleScheduler
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.stepped import NotIdleError
from tests.behaviour.world import SECOND, Job, World, trigger


@pytest.fixture
def world() -> World:
    clock = ManualClock()
    store = MemoryRecordStore(clock)
    return World("memory", clock, store, MemoryRoleScheduler(clock), lambda: store)


def test_a_step_that_repeats_without_an_end_is_an_error_and_no_endless_test(world: World) -> None:
    job = Job(world.clock, lambda run: run.save_and_repeat())
    with world.engine(job.workflow) as engine:
        trigger(engine, job)

        with pytest.raises(NotIdleError, match="not idle after 50 rounds"):
            engine.run_until_idle(50)


def test_nothing_happens_before_the_test_says_so(world: World) -> None:
    job = Job(world.clock, own={"consume_lag": SECOND})
    with world.engine(job.workflow) as engine:
        trigger(engine, job)
        world.clock.advance(SECOND)
        assert job.begun == []

        engine.run_until_idle()

        assert len(job.begun) == 1


def test_the_worker_of_an_engine_that_was_not_started_is_an_error(world: World) -> None:
    with pytest.raises(FlowError, match="is not started"):
        _ = world.engine(Job(world.clock).workflow).worker


def test_to_advance_takes_a_duration(world: World) -> None:
    five: Any = 5
    with world.engine(Job(world.clock).workflow) as engine, pytest.raises(ConfigurationError, match=r"timedelta\(seconds=5\)\.$"):
        engine.advance(five)


def test_a_wait_that_ends_in_vain_says_that_nothing_happens_by_itself(world: World) -> None:
    job = Job(world.clock)
    with world.engine(job.workflow) as engine:
        (handle,) = trigger(engine, job)
        with pytest.raises(WaitTimeoutError, match=r"call engine\.run_until_idle\(\) first"):
            handle.wait(timeout=timedelta(0))
