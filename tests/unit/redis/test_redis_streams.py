"""The streamer on Redis Streams when connections, readers, messages and the server's memory fail."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from flowdsl.errors import ConfigurationError, StreamerError
from flowdsl.model.event import Event
from flowdsl.model.pending import TopicQuota
from flowdsl.ports.event_streamer import EventReceiver, StartFrom
from flowdsl_redis import forgetting
from flowdsl_redis.event_streamer import RedisEventStreamer, open_streamer
from flowdsl_redis.keys import FIELD, stream
from flowdsl_redis.record_store import open_store
from flowdsl_redis.role_scheduler import open_roles
from tests.proxy import Proxy
from tests.services import REDIS, broker, own_redis

PATIENCE = timedelta(seconds=15)
TOPIC = "default/orders/created"


@pytest.fixture
def prefix() -> str:
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture
def client(prefix: str) -> Iterator[Any]:
    with redis.Redis.from_url(broker(REDIS)) as client:
        yield client
        for key in client.scan_iter(f"{{{prefix}}}*"):
            client.delete(key)


@pytest.fixture
def streamer(prefix: str, client: Any) -> Iterator[RedisEventStreamer]:
    made = open_streamer(f"{REDIS}?prefix={prefix}&claim_after=0.2")
    yield made
    made.close()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    made = Proxy(broker(REDIS))
    yield made
    made.close()


@pytest.fixture
def through(proxy: Proxy, prefix: str, streamer: RedisEventStreamer) -> Iterator[RedisEventStreamer]:
    """The same streams, by way of the proxy."""
    made = open_streamer(f"{proxy.url}?prefix={prefix}&claim_after=3600&socket_timeout=3")
    yield made
    made.close()


def make(topic: str = TOPIC) -> Event:
    return Event(event_id=uuid.uuid4().hex, topic=topic, created_at=datetime.now(UTC))


def receive(receiver: EventReceiver, count: int) -> list[Event]:
    """`count` events, whatever fails meanwhile."""
    found: list[Event] = []
    for _ in range(50):
        try:
            got = receiver.receive([TopicQuota(TOPIC, count - len(found))], PATIENCE)
        except StreamerError:
            continue
        assert got, f"{len(found)} of {count} came"
        found += got
        if len(found) == count:
            return found
    raise AssertionError(f"{len(found)} of {count} came")


def test_a_receiver_reads_on_after_its_connection_was_cut(
    streamer: RedisEventStreamer, through: RedisEventStreamer, proxy: Proxy
) -> None:
    receiver = through.receiver("steps", [TOPIC])
    first = make()
    streamer.publish([first])
    assert receive(receiver, 1) == [first]

    proxy.cut()
    second = make()
    streamer.publish([second])

    assert receive(receiver, 1) == [second], "what is still with the reader does not come a second time"
    receiver.acknowledge([first, second])
    receiver.close()


def test_events_whose_delivery_was_lost_on_the_way_come_again(
    streamer: RedisEventStreamer, through: RedisEventStreamer, proxy: Proxy
) -> None:
    receiver = through.receiver("steps", [TOPIC])
    event = make()
    streamer.publish([event])
    proxy.silence()  # Redis hands the event out, and its answer does not arrive
    with pytest.raises(StreamerError, match="receiving"):
        receiver.receive([TopicQuota(TOPIC, 10)], PATIENCE)

    proxy.speak()

    assert receive(receiver, 1) == [event]
    receiver.close()


def test_publishing_says_so_while_redis_is_away_and_works_again_afterwards(
    through: RedisEventStreamer, proxy: Proxy, streamer: RedisEventStreamer
) -> None:
    receiver = streamer.receiver("steps", [TOPIC])
    assert list(through.publish([make()])) == [True]
    proxy.silence()
    with pytest.raises(StreamerError, match=r"publishing at redis://127\.0\.0\.1"):
        through.publish([make()])
    proxy.speak()
    event = make()

    assert list(through.publish([event])) == [True]
    assert event in receive(receiver, 3), "nothing was known of the second, which did arrive"
    receiver.close()


def test_what_a_killed_reader_held_comes_to_another(streamer: RedisEventStreamer, prefix: str) -> None:
    streamer.receiver("steps", [TOPIC]).close()
    events = [make() for _ in range(5)]
    streamer.publish(events)
    code = f"""
import os, signal
from datetime import timedelta
from flowdsl.model.pending import TopicQuota
from flowdsl_redis.event_streamer import open_streamer
receiver = open_streamer({f"{REDIS}?prefix={prefix}"!r}).receiver("steps", [{TOPIC!r}])
got = receiver.receive([TopicQuota({TOPIC!r}, 3)], timedelta(seconds=10))
assert len(got) == 3
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    receiver = streamer.receiver("steps", [TOPIC])

    found = receive(receiver, 5)

    assert {event.event_id for event in found} == {event.event_id for event in events}
    receiver.close()


def test_a_server_that_was_emptied_is_read_and_written_again(tmp_path: Path) -> None:
    with own_redis(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        streamer = open_streamer(server.url)
        receiver = streamer.receiver("steps", [TOPIC])
        streamer.publish([make()])
        held = receive(receiver, 1)

        client.flushall()
        event = make()
        streamer.publish([event])

        assert receive(receiver, 1) == [event]
        receiver.acknowledge([*held, event])
        server.stop()
        with pytest.raises(StreamerError):
            streamer.publish([make()])
        server.start()
        another = make()
        streamer.publish([another])
        assert receive(receiver, 1) == [another]
        streamer.close()


def test_what_is_no_event_is_put_aside_and_does_not_come_again(
    streamer: RedisEventStreamer, prefix: str, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = streamer.receiver("steps", [TOPIC])
    key = stream(prefix, TOPIC)
    other = make("somewhere/else")
    streamer.publish([make("somewhere/else")])
    (_, fields), *_ = client.xrange(stream(prefix, other.topic))
    for entry in ({FIELD: b"\xff{"}, {b"x": b"secret"}, {FIELD: b"x" * (1024 * 1024 + 1)}, fields):
        client.xadd(key, entry)
    event = make()
    streamer.publish([event])

    with caplog.at_level(logging.ERROR):
        assert receive(receiver, 1) == [event]
    receiver.acknowledge([event])

    assert sum("put aside" in record.message for record in caplog.records) == 4
    assert "secret" not in caplog.text
    assert client.xpending(key, "steps")["pending"] == 0
    receiver.close()


def test_streams_forget_what_every_name_has_acknowledged(streamer: RedisEventStreamer, prefix: str, client: Any) -> None:
    names = [streamer.receiver(name, [TOPIC]) for name in ("one", "two")]
    for _ in range(20):
        streamer.publish([make() for _ in range(500)])
    kept = receive(names[0], 10_000)
    names[0].acknowledge(kept)
    names[0].close()
    assert client.xlen(stream(prefix, TOPIC)) == 10_000, "the other name has not read them"

    found = receive(names[1], 10_000)
    names[1].acknowledge(found[:-5])
    names[1].close()

    assert client.xlen(stream(prefix, TOPIC)) == 5
    late = streamer.receiver("late", [TOPIC], StartFrom.OLDEST)
    assert receive(late, 5) == found[-5:]
    late.close()


def test_readers_that_have_left_leave_no_consumer_behind(streamer: RedisEventStreamer, prefix: str, client: Any) -> None:
    streamer.publish([make()])
    for _ in range(3):
        receiver = streamer.receiver("steps", [TOPIC])
        receive(receiver, 1)
        receiver.close()

    (group,) = client.xinfo_groups(stream(prefix, TOPIC))
    assert {consumer["name"] for consumer in client.xinfo_consumers(stream(prefix, TOPIC), "steps")} == {b"returned"}
    assert group["pending"] == 1


def test_no_password_is_shown(proxy: Proxy) -> None:
    url = proxy.url.replace("redis://", "redis://somebody:geheim@")
    proxy.cut()
    made = open_streamer(url)
    assert "geheim" not in repr(made)
    with pytest.raises(StreamerError) as caught:  # the server has no such user
        made.publish([make()])
    assert "geheim" not in str(caught.value)
    made.close()


@pytest.mark.parametrize(
    "option",
    [
        "claim_after=soon",
        "claim_after=nan",
        "claim_after=inf",
        "claim_after=1e300",
        "claim_after=",
        "maxlen=-1",
        "maxlen=0.5",
        "maxlen=1e3",
        "prefix=",
        "nonsense=1",
        "decode_responses=true",
        "protocol=7",
    ],
)
def test_a_url_that_makes_no_sense_is_refused(option: str) -> None:
    with pytest.raises(ConfigurationError, match=option.partition("=")[0]) as caught:
        open_streamer(f"redis://127.0.0.1:1/0?{option}")
    assert caught.value.remedy


@pytest.mark.parametrize("password", ["ge/heim", "ge#heim", "ge?heim", "12/heim", "12?heim", "1/ge@heim", "[ge]heim"])
def test_a_password_that_nobody_quoted_is_neither_used_nor_shown(password: str) -> None:
    for open_any in (open_streamer, open_roles, open_store):
        with pytest.raises(ConfigurationError) as caught:
            open_any(f"redis://user:{password}@127.0.0.1:1/0")
        said = f"{caught.value} {caught.value.remedy}"
        assert not any(part in said for part in ("ge", "heim", "12")), said
        assert "%2F" in said


@pytest.mark.parametrize("url", ["redis://127.0.0.1:here/0", "redis://[::1/0", "redis://127.0.0.1:1/first", "redis://h:99999/0"])
def test_a_place_that_cannot_be_read_is_named(url: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(url)):
        open_streamer(url)


def test_readers_that_were_killed_are_not_remembered_for_ever(prefix: str, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def consumers() -> set[bytes]:
        return {entry["name"] for entry in client.xinfo_consumers(stream(prefix, TOPIC), "steps")}

    streamer = open_streamer(f"{REDIS}?prefix={prefix}&claim_after=3600")
    holding, done = streamer.receiver("steps", [TOPIC]), streamer.receiver("steps", [TOPIC])
    for reader in (holding, done):
        streamer.publish([Event(event_id=uuid.uuid4().hex, topic=TOPIC, created_at=datetime.now(UTC))])
        events = reader.receive([TopicQuota(TOPIC, 1)], PATIENCE)
        if reader is done:
            reader.acknowledge(events)
    assert len(consumers()) == 2
    assert streamer.receiver("steps", [TOPIC])
    assert len(consumers()) == 2, "they may be only asleep"

    monkeypatch.setattr(forgetting, "FORGOTTEN", timedelta(milliseconds=1))
    time.sleep(0.05)
    fresh = streamer.receiver("steps", [TOPIC])

    assert consumers() == {holding._consumer}, "what it holds is taken over later"  # type: ignore[attr-defined]
    streamer.publish([Event(event_id="again", topic=TOPIC, created_at=datetime.now(UTC))])
    assert [event.event_id for event in done.receive([TopicQuota(TOPIC, 1)], PATIENCE)] == ["again"], "it was only asleep"
    assert fresh
    streamer.close()
