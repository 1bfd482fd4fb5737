"""What an engine is made of, and what it says when something is missing or cannot work."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import pytest

from flowdsl.engine.engine import Engine
from flowdsl.errors import ConfigurationError, IllegalMoveError, RunNotFoundError, WorkflowInProgressError
from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.memory.role_scheduler import MemoryRoleScheduler
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.stepped import SteppedEngine
from tests.behaviour.world import Job, World, trigger


def test_an_engine_that_lacks_something_says_so_at_its_start() -> None:
    workflow = Job(ManualClock()).workflow

    without_roles = Engine(workflow, store=MemoryRecordStore())
    without_workflows = Engine(store=MemoryRecordStore(), roles=MemoryRoleScheduler())

    with pytest.raises(ConfigurationError, match="no role scheduler"):
        without_roles.start()
    with pytest.raises(ConfigurationError, match="without workflows has nothing to work on"):
        without_workflows.start()
    assert without_roles.states() == without_workflows.states() == {}


def test_a_heartbeat_that_is_too_slow_for_its_claims_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="over twice the beat"):
        Engine(store=MemoryRecordStore(), beat=timedelta(seconds=15), lapse=timedelta(seconds=30))


MAKERS: list[Callable[..., Engine]] = [
    lambda **settings: Engine(store=MemoryRecordStore(), **settings),
    lambda **settings: Engine.from_url(store="memory://", **settings),
    lambda **settings: Engine.client(store="memory://", **settings),
    lambda **settings: SteppedEngine(**settings),
    lambda **settings: SteppedEngine.from_url(store="memory://", **settings),
]


@pytest.mark.parametrize("make", MAKERS, ids=["Engine", "from_url", "client", "SteppedEngine", "SteppedEngine.from_url"])
def test_a_setting_that_there_is_not_is_refused_with_what_it_may_have_been(make: Callable[..., Engine]) -> None:
    with pytest.raises(
        ConfigurationError, match=r"^an engine has no option 'drian'\. Did you mean 'drain'\? Known: store, roles"
    ):
        make(drian=timedelta(seconds=3))


@pytest.mark.parametrize("name", ["drain", "beat", "lapse", "lease"])
def test_a_setting_that_is_no_duration_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{name}=3 is not a duration\. Write {name}=timedelta\(seconds=3\)"):
        Engine.from_url(store="memory://", **cast("Any", {name: 3}))


def test_the_states_that_were_answered_are_the_askers_own(memory_world: World) -> None:
    job = Job(memory_world.clock)
    with memory_world.engine(job.workflow) as engine:
        states: Any = engine.states()
        states.clear()

        assert "jobs/new-consumer-1-of-1" in engine.states()


def test_an_error_about_a_run_carries_its_ids(world: World) -> None:
    job = Job(world.clock)
    engine = world.outsider(job.workflow)
    (handle,) = trigger(engine, job)
    ids = (handle.run_id, "jobs", "thing-0")

    with pytest.raises(WorkflowInProgressError) as in_progress:
        trigger(engine, job)
    with pytest.raises(IllegalMoveError) as illegal:
        handle.resume()
    with pytest.raises(RunNotFoundError) as unknown_id:
        engine.handle("nobody")
    with pytest.raises(RunNotFoundError) as unknown_name:
        engine.latest(job.workflow, "nobody")

    for error in (in_progress.value, illegal.value):
        assert (error.run_id, error.workflow, error.foreign_id) == ids
    assert unknown_id.value.run_id == "nobody"
    assert (unknown_name.value.workflow, unknown_name.value.foreign_id) == ("jobs", "nobody")
