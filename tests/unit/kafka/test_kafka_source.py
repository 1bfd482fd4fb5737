"""Somebody else's topic: what is read of a message, what comes again, names that are wrong."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from confluent_kafka import Producer

from flowdsl.errors import ConfigurationError, StreamerError
from flowdsl.model.reading import header, json_field
from flowdsl_kafka import partitions
from flowdsl_kafka.connector_source import KafkaSource
from tests.services import own_kafka

PATIENCE = timedelta(seconds=60)


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    with own_kafka() as url:
        yield url


def send(cluster: str, topic: str, *values: bytes, **more: Any) -> None:
    producer = Producer({"bootstrap.servers": cluster.partition("://")[2]})
    for value in values:
        producer.produce(topic, value, partition=0, **more)
    assert producer.flush(20) == 0


def test_a_message_is_read_where_it_was_said(cluster: str) -> None:
    topic = f"t{uuid.uuid4().hex}"
    send(cluster, topic, b'{"order": {"id": 7}}', key="k-1", headers={"type": "paid", "x": b"\xff"})
    by_default = KafkaSource(cluster, topic).open("a")
    (event,) = by_default.receive(5, PATIENCE)
    assert (event.event_id, event.foreign_id, event.type) == (f"{topic}-0-0", "k-1", "paid")
    assert event.headers == {"type": "paid", "x": "�"}
    by_default.close()
    told = KafkaSource(cluster, topic, foreign_id=json_field("order.id"), event_id=header("nothing")).open("b")
    (event,) = told.receive(5, PATIENCE)
    assert (event.foreign_id, event.problem) == ("7", "no event id: there is no header 'nothing'")
    told.close()


def test_the_first_messages_of_a_partition_may_have_been_another_readers(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "AHEAD", 3)
    topic = f"t{uuid.uuid4().hex}"
    send(cluster, topic, *(bytes([number]) for number in range(5)))
    source = KafkaSource(cluster, topic)
    first = source.open("a")
    got: list[Any] = []
    while len(got) < 5:
        got += first.receive(5, PATIENCE)
    assert [event.redelivered for event in got] == [True, True, True, False, False]
    first.acknowledge(got[:2])
    first.close()
    second = source.open("a")
    got = []
    while len(got) < 3:
        got += second.receive(5, PATIENCE)
    assert [event.redelivered for event in got] == [True, True, True]
    second.close()


def test_a_topic_that_is_not_there_is_not_made(cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "ANSWER", 3.0)
    source = KafkaSource(cluster, f"t{uuid.uuid4().hex}")
    with pytest.raises(StreamerError, match="is not there"):
        source.open("a")
    assert source._address.config["allow.auto.create.topics"] is False


def test_what_cannot_be_is_refused_when_it_is_declared() -> None:
    with pytest.raises(ConfigurationError, match="names no broker"):
        KafkaSource("kafka:///", "t")
    shown = repr(KafkaSource("kafka://h:1/?sasl.password=hush", "t"))
    assert ("h:1" in shown, "hush" in shown) == (True, False)
