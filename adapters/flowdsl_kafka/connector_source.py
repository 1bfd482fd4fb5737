"""A Kafka topic as a connector source."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from flowdsl.clock import Clock, SystemClock
from flowdsl.errors import StreamerError
from flowdsl.model.event import ConnectorEvent
from flowdsl.ports.connector_source import ConnectorReader, ConnectorSource
from flowdsl_kafka.address import parse
from flowdsl_kafka.partitions import PartitionReader, Place

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class KafkaSource(ConnectorSource):
    """Events of a Kafka topic, in the order of each partition. The foreign id is the message's key.

    In: kafka://host:port/?options as for the streamer, without a prefix; the topic's name in Kafka; the headers that hold an
    event's id (absent: topic, partition and offset are it) and its type. A new name begins at the oldest message.
    """

    def __init__(
        self, url: str, topic: str, *, id_header: str = "event_id", type_header: str = "type", clock: Clock | None = None
    ) -> None:
        self._address = parse(url)
        self._topic = topic
        self._id_header = id_header
        self._type_header = type_header
        self._clock = clock or SystemClock()

    def open(self, name: str) -> ConnectorReader:
        reader = PartitionReader(self._address, name, [self._topic], newest=False, clock=self._clock)
        return _KafkaConnectorReader(reader, self._topic, self._id_header, self._type_header)


class _KafkaConnectorReader(ConnectorReader):
    def __init__(self, reader: PartitionReader, topic: str, id_header: str, type_header: str) -> None:
        self._reader = reader
        self._topic = topic
        self._id_header = id_header
        self._type_header = type_header
        self._out: dict[str, list[Place]] = {}

    def receive(self, limit: int, timeout: timedelta) -> Sequence[ConnectorEvent]:
        buffer = self._reader.buffers[self._topic]
        self._reader.check()
        self._reader.look(0.0 if buffer else timeout.total_seconds(), lambda: bool(buffer))
        found: list[ConnectorEvent] = []
        while buffer and len(found) < limit:
            message = buffer.popleft()
            event = self._event(message)
            self._out.setdefault(event.event_id, []).append((message.topic(), message.partition(), message.offset()))
            found.append(event)
        return found

    def acknowledge(self, events: Sequence[ConnectorEvent]) -> None:
        self._reader.done([place for event in events for place in self._out.pop(event.event_id, ())])

    def close(self) -> None:
        with contextlib.suppress(StreamerError):
            self._reader.close()

    def _event(self, message: Any) -> ConnectorEvent:
        headers = {name: _text(value) for name, value in message.headers() or ()}
        _, millis = message.timestamp()
        return ConnectorEvent(
            event_id=headers.pop(self._id_header, f"{message.topic()}-{message.partition()}-{message.offset()}"),
            foreign_id=_text(message.key()),
            type=headers.pop(self._type_header, ""),
            headers=headers,
            body=message.value() or b"",
            created_at=EPOCH + timedelta(milliseconds=max(0, millis)),
        )


def _text(value: bytes | str | None) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""
