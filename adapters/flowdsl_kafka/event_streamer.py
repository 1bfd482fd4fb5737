"""The event streamer on Kafka."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import weakref
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer

from flowdsl.clock import Clock, SystemClock
from flowdsl.errors import StreamerError, UnreadableEventError
from flowdsl.model.event import Event
from flowdsl.model.pending import TopicQuota
from flowdsl.model.quotas import limits_of
from flowdsl.model.wire import decode, encode
from flowdsl.ports.event_streamer import EventReceiver, EventStreamer, StartFrom
from flowdsl_kafka.address import Address, parse
from flowdsl_kafka.errors import configuring, translated
from flowdsl_kafka.partitions import PartitionReader, Place

log = logging.getLogger("flowdsl.kafka")
CONFIRM_TIMEOUT = 10.0
"""Seconds that the brokers have for a batch."""


class KafkaEventStreamer(EventStreamer):
    """A Kafka topic per topic, a consumer group per receiver name; at-least-once; what the brokers keep is the history.

    A group's readers share its topics by partition: with more readers than partitions some read nothing. Where the brokers do not
    make topics by themselves, make them (with as many partitions as there will be instances) before.
    """

    retains_history = True

    def __init__(self, address: Address, *, clock: Clock | None = None) -> None:
        self._address = address
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._pid = 0
        self._producer: Producer | None = None
        self._receivers: weakref.WeakSet[KafkaReceiver] = weakref.WeakSet()
        self._closed = False

    def __repr__(self) -> str:
        return f"KafkaEventStreamer({self._address.shown!r})"

    def publish(self, events: Sequence[Event]) -> Sequence[bool]:
        self._check()
        if not events:
            return []
        confirmed = [False] * len(events)
        errors: list[Any] = []

        def told(number: int, error: Any) -> None:
            if error is None:
                confirmed[number] = True
            else:
                errors.append(error)

        with self._lock, translated(self._address.shown, "publishing"):
            producer = self._the_producer()
            try:
                for number, event in enumerate(events):
                    self._produce(producer, event, lambda error, _, number=number: told(number, error))
                if producer.flush(CONFIRM_TIMEOUT + 1):  # librdkafka is late with its word that the time is over
                    errors.append(KafkaError(KafkaError._MSG_TIMED_OUT))
            except KafkaException as error:
                errors.append(error.args[0])
                raise
            finally:
                if any(error.fatal() for error in errors):
                    self._producer = None  # it will never send anything again: brokers have lost what it counts on, say
            if not any(confirmed) and errors:
                raise KafkaException(errors[0])
        return confirmed

    def _produce(self, producer: Producer, event: Event, told: Any) -> None:
        while True:
            try:
                producer.produce(self._address.topic(event.topic), encode(event), key=event.run_id or None, on_delivery=told)
                return
            except BufferError:  # the client's own queue is full
                producer.poll(0.1)

    def _the_producer(self) -> Producer:
        if self._producer is None or self._pid != os.getpid():
            settings = {
                "linger.ms": 2,
                **self._address.config,
                "bootstrap.servers": self._address.brokers,
                "enable.idempotence": True,
                "delivery.timeout.ms": int(CONFIRM_TIMEOUT * 1000),
            }
            with configuring(self._address.shown):
                self._producer = Producer(settings, logger=log)
            self._pid = os.getpid()
        return self._producer

    def receiver(self, name: str, topics: Sequence[str], start: StartFrom = StartFrom.OLDEST) -> EventReceiver:
        self._check()
        made = KafkaReceiver(self._address, name, list(dict.fromkeys(topics)), start, self._clock)
        with self._lock:
            self._receivers.add(made)
        return made

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with self._lock:
            receivers = list(self._receivers)
            if self._producer is not None and self._pid == os.getpid():
                self._producer.flush(1)
            self._producer = None
        for receiver in receivers:
            receiver.close()

    def _check(self) -> None:
        if self._closed:
            raise StreamerError("the streamer is closed.")


class KafkaReceiver(EventReceiver):
    """Events of a group's share of topics."""

    def __init__(self, address: Address, name: str, topics: Sequence[str], start: StartFrom, clock: Clock) -> None:
        self._topics = {topic: address.topic(topic) for topic in topics}
        self._ours = {there: topic for topic, there in self._topics.items()}
        self._out: dict[str, list[Place]] = {}
        group = f"{address.prefix}{name}"
        self._reader = PartitionReader(address, group, list(self._ours), newest=start is StartFrom.NOW, clock=clock)

    def receive(self, quotas: Sequence[TopicQuota], timeout: timedelta) -> Sequence[Event]:
        self._reader.check()
        limits = limits_of(quotas, self._topics)
        if not limits:
            return []
        buffers = self._reader.buffers
        wanted = [self._topics[topic] for topic in limits]
        wait = 0.0 if any(buffers[topic] for topic in wanted) else timeout.total_seconds()
        self._reader.look(wait, lambda: any(buffers[topic] for topic in wanted))
        found: list[Event] = []
        unreadable: list[Place] = []
        for topic, limit in limits.items():
            buffer, left = buffers[self._topics[topic]], limit
            while buffer and left:
                message = buffer.popleft()
                place = (message.topic(), message.partition(), message.offset())
                try:
                    event = decode(message.value() or b"")
                except UnreadableEventError as error:
                    log.error("put aside in %s: %s", topic, error)
                    unreadable.append(place)
                    continue
                self._out.setdefault(event.event_id, []).append(place)
                found.append(event)
                left -= 1
        self._reader.done(unreadable)
        return found

    def acknowledge(self, events: Sequence[Event]) -> None:
        self._reader.done([place for event in events for place in self._out.pop(event.event_id, ())])

    def close(self) -> None:
        with contextlib.suppress(StreamerError):
            self._reader.close()


def open_streamer(url: str, *, clock: Clock | None = None) -> KafkaEventStreamer:
    """A streamer at kafka://host:port,host:port/. Options in the query: `prefix` of topics and groups (default flowdsl.), and
    those of librdkafka, which have a dot in their name (security.protocol ...). Nothing is connected before the first use.
    Raises ConfigurationError."""
    return KafkaEventStreamer(parse(url), clock=clock)
