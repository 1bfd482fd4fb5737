"""Somebody else's queues keep the source's contract: RabbitMQ, SQS, Redis and kombu's memory transport."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from kombu.connection import Connection
from msgspec.structs import replace

from flowdsl.model.event import ConnectorEvent
from flowdsl.model.reading import header
from flowdsl.ports.connector_source import ConnectorSource
from flowdsl.testing.contracts import ConnectorSourceContract
from flowdsl_kombu.connector_source import KombuSource
from tests.services import RABBITMQ, REDIS, broker, own_sqs


@pytest.fixture(scope="module", params=["memory", "rabbitmq", "redis"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "rabbitmq":
        return broker(RABBITMQ)
    return "memory://" if request.param == "memory" else broker(REDIS)


def send(url: str, queue: str, events: Sequence[ConnectorEvent]) -> None:
    """As another service would: durable messages in a queue of its own."""
    with Connection(url) as connection:
        channel: Any = connection.channel()
        arguments = {"x-expires": 60_000} if url.startswith("amqp") else {}
        channel.queue_declare(queue=queue, durable=True, auto_delete=False, arguments=arguments)
        for event in events:
            message = channel.prepare_message(
                event.body,
                headers={**event.headers, "foreign_id": event.foreign_id},
                properties={
                    "message_id": event.event_id,
                    "type": event.type,
                    "timestamp": int(event.created_at.timestamp()),
                    "delivery_mode": 2,
                },
            )
            channel.basic_publish(message, exchange="", routing_key=queue)


class TestKombuSource(ConnectorSourceContract):
    @pytest.fixture
    def seeded(self, url: str) -> Iterator[Callable[[Sequence[ConnectorEvent]], ConnectorSource]]:
        queues: list[str] = []

        def make(events: Sequence[ConnectorEvent]) -> ConnectorSource:
            queues.append(f"t{uuid.uuid4().hex}")
            send(url, queues[-1], events)
            return KombuSource(
                url if not url.startswith("redis") else f"kombu+{url}", queues[-1], foreign_id=header("foreign_id")
            )

        yield make
        with Connection(url) as connection:
            for queue in queues:
                connection.channel().queue_delete(queue)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with own_sqs() as url:
        yield f"{url}?region=us-east-1"


class TestSqsSource(ConnectorSourceContract):
    """SQS holds texts, says itself when they were sent, and numbers them itself: the rest is the contract's."""

    def events(self, count: int = 5) -> list[ConnectorEvent]:
        return [replace(event, body=base64.b64encode(event.body)) for event in super().events(count)]

    def plain(self, events: Sequence[ConnectorEvent]) -> list[ConnectorEvent]:
        sent = super().events(1)[0].created_at
        assert all(event.created_at > sent.replace(year=2020) for event in events)
        return [replace(event, created_at=sent) for event in super().plain(events)]

    @pytest.fixture
    def seeded(self, endpoint: str) -> Callable[[Sequence[ConnectorEvent]], ConnectorSource]:
        def make(events: Sequence[ConnectorEvent]) -> ConnectorSource:
            queue = f"t{uuid.uuid4().hex}"
            source = KombuSource(endpoint, queue, foreign_id=header("foreign_id"), event_id=header("event_id"))
            assert source._sqs is not None
            client = source._sqs.client()
            target = client.create_queue(QueueName=queue)["QueueUrl"]
            for event in events:
                attributes = {**event.headers, "foreign_id": event.foreign_id, "event_id": event.event_id, "type": event.type}
                client.send_message(
                    QueueUrl=target,
                    MessageBody=event.body.decode(),
                    MessageAttributes={name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()},
                )
            return source

        return make
