"""The receiver: one reader of a name's queues."""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from flowdsl.clock import Clock
from flowdsl.errors import StreamerError, UnreadableEventError
from flowdsl.model.event import Event
from flowdsl.model.pending import TopicQuota
from flowdsl.model.quotas import limits_of
from flowdsl.model.wire import decode_bundle
from flowdsl.ports.event_streamer import EventReceiver
from flowdsl_kombu.as_sent import AsSent
from flowdsl_kombu.bundles import HeldMessages
from flowdsl_kombu.errors import translated
from flowdsl_kombu.link import Link
from flowdsl_kombu.names import Names
from flowdsl_kombu.sender import exchange
from flowdsl_kombu.traits import Traits

log = logging.getLogger("flowdsl.kombu")
PREFETCH = 40
"""Unacknowledged messages of a queue, at most: in bundles many times a step's places, one by one a few claims' worth. What one
instance holds beyond its places is no loss for others, who look into the store when their stream is empty."""
BUFFER = 100
"""Events of a queue that were fetched and not asked for yet, from which on no more is fetched, where the transport itself limits
nothing."""
SLICE = 0.25
"""Longest wait of one look at the sockets: between two, heartbeats are answered and kombu brings back what others left."""


class KombuReceiver(EventReceiver):
    """One connection, made again when it breaks: queues are declared and consumed anew on each, so it cannot go deaf. What was
    fetched on an earlier connection is not acknowledged any more; the broker delivers it again."""

    def __init__(
        self,
        url: str,
        traits: Traits,
        options: dict[str, Any],
        prefix: str,
        name: str,
        topics: Sequence[str],
        extra: dict[str, Any],
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._traits = traits
        self._prefix = prefix
        self._extra = extra
        self._names: Names | None = traits.names() if traits.names is not None else None
        self._queues = {topic: traits.queue(prefix, name, topic) for topic in topics}
        self._buffers: dict[str, deque[Event]] = {topic: deque() for topic in topics}
        self._held = HeldMessages()
        self._consuming: set[str] = set()
        self._cancelled = False
        self._closed = False
        self._link = Link(url, traits, options, self._set_up, heartbeat=True)
        self._link.channel()

    def receive(self, quotas: Sequence[TopicQuota], timeout: timedelta) -> Sequence[Event]:
        if self._closed:
            raise StreamerError("the receiver is closed.")
        limits = limits_of(quotas, self._queues)
        end = self._clock.monotonic() + timeout.total_seconds()
        found: list[Event] = []
        while True:
            self._look(limits, 0.0)
            for topic, limit in limits.items():
                buffer = self._buffers[topic]
                while buffer and limit:
                    found.append(buffer.popleft())
                    limit -= 1
            left = end - self._clock.monotonic()
            if found or left <= 0:
                return found
            self._look(limits, min(left, SLICE))

    def acknowledge(self, events: Sequence[Event]) -> None:
        tags = self._held.done(events)
        if not tags or not self._link.open:
            return
        try:
            with translated(self._link.connection, "acknowledging"):
                self._acknowledge(self._link.channel(), tags)
        except StreamerError as error:
            self._lost(error)

    def _acknowledge(self, channel: Any, tags: list[Any]) -> None:
        """RabbitMQ takes one word for all before which nothing is kept back."""
        if self._traits.native_routing:
            kept = self._held.oldest
            together = [tag for tag in tags if kept is None or tag < kept]
            if together:
                channel.basic_ack(max(together), multiple=True)
            tags = [tag for tag in tags if kept is not None and tag > kept]
        for tag in tags:
            channel.basic_ack(tag)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._give_back()
            self._link.close()
            self._forget()

    def _give_back(self) -> None:
        """RabbitMQ requeues what a closed channel held; kombu's own channels differ in that, so they are told."""
        if self._traits.native_routing or not self._link.open:
            return
        with contextlib.suppress(StreamerError), translated(self._link.connection, "giving back"):
            for tag in self._held.tags:
                self._link.channel().basic_reject(tag, requeue=True)

    def _look(self, limits: dict[str, int], timeout: float) -> None:
        """Take in what has arrived, waiting at most `timeout` seconds when nothing has."""
        try:
            channel = self._link.channel()
            with translated(self._link.connection, "receiving"):
                self._link.beat()
                self._adjust(channel, limits)
                while not self._cancelled and self._consuming:
                    try:
                        self._link.connection.drain_events(timeout=timeout or 0.001)
                    except TimeoutError:
                        break
                    if timeout or all(len(self._buffers[topic]) >= limit for topic, limit in limits.items()):
                        break
                    self._adjust(channel, limits)
                if self._cancelled:
                    raise StreamerError("the broker ended a consumer of ours: its queue was deleted or moved.")
        except StreamerError as error:
            self._lost(error)
            raise

    def _set_up(self, channel: Any) -> None:
        self._forget()
        if self._traits.native_routing:
            channel.exchange_declare(exchange=exchange(self._prefix), type="direct", durable=True, auto_delete=False)
            channel.basic_qos(0, PREFETCH, False)
        else:
            channel.basic_qos(0, 0, False)  # bounded per queue, see `_adjust`
            channel.Message = AsSent
        for topic, queue in self._queues.items():
            channel.queue_declare(
                queue=queue, durable=True, auto_delete=False, arguments={**self._traits.queue_arguments, **self._extra}
            )
            if self._names is None:
                channel.queue_bind(queue=queue, exchange=exchange(self._prefix), routing_key=topic)
            else:
                self._names.add(channel, self._prefix, topic, queue)
        if self._traits.prefetch_per_queue:
            for topic in self._queues:
                self._consume(channel, topic)

    def _adjust(self, channel: Any, limits: dict[str, int]) -> None:
        """Without a limit per queue: consume the queues that were asked for and have not filled their buffer."""
        if self._traits.prefetch_per_queue:
            return
        for topic in self._queues:
            wanted = topic in limits and len(self._buffers[topic]) < BUFFER
            if wanted and topic not in self._consuming:
                self._consume(channel, topic)
            elif not wanted and topic in self._consuming:
                channel.basic_cancel(self._queues[topic])
                self._consuming.discard(topic)

    def _consume(self, channel: Any, topic: str) -> None:
        queue = self._queues[topic]
        more = {"on_cancel": self._on_cancel} if self._traits.native_routing else {}
        channel.basic_consume(queue, no_ack=False, callback=partial(self._on_message, topic), consumer_tag=queue, **more)
        self._consuming.add(topic)

    def _on_message(self, topic: str, raw: Any) -> None:
        channel = self._link.channel() if self._link.open else None
        body: bytes | str = raw.body
        try:
            events = decode_bundle(body.encode() if isinstance(body, str) else bytes(body))
        except UnreadableEventError as error:
            log.error("put aside in %s: %s", self._queues[topic], error)
            if channel is not None:
                channel.basic_ack(raw.delivery_tag)
            return
        self._held.hold(raw.delivery_tag, events)
        self._buffers[topic].extend(events)

    def _on_cancel(self, _tag: str) -> None:
        self._cancelled = True

    def _lost(self, error: StreamerError) -> None:
        log.info("a receiver's connection is made anew: %s", error)
        self._link.drop()
        self._forget()

    def _forget(self) -> None:
        self._cancelled = False
        self._consuming.clear()
        self._held.forget()
        for buffer in self._buffers.values():
            buffer.clear()
