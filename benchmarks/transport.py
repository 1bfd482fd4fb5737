"""A streamer's events per second, beside what its transport does by hand: the same bytes, no engine, no store."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from flowdsl.engine.discovery import open_streamer
from flowdsl.model.event import Event
from flowdsl.model.pending import TopicQuota
from flowdsl.model.wire import encode

BATCH = 100
PATIENCE = timedelta(seconds=20)


def measure(url: str, count: int) -> dict[str, Any]:
    """Publish `count` events in batches of 100, then receive and acknowledge them, by flowdsl and by hand."""
    topic = f"bench-{uuid.uuid4().hex[:12]}"
    ours = _by_flowdsl(url, topic, [_event(topic) for _ in range(count)])
    return {"streamer": url.partition(":")[0], "events": count, **_named("", ours), **by_hand(url, count)}


def by_hand(url: str, count: int) -> dict[str, int]:
    """Publishes and receives per second of the transport alone; nothing where there is no driver to do it with."""
    hand = _by_hand(url)
    return {} if hand is None else _named("by_hand_", hand([encode(_event("bench")) for _ in range(count)]))


def _named(prefix: str, rates: tuple[float, float]) -> dict[str, int]:
    return {f"{prefix}publishes_per_s": round(rates[0]), f"{prefix}receives_per_s": round(rates[1])}


def _event(topic: str) -> Event:
    run_id = uuid.uuid4().hex
    return Event(
        event_id=uuid.uuid4().hex,
        topic=topic,
        workflow="bench",
        foreign_id="order-12345678",
        run_id=run_id,
        row_id=run_id,
        version=3,
        created_at=datetime.now(UTC),
    )


def _batches(items: list[Any]) -> Iterable[list[Any]]:
    return (items[begin : begin + BATCH] for begin in range(0, len(items), BATCH))


def _by_flowdsl(url: str, topic: str, events: list[Event]) -> tuple[float, float]:
    streamer = open_streamer(url)
    try:
        receiver = streamer.receiver("bench", [topic])
        began = time.perf_counter()
        for batch in _batches(events):
            if not all(streamer.publish(batch)):
                raise SystemExit("the broker refused an event")
        published = time.perf_counter()
        got = 0
        while got < len(events):
            some = receiver.receive([TopicQuota(topic, BATCH)], PATIENCE)
            if not some:
                raise SystemExit(f"only {got} of {len(events)} events came")
            receiver.acknowledge(some)
            got += len(some)
        ended = time.perf_counter()
        receiver.close()
    finally:
        streamer.close()
    return len(events) / (published - began), len(events) / (ended - published)


def _by_hand(url: str) -> Callable[[list[bytes]], tuple[float, float]] | None:
    """How somebody who knows the driver would do it; None for transports that have no driver of their own."""
    scheme = url.partition("://")[0]
    if scheme == "kombu+redis":
        return lambda bodies: _kombu(url, bodies)
    if scheme == "redis":
        return lambda bodies: _redis(url, bodies)
    if scheme in ("amqp", "pyamqp"):
        return lambda bodies: _amqp(url, bodies)
    return None


def _redis(url: str, bodies: list[bytes]) -> tuple[float, float]:
    import redis

    key, group = f"bench-{uuid.uuid4().hex}", "g"
    client: Any = redis.Redis.from_url(url.partition("?")[0])
    client.xgroup_create(key, group, mkstream=True)
    began = time.perf_counter()
    for batch in _batches(bodies):
        pipeline = client.pipeline(transaction=False)
        for body in batch:
            pipeline.xadd(key, {b"e": body})
        pipeline.execute()
    published = time.perf_counter()
    got = 0
    while got < len(bodies):
        answer = client.xreadgroup(group, "c", {key: ">"}, count=BATCH)
        entries = next(iter(answer.values()))[0] if isinstance(answer, dict) else answer[0][1]
        client.xack(key, group, *(entry for entry, _ in entries))
        got += len(entries)
    ended = time.perf_counter()
    client.delete(key)
    client.close()
    return len(bodies) / (published - began), len(bodies) / (ended - published)


def _amqp(url: str, bodies: list[bytes]) -> tuple[float, float]:
    """Without confirms, prefetch 100, each message acknowledged by itself, a durable queue."""
    import amqp  # type: ignore[import-untyped]

    parts = urlsplit(url)
    broker = amqp.Connection(
        f"{parts.hostname}:{parts.port or 5672}",
        userid=parts.username or "guest",
        password=parts.password or "guest",
        virtual_host=parts.path[1:] or "/",
    )
    broker.connect()
    channel = broker.channel()
    queue = f"bench-{uuid.uuid4().hex}"
    channel.queue_declare(queue, durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"})
    began = time.perf_counter()
    for body in bodies:
        channel.basic_publish(amqp.Message(body, delivery_mode=2), routing_key=queue)
    published = time.perf_counter()
    got = 0

    def took(message: Any) -> None:
        nonlocal got
        channel.basic_ack(message.delivery_tag)
        got += 1

    channel.basic_qos(0, BATCH, False)
    tag = channel.basic_consume(queue, callback=took)
    while got < len(bodies):
        broker.drain_events(timeout=20)
    ended = time.perf_counter()
    channel.basic_cancel(tag)
    channel.queue_delete(queue)
    broker.close()
    return len(bodies) / (published - began), len(bodies) / (ended - published)


def _kombu(url: str, bodies: list[bytes]) -> tuple[float, float]:
    """One queue, prefetch 100, each message acknowledged by itself."""
    from kombu.connection import Connection
    from kombu.entity import Queue
    from kombu.messaging import Consumer, Producer

    name = f"bench-{uuid.uuid4().hex}"
    with Connection(url.partition("+")[2].partition("?")[0]) as broker:
        channel: Any = broker.channel()
        queue = Queue(name, routing_key=name, channel=channel)
        queue.declare()
        producer = Producer(channel)
        began = time.perf_counter()
        for body in bodies:
            producer.publish(body, routing_key=name, content_type="application/octet-stream", content_encoding="binary")
        published = time.perf_counter()
        got = 0

        def took(message: Any) -> None:
            nonlocal got
            message.ack()
            got += 1

        with Consumer(channel, [queue], on_message=took, prefetch_count=BATCH):
            while got < len(bodies):
                broker.drain_events(timeout=20)
        ended = time.perf_counter()
        queue.delete()
    return len(bodies) / (published - began), len(bodies) / (ended - published)
