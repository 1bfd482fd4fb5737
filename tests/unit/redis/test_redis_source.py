"""Somebody else's stream when readers die, entries are odd and groups are gone. On the Redis of this machine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from flowdsl.errors import ConfigurationError, StreamerError
from flowdsl.model.event import ConnectorEvent
from flowdsl.model.reading import content_hash, header, json_field
from flowdsl.ports.connector_source import ConnectorReader
from flowdsl.ports.event_streamer import StartFrom
from flowdsl.testing.clock import ManualClock
from flowdsl_redis.connector_source import RedisStreamSource
from tests.proxy import Proxy
from tests.services import redis_keys

PATIENCE = timedelta(seconds=10)
NOW, SHORTLY = timedelta(0), timedelta(milliseconds=50)


class Owner:
    """The service whose stream it is."""

    def __init__(self, url: str) -> None:
        self.server, _, prefix = url.partition("?prefix=")
        self.stream = f"{{{prefix}}}:orders"
        self.client: Any = redis.Redis.from_url(self.server)

    def add(self, *numbers: int, **more: Any) -> None:
        for number in numbers:
            self.client.xadd(self.stream, {"order": f"o-{number}", **more})

    def source(self, url: str | None = None, **options: Any) -> RedisStreamSource:
        return RedisStreamSource(url or self.server, self.stream, **{"foreign_id": header("order"), **options})

    def pending(self, group: str = "courier") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.client.xpending_range(self.stream, group, "-", "+", 100)
        return found


@pytest.fixture
def owner() -> Iterator[Owner]:
    with redis_keys() as url:
        made = Owner(url)
        yield made
        made.client.close()


@pytest.fixture
def opened() -> Iterator[Callable[..., ConnectorReader]]:
    readers: list[ConnectorReader] = []

    def open_(source: RedisStreamSource, name: str = "courier") -> ConnectorReader:
        readers.append(source.open(name))
        return readers[-1]

    yield open_
    for reader in readers:
        reader.close()


def orders(events: Any) -> list[str]:
    return [event.foreign_id for event in events]


def until(reader: ConnectorReader, count: int) -> list[ConnectorEvent]:
    found: list[ConnectorEvent] = []
    for _ in range(100):
        try:
            found += reader.receive(count - len(found), timedelta(milliseconds=200))
        except StreamerError:
            continue
        if len(found) == count:
            return found
    raise AssertionError(f"{len(found)} of {count} came")


def test_an_entry_is_an_event_with_its_fields_as_headers_and_body(owner: Owner, opened: Callable[..., ConnectorReader]) -> None:
    owner.add(7, type="paid", total="5")
    (event,) = until(opened(owner.source(foreign_id=json_field("order"))), 1)
    entry = owner.client.xrange(owner.stream)[0][0].decode()
    assert (event.event_id, event.foreign_id, event.type) == (entry, "o-7", "paid")
    assert event.headers == {"order": "o-7", "type": "paid", "total": "5"}
    assert json.loads(event.body) == event.headers
    assert event.created_at == datetime.fromtimestamp(int(entry.partition("-")[0]) / 1000, UTC)


def test_a_field_may_be_the_body(owner: Owner, opened: Callable[..., ConnectorReader]) -> None:
    owner.add(7, data=b"\xff\x00")
    owner.add(8)
    first, second = until(opened(owner.source(body_field="data")), 2)
    assert (first.body, first.headers, second.body) == (b"\xff\x00", {"order": "o-7"}, b"")


def test_a_stream_that_is_not_there_is_not_made(owner: Owner) -> None:
    with pytest.raises(StreamerError, match=r"there is no stream .*check the name"):
        owner.source().open("courier")
    assert not owner.client.exists(owner.stream)


def test_a_group_begins_where_it_is_told_and_goes_on_where_it_was(owner: Owner, opened: Callable[..., ConnectorReader]) -> None:
    owner.add(1)
    late = owner.source(start=StartFrom.NOW)
    first = opened(late)
    owner.add(2)
    got = until(first, 1)
    assert orders(got) == ["o-2"]
    first.acknowledge(got)
    first.close()
    owner.add(3)
    assert orders(until(opened(late), 1)) == ["o-3"]
    assert orders(until(opened(owner.source(), "another"), 3)) == ["o-1", "o-2", "o-3"]
    shared = owner.source(group="courier")
    assert (shared.keeps_places, late.keeps_places) == (False, True)


def test_the_stream_is_left_as_it_is(owner: Owner, opened: Callable[..., ConnectorReader]) -> None:
    owner.add(1, 2)
    reader = opened(owner.source())
    reader.acknowledge(until(reader, 2))
    reader.close()
    assert owner.client.xlen(owner.stream) == 2
    assert owner.client.xinfo_consumers(owner.stream, "courier") == []


@pytest.mark.slow
def test_what_a_dead_reader_had_is_taken_over_and_says_so(owner: Owner, opened: Callable[..., ConnectorReader]) -> None:
    owner.add(1, 2)
    source = owner.source(claim_after=timedelta(seconds=1))
    dead = source.open("courier")  # and it is never heard of again
    assert orders(dead.receive(5, PATIENCE)) == ["o-1", "o-2"]
    again = until(opened(source), 2)
    assert orders(again) == ["o-1", "o-2"]
    assert all(event.redelivered for event in again)


def test_what_is_in_hand_is_claimed_again_while_the_reader_lives(owner: Owner, opened: Callable[..., ConnectorReader]) -> None:
    clock = ManualClock()
    owner.add(1)
    reader = opened(owner.source(clock=clock))
    reader.receive(5, NOW)
    owner.client.xclaim(owner.stream, "courier", "nobody", 0, [owner.pending()[0]["message_id"]], idle=50_000, justid=True)
    reader.receive(0, NOW)
    assert owner.pending()[0]["time_since_delivered"] >= 50_000
    clock.advance(timedelta(seconds=15))
    reader.receive(0, NOW)
    assert owner.pending()[0]["time_since_delivered"] < 10_000


def test_what_one_reader_has_in_hand_no_other_gets(owner: Owner, opened: Callable[..., ConnectorReader]) -> None:
    owner.add(1)
    first, second = opened(owner.source()), opened(owner.source())
    assert orders(first.receive(5, PATIENCE)) == ["o-1"]
    assert list(second.receive(5, SHORTLY)) == []
    first.close()
    again = until(second, 1)
    assert (orders(again), again[0].redelivered) == (["o-1"], True)


def test_entries_that_their_owner_deleted_are_passed_over(owner: Owner, opened: Callable[..., ConnectorReader]) -> None:
    owner.add(1, 2)
    first = opened(owner.source())
    first.receive(5, PATIENCE)
    owner.client.xdel(owner.stream, owner.client.xrange(owner.stream)[0][0])
    first.close()
    second = opened(owner.source())
    assert orders(until(second, 1)) == ["o-2"]
    second.receive(0, NOW)
    assert len(owner.pending()) == 1


def test_a_group_that_is_gone_is_made_anew(
    owner: Owner, opened: Callable[..., ConnectorReader], caplog: pytest.LogCaptureFixture
) -> None:
    owner.add(1)
    reader = opened(owner.source())
    until(reader, 1)
    owner.client.xgroup_destroy(owner.stream, "courier")
    assert orders(until(reader, 1)) == ["o-1"]
    assert "is gone" in caplog.text


def test_a_reader_goes_on_after_its_connection_was_cut(owner: Owner, opened: Callable[..., ConnectorReader]) -> None:
    proxy = Proxy(owner.server)
    try:
        owner.add(1, 2)
        reader = opened(owner.source(proxy.url))
        got = until(reader, 2)
        proxy.cut()
        reader.acknowledge(got)
        owner.add(3)
        assert orders(until(reader, 1)) == ["o-3"]
        assert len(owner.pending()) == 1
    finally:
        proxy.close()


def test_an_acknowledgement_that_failed_is_made_later(owner: Owner, opened: Callable[..., ConnectorReader]) -> None:
    owner.add(1)
    reader: Any = opened(owner.source())
    got = until(reader, 1)
    real = reader._client.xack

    def fail(*args: Any) -> Any:
        reader._client.xack = real
        raise redis.exceptions.ConnectionError("cut")

    reader._client.xack = fail
    with pytest.raises(StreamerError, match="acknowledging"):
        reader.acknowledge(got)
    assert len(owner.pending()) == 1
    reader.receive(0, NOW)
    assert owner.pending() == []


def test_an_answer_that_was_lost_is_read_again(owner: Owner, opened: Callable[..., ConnectorReader]) -> None:
    owner.add(1)
    reader: Any = opened(owner.source())
    real = reader._client.xreadgroup

    def lose(*args: Any, **options: Any) -> Any:
        real(*args, **options)
        reader._client.xreadgroup = real
        raise redis.exceptions.ConnectionError("cut")

    reader._client.xreadgroup = lose
    with pytest.raises(StreamerError):
        reader.receive(5, NOW)
    owner.add(2)
    first, second = until(reader, 2)
    assert (first.foreign_id, first.redelivered, second.foreign_id, second.redelivered) == ("o-1", True, "o-2", False)


def test_what_cannot_be_is_refused_when_it_is_declared() -> None:
    with pytest.raises(ConfigurationError, match="claim_after=0:00:00"):
        RedisStreamSource("redis://localhost", "s", foreign_id=content_hash, claim_after=timedelta(0))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        RedisStreamSource("redis://localhost:x", "s", foreign_id=content_hash)
    assert "hush" not in repr(RedisStreamSource("redis://u:hush@localhost", "s", foreign_id=content_hash))
