"""What an engine is made of, and what it says when something is missing or cannot work."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flowdsl.engine.engine import Engine
from flowdsl.errors import ConfigurationError
from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.memory.role_scheduler import MemoryRoleScheduler
from flowdsl.testing.clock import ManualClock
from tests.behaviour.world import Job


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
