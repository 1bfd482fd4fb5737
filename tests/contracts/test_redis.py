"""The store, the streamer, the roles and somebody else's streams on Redis keep their contracts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
import redis

from flowdsl.model.event import ConnectorEvent
from flowdsl.model.reading import header
from flowdsl.ports.connector_source import ConnectorSource
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.contracts import (
    ConnectorSourceContract,
    EventStreamerContract,
    RecordStoreContract,
    RoleSchedulerContract,
)
from flowdsl_redis.connector_source import RedisStreamSource
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


class TestRedisStreamSource(ConnectorSourceContract):
    @pytest.fixture
    def seeded(self, url: str) -> Callable[[Sequence[ConnectorEvent]], ConnectorSource]:
        prefix = url.rpartition("=")[2]
        server = url.partition("?")[0]

        def make(events: Sequence[ConnectorEvent]) -> ConnectorSource:
            stream = f"{{{prefix}}}:somebodys"
            with redis.Redis.from_url(server) as client:
                for number, event in enumerate(events):
                    fields = {**event.headers, "foreign_id": event.foreign_id, "event_id": event.event_id, "type": event.type}
                    moment = int(event.created_at.timestamp() * 1000)
                    client.xadd(stream, {**fields, "body": event.body}, id=f"{moment}-{number + 1}")
            return RedisStreamSource(
                server, stream, foreign_id=header("foreign_id"), event_id=header("event_id"), body_field="body"
            )

        return make
