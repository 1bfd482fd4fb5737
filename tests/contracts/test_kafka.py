"""The streamer and the connector source on Kafka keep their contracts."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

import pytest
from confluent_kafka import Producer

from flowdsl.model.event import ConnectorEvent
from flowdsl.ports.connector_source import ConnectorSource
from flowdsl.testing.contracts import ConnectorSourceContract, EventStreamerContract
from flowdsl_kafka.connector_source import KafkaSource
from flowdsl_kafka.event_streamer import KafkaEventStreamer, open_streamer
from tests.services import own_kafka


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    with own_kafka() as url:
        yield url


class TestKafkaEventStreamer(EventStreamerContract):
    patience = timedelta(seconds=60)
    """A group takes some seconds to form."""

    @pytest.fixture
    def streamer_factory(self, cluster: str) -> Iterator[Callable[[], KafkaEventStreamer]]:
        opened: list[KafkaEventStreamer] = []
        prefix = f"t{uuid.uuid4().hex[:12]}."

        def make() -> KafkaEventStreamer:
            streamer = open_streamer(f"{cluster}/?prefix={prefix}")
            opened.append(streamer)
            return streamer

        yield make
        for streamer in opened:
            streamer.close()


class TestKafkaSource(ConnectorSourceContract):
    patience = timedelta(seconds=60)

    @pytest.fixture
    def seeded(self, cluster: str) -> Callable[[Sequence[ConnectorEvent]], ConnectorSource]:
        def make(events: Sequence[ConnectorEvent]) -> ConnectorSource:
            topic = f"events-{uuid.uuid4().hex}"
            producer = Producer({"bootstrap.servers": cluster.partition("://")[2]})
            for event in events:
                headers: dict[str, str | bytes | None] = {**event.headers, "event_id": event.event_id, "type": event.type}
                at = int(event.created_at.timestamp() * 1000)
                producer.produce(topic, event.body, key=event.foreign_id, headers=headers, timestamp=at, partition=0)
            assert producer.flush(20) == 0
            return KafkaSource(cluster, topic)

        return make
