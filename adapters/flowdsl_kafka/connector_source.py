"""A Kafka topic as a connector source."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from flowdsl.clock import Clock, SystemClock
from flowdsl.errors import StreamerError
from flowdsl.model.event import ConnectorEvent
from flowdsl.model.reading import Message, Pick, Reading, first_of, header, message_id, routing_key, text
from flowdsl.ports.connector_source import ConnectorReader, ConnectorSource
from flowdsl_kafka.address import parse
from flowdsl_kafka.partitions import PartitionReader, Place

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EVENT_ID, TYPE = first_of(header("event_id"), message_id), header("type")


class KafkaSource(ConnectorSource):
    """Events of a Kafka topic, in the order of each partition.

    In: kafka://host:port/?options as for the streamer, without a prefix; the topic's name in Kafka; where an event's id (default:
    the header event_id, else topic, partition and offset), foreign id (default: the message's key) and type (default: the header
    type) are found. A new name begins at the oldest message. Several readers share the topic's partitions.
    """

    keeps_places = True
    competing = True

    def __init__(
        self,
        url: str,
        topic: str,
        *,
        event_id: Pick = EVENT_ID,
        foreign_id: Pick = routing_key,
        type: Pick = TYPE,
        clock: Clock | None = None,
    ) -> None:
        address = parse(url)
        # the topic is somebody else's: a name with a mistake in it must not make one
        self._address = address._replace(config={"allow.auto.create.topics": False, **address.config})
        self._topic = topic
        self._reading = Reading(event_id=event_id, foreign_id=foreign_id, type=type)
        self._clock = clock or SystemClock()

    def __repr__(self) -> str:
        return f"KafkaSource({self._address.shown!r}, {self._topic!r})"

    def open(self, name: str) -> ConnectorReader:
        reader = PartitionReader(self._address, name, [self._topic], newest=False, clock=self._clock)
        return _KafkaConnectorReader(reader, self._topic, self._reading, self._clock)


class _KafkaConnectorReader(ConnectorReader):
    def __init__(self, reader: PartitionReader, topic: str, reading: Reading, clock: Clock) -> None:
        self._reader = reader
        self._topic = topic
        self._reading = reading
        self._clock = clock
        self._out: dict[str, list[Place]] = {}

    def receive(self, limit: int, timeout: timedelta) -> Sequence[ConnectorEvent]:
        buffer = self._reader.buffers[self._topic]
        self._reader.check()
        self._reader.look(0.0 if buffer or limit <= 0 else timeout.total_seconds(), lambda: bool(buffer))
        found: list[ConnectorEvent] = []
        while buffer and len(found) < limit:
            message = buffer.popleft()
            place = (message.topic(), message.partition(), message.offset())
            event = self._event(message, self._reader.doubtful(place))
            self._out.setdefault(event.event_id, []).append(place)
            found.append(event)
        return found

    def acknowledge(self, events: Sequence[ConnectorEvent]) -> None:
        self._reader.done([place for event in events for place in self._out.pop(event.event_id, ())])

    def close(self) -> None:
        with contextlib.suppress(StreamerError):
            self._reader.close()

    def _event(self, message: Any, doubtful: bool) -> ConnectorEvent:
        _, millis = message.timestamp()
        read = Message(
            body=message.value() or b"",
            headers={name: text(value) for name, value in message.headers() or ()},
            message_id=f"{message.topic()}-{message.partition()}-{message.offset()}",
            key=text(message.key()),
            sent_at=EPOCH + timedelta(milliseconds=millis) if millis > 0 else None,
        )
        return self._reading.event(read, self._clock.now(), redelivered=doubtful)
