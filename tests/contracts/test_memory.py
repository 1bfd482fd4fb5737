"""The memory adapters keep every contract; they come first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from flowdsl.memory.connector_source import MemoryConnectorSource
from flowdsl.memory.event_streamer import MemoryEventStreamer
from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.memory.role_scheduler import MemoryRoleScheduler
from flowdsl.model.event import ConnectorEvent
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.contracts import (
    ConnectorSourceContract,
    EventStreamerContract,
    RecordStoreContract,
    RoleSchedulerContract,
)


class TestMemoryRecordStore(RecordStoreContract):
    @pytest.fixture
    def store_factory(self, clock: ManualClock) -> Callable[[], MemoryRecordStore]:
        first = MemoryRecordStore(clock)
        handles = iter([first])
        return lambda: next(handles, _Handle(first))


class _Handle(MemoryRecordStore):
    """Another handle on the same tables, that can be closed alone."""

    def __init__(self, first: MemoryRecordStore) -> None:
        self.__dict__.update(first.__dict__)


class TestMemoryRoleScheduler(RoleSchedulerContract):
    @pytest.fixture
    def scheduler_factory(self, clock: ManualClock) -> Callable[[], MemoryRoleScheduler]:
        first = MemoryRoleScheduler(clock)
        handles = iter([first])

        def another() -> MemoryRoleScheduler:
            handle = next(handles, None)
            if handle is None:
                handle = MemoryRoleScheduler(clock)
                handle.__dict__.update(first.__dict__)
            return handle

        return another


class TestMemoryEventStreamer(EventStreamerContract):
    @pytest.fixture
    def streamer_factory(self) -> Callable[[], MemoryEventStreamer]:
        streamer = MemoryEventStreamer()
        return lambda: streamer


class TestMemoryConnectorSource(ConnectorSourceContract):
    @pytest.fixture
    def seeded(self) -> Callable[[Sequence[ConnectorEvent]], MemoryConnectorSource]:
        return MemoryConnectorSource
