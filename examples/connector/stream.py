"""The other side: a warehouse that writes events as JSON, to a file or to a queue of RabbitMQ."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flowdsl.memory.iterator_source import IteratorSource
from flowdsl.model.event import ConnectorEvent
from flowdsl.model.reading import Message, Reading, content_hash, first_of, json_field
from flowdsl.ports.connector_source import ConnectorSource

EVENTS = Path(__file__).parent / "events.jsonl"
FOREIGN_ID, EVENT_ID, TYPE = json_field("parcel"), first_of(json_field("id"), content_hash), json_field("kind")


def lines(file: Path) -> list[bytes]:
    return [line for line in file.read_bytes().splitlines() if line.strip()]


def from_file(file: Path) -> ConnectorSource:
    """Each line is an event."""
    reading = Reading(event_id=EVENT_ID, foreign_id=FOREIGN_ID, type=TYPE)

    def read(line: bytes) -> ConnectorEvent:
        return reading.event(Message(body=line), datetime.now(UTC))

    def once() -> Iterator[bytes]:
        yield from lines(file)

    return IteratorSource(once(), read=read)


class Queue:
    """A queue of RabbitMQ into which the warehouse has written the file's events. For the example it is removed at the end."""

    def __init__(self, url: str, file: Path) -> None:
        from kombu.connection import Connection

        self._url = url
        self.name = f"warehouse-{uuid.uuid4().hex}"
        self._connection = Connection(url)
        self._channel: Any = self._connection.channel()
        self._channel.queue_declare(queue=self.name, durable=True, auto_delete=False)
        for line in lines(file):
            message = self._channel.prepare_message(line, properties={"delivery_mode": 2})
            self._channel.basic_publish(message, exchange="", routing_key=self.name)

    def source(self) -> ConnectorSource:
        from flowdsl_kombu.connector_source import KombuSource

        return KombuSource(self._url, self.name, foreign_id=FOREIGN_ID, event_id=EVENT_ID, type=TYPE)

    @property
    def left(self) -> int:
        return int(self._channel.queue_declare(queue=self.name, passive=True).message_count)

    def close(self) -> None:
        self._channel.queue_delete(queue=self.name)
        self._connection.release()
