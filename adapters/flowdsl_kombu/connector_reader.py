"""Reading somebody else's queue over kombu."""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from flowdsl.clock import Clock
from flowdsl.errors import StreamerError
from flowdsl.model.event import ConnectorEvent
from flowdsl.model.reading import Message, Reading, text
from flowdsl.ports.connector_source import ConnectorReader
from flowdsl_kombu.as_sent import AsSent
from flowdsl_kombu.errors import translated
from flowdsl_kombu.link import Link
from flowdsl_kombu.traits import Traits

log = logging.getLogger("flowdsl.kombu")
SLICE = 0.25
"""Longest wait of one look at the socket: between two, heartbeats are answered."""


class Place(NamedTuple):
    """What is read."""

    queue: str
    exchange: str | None
    """To bind the queue to, which is then declared; None: the queue is there."""
    routing_keys: Sequence[str]
    arguments: Mapping[str, Any]


class KombuConnectorReader(ConnectorReader):
    """One connection, made again when it breaks. What was received on an earlier one is not acknowledged any more; the broker
    delivers it again."""

    def __init__(self, url: str, traits: Traits, place: Place, reading: Reading, prefetch: int, clock: Clock) -> None:
        self._traits = traits
        self._place = place
        self._reading = reading
        self._prefetch = prefetch
        self._clock = clock
        self._buffer: deque[ConnectorEvent] = deque()
        self._tags: dict[str, list[Any]] = {}
        self._tag = f"flowdsl-{uuid.uuid4().hex}"
        self._cancelled = False
        self._closed = False
        self._link = Link(url, traits, {}, self._set_up, heartbeat=True)
        self._link.channel()

    def receive(self, limit: int, timeout: timedelta) -> Sequence[ConnectorEvent]:
        if self._closed:
            raise StreamerError("the reader is closed.")
        end = self._clock.monotonic() + timeout.total_seconds()
        self._look(0.0)
        while limit > 0 and not self._buffer:
            left = end - self._clock.monotonic()
            if left <= 0:
                break
            self._look(min(left, SLICE))
        return [self._buffer.popleft() for _ in range(min(limit, len(self._buffer)))]

    def acknowledge(self, events: Sequence[ConnectorEvent]) -> None:
        tags = [tag for event in events for tag in self._tags.pop(event.event_id, ())]
        if not tags or not self._link.open:
            return
        try:
            with translated(self._link.connection, "acknowledging"):
                for tag in tags:
                    self._link.channel().basic_ack(tag)
        except StreamerError:
            self._lost()
            raise

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._link.open:
            with contextlib.suppress(StreamerError), translated(self._link.connection, "giving back"):
                channel = self._link.channel()
                if self._traits.native_routing:
                    channel.basic_cancel(self._tag)  # or the broker goes on sending to a channel that closes
                else:
                    # RabbitMQ requeues what a closed channel held; kombu's own channels differ in that, so they are told
                    for tags in self._tags.values():
                        for tag in tags:
                            channel.basic_reject(tag, requeue=True)
        self._link.close()
        self._forget()

    def _look(self, wait: float) -> None:
        """Take in what has arrived, waiting at most `wait` seconds when nothing has."""
        try:
            self._link.channel()
            with translated(self._link.connection, "receiving"):
                self._link.beat()
                while not self._cancelled and len(self._buffer) < self._prefetch:
                    try:
                        self._link.connection.drain_events(timeout=wait or 0.001)
                    except TimeoutError:
                        break
                    if wait:
                        break
                if self._cancelled:
                    raise StreamerError(f"the broker ended our consumer of {self._place.queue}: the queue was deleted or moved.")
        except StreamerError:
            self._lost()
            raise

    def _set_up(self, channel: Any) -> None:
        self._forget()
        queue, exchange, keys, arguments = self._place
        try:
            if exchange is not None:
                channel.exchange_declare(exchange=exchange, type="", passive=True)
                channel.queue_declare(queue=queue, durable=True, auto_delete=False, arguments=dict(arguments))
                for key in keys or ("",):
                    channel.queue_bind(queue=queue, exchange=exchange, routing_key=key)
            elif self._traits.native_routing:
                channel.queue_declare(queue=queue, passive=True)
        except self._link.connection.channel_errors as error:
            if getattr(error, "code", None) != 404:
                raise
            raise StreamerError(
                f"there is no {'exchange ' + exchange if exchange is not None else 'queue ' + queue}.",
                remedy="A source reads what is there: check the name, or let its owner make it.",
            ) from error
        if not self._traits.native_routing:
            channel.Message = AsSent
        channel.basic_qos(0, self._prefetch, False)
        more = {"on_cancel": self._on_cancel} if self._traits.native_routing else {}
        channel.basic_consume(queue, no_ack=False, callback=self._on_message, consumer_tag=self._tag, **more)

    def _on_message(self, raw: Any) -> None:
        properties: Mapping[str, Any] = raw.properties or {}
        headers: Mapping[str, Any] = getattr(raw, "headers", None) or properties.get("application_headers") or {}
        delivery: Mapping[str, Any] = raw.delivery_info or {}
        body = raw.body
        message = Message(
            body=body.encode() if isinstance(body, str) else bytes(body or b""),
            headers={str(name): text(value) for name, value in headers.items()},
            message_id=text(properties.get("message_id")),
            type=text(properties.get("type")),
            key=text(delivery.get("routing_key")),
            sent_at=_moment(properties.get("timestamp")),
        )
        again = bool(delivery.get("redelivered") or headers.get("redelivered"))
        event = self._reading.event(message, self._clock.now(), redelivered=again)
        self._tags.setdefault(event.event_id, []).append(raw.delivery_tag)
        self._buffer.append(event)

    def _on_cancel(self, _tag: str) -> None:
        self._cancelled = True

    def _lost(self) -> None:
        self._link.drop()
        self._forget()

    def _forget(self) -> None:
        self._cancelled = False
        self._tags.clear()
        self._buffer.clear()


def _moment(value: object) -> datetime | None:
    """AMQP's timestamps are seconds; libraries make dates of them, with or without a zone."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 253_402_300_800:
        return datetime.fromtimestamp(value, UTC)
    return None
