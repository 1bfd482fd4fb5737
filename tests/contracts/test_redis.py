"""The streamer and the roles on Redis keep their contracts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from flowdsl.testing.clock import ManualClock
from flowdsl.testing.contracts import EventStreamerContract, RecordStoreContract, RoleSchedulerContract
from flowdsl_redis.event_streamer import RedisEventStreamer, open_streamer
from flowdsl_redis.record_store import RedisRecordStore, open_store
from flowdsl_redis.role_scheduler import RedisRoleScheduler, open_roles
from tests.services import redis_keys


@pytest.fixture
def url() -> Iterator[str]:
    with redis_keys() as found:
        yield found


class TestRedisRecordStore(RecordStoreContract):
    @pytest.fixture
    def store_factory(self, url: str, clock: ManualClock) -> Iterator[Callable[[], RedisRecordStore]]:
        opened: list[RedisRecordStore] = []

        def make() -> RedisRecordStore:
            store = open_store(url, clock=clock)
            opened.append(store)
            return store

        yield make
        for store in opened:
            store.close()


class TestRedisEventStreamer(EventStreamerContract):
    @pytest.fixture
    def streamer_factory(self, url: str) -> Iterator[Callable[[], RedisEventStreamer]]:
        opened: list[RedisEventStreamer] = []

        def make() -> RedisEventStreamer:
            streamer = open_streamer(url)
            opened.append(streamer)
            return streamer

        yield make
        for streamer in opened:
            streamer.close()


class TestRedisRoleScheduler(RoleSchedulerContract):
    @pytest.fixture
    def scheduler_factory(self, url: str, clock: ManualClock) -> Iterator[Callable[[], RedisRoleScheduler]]:
        opened: list[RedisRoleScheduler] = []

        def make() -> RedisRoleScheduler:
            roles = open_roles(url, clock=clock)
            opened.append(roles)
            return roles

        yield make
        for roles in opened:
            roles.close()
