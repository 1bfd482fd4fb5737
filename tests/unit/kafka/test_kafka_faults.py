"""The streamer on Kafka: readers that die, messages that are none, brokers that do not answer."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

from flowdsl.errors import ConfigurationError, StreamerError
from flowdsl.model.event import Event
from flowdsl.model.pending import TopicQuota
from flowdsl.ports.event_streamer import EventReceiver, StartFrom
from flowdsl_kafka import event_streamer as event_streamer_module
from flowdsl_kafka.address import parse
from flowdsl_kafka.event_streamer import KafkaEventStreamer, open_streamer
from tests.ports import free_port
from tests.services import own_kafka

PATIENCE = timedelta(seconds=60)
TOPIC = "default/orders/größe"


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    with own_kafka() as url:
        yield url


@pytest.fixture
def url(cluster: str) -> str:
    return f"{cluster}/?prefix=t{uuid.uuid4().hex[:12]}.&session.timeout.ms=6000"


@pytest.fixture
def streamer(url: str) -> Iterator[KafkaEventStreamer]:
    made = open_streamer(url)
    yield made
    made.close()


def make() -> Event:
    return Event(event_id=uuid.uuid4().hex, topic=TOPIC, created_at=datetime.now(UTC))


def receive(receiver: EventReceiver, count: int) -> list[Event]:
    found: list[Event] = []
    while len(found) < count:
        got = receiver.receive([TopicQuota(TOPIC, count - len(found))], PATIENCE)
        assert got, f"{len(found)} of {count} came"
        found += got
    return found


def test_what_a_killed_reader_held_comes_to_another(streamer: KafkaEventStreamer, url: str) -> None:
    events = [make() for _ in range(8)]
    code = f"""
import os, signal
from datetime import timedelta
from flowdsl.model.pending import TopicQuota
from flowdsl_kafka.event_streamer import open_streamer
receiver = open_streamer({url!r}).receiver("steps", [{TOPIC!r}])
print("reading", flush=True)
got = []
while len(got) < 8:
    got += receiver.receive([TopicQuota({TOPIC!r}, 8)], timedelta(seconds=10))
receiver.acknowledge(got[:1])
print(got[0].event_id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    reader = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert reader.stdout is not None
    assert reader.stdout.readline() == "reading\n"
    streamer.publish(events)
    done, _ = reader.communicate(timeout=60)
    receiver = streamer.receiver("steps", [TOPIC])

    found = receive(receiver, 7)

    assert {event.event_id for event in found} == {event.event_id for event in events} - {done.strip()}
    receiver.acknowledge(found)
    receiver.close()


def test_a_message_is_the_event_as_json_under_the_run_s_key(streamer: KafkaEventStreamer, url: str) -> None:
    event = Event(event_id="e", topic=TOPIC, run_id="r", version=2, created_at=datetime(2030, 1, 1, tzinfo=UTC))
    assert list(streamer.publish([event])) == [True]
    address = parse(url)
    settings = {"bootstrap.servers": address.brokers, "group.id": uuid.uuid4().hex, "auto.offset.reset": "earliest"}
    consumer = Consumer(settings)
    consumer.subscribe([address.topic(TOPIC)])
    (message,) = consumer.consume(1, timeout=60)
    consumer.close()

    body = message.value()
    assert message.key() == b"r"
    assert body is not None
    assert json.loads(body) == {
        "event_id": "e",
        "topic": TOPIC,
        "namespace": "default",
        "workflow": "",
        "foreign_id": "",
        "run_id": "r",
        "row_id": "",
        "version": 2,
        "created_at": "2030-01-01T00:00:00Z",
        "headers": {},
        "body": "",
    }


def test_what_is_no_event_is_put_aside(streamer: KafkaEventStreamer, url: str, caplog: pytest.LogCaptureFixture) -> None:
    receiver = streamer.receiver("steps", [TOPIC], StartFrom.NOW)
    address = parse(url)
    producer = Producer({"bootstrap.servers": address.brokers})
    producer.produce(address.topic(TOPIC), b"\xffsecret", partition=0)
    assert producer.flush(20) == 0
    event = make()
    streamer.publish([event])
    with caplog.at_level(logging.ERROR):
        assert receive(receiver, 1) == [event]
        receiver.receive([TopicQuota(TOPIC, 1)], timedelta(seconds=1))
    assert sum("put aside" in record.message for record in caplog.records) == 1
    assert "secret" not in caplog.text
    receiver.close()


def test_brokers_that_do_not_answer_are_an_error_with_a_remedy_and_without_the_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_streamer_module, "CONFIRM_TIMEOUT", 1.0)
    streamer = open_streamer(f"kafka://127.0.0.1:{free_port()}/?sasl.password=geheim")
    with pytest.raises(StreamerError, match="Check that the brokers run") as caught:
        streamer.publish([make()])
    assert "geheim" not in str(caught.value)
    assert "geheim" not in repr(streamer)
    streamer.close()


def test_names_are_kept_apart() -> None:
    address = parse("kafka://host:1")
    names = {address.topic(topic) for topic in ("a/b", "a-b", "a b", "a.b", "größe", "gr-sse", "x" * 400, "x" * 401)}
    assert len(names) == 8
    assert all(len(name) <= 249 for name in names)


@pytest.mark.parametrize(
    "url", ["kafka://", "kafka://me:geheim@host:1", "kafka://host:1/?nonsense=1", "kafka://host:1/?prefix=a/b"]
)
def test_a_url_that_makes_no_sense_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_streamer(url)
    assert "geheim" not in str(caught.value)


def test_an_option_that_the_client_does_not_know_is_refused() -> None:
    streamer = open_streamer("kafka://127.0.0.1:1/?no.such.option=1")
    with pytest.raises(ConfigurationError, match=r"no\.such\.option"):
        streamer.publish([make()])
    streamer.close()


class Doomed:
    """A producer to which something happens after which librdkafka sends nothing any more."""

    made = 0

    def __init__(self, settings: dict[str, Any], **_: Any) -> None:
        type(self).made += 1
        self._told: list[Any] = []
        self._fatal = self.made == 1

    def produce(self, topic: str, value: bytes, *, key: str | None, on_delivery: Any) -> None:
        if self._fatal and self._told:
            raise KafkaException(KafkaError(KafkaError._FATAL, "out of order", fatal=True))
        self._told.append(on_delivery)

    def flush(self, timeout: float) -> int:
        for told in self._told:
            told(None, None)
        return 0


class Silent:
    """A producer that says of nothing what became of it."""

    def __init__(self, settings: dict[str, Any], **_: Any) -> None:
        self._waiting = 0

    def produce(self, topic: str, value: bytes, *, key: str | None, on_delivery: Any) -> None:
        self._waiting += 1

    def flush(self, timeout: float) -> int:
        return self._waiting


def test_nothing_is_heard_of_what_was_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_streamer_module, "Producer", Silent)
    streamer = open_streamer("kafka://127.0.0.1:1")

    with pytest.raises(StreamerError, match="Message timed out"):
        streamer.publish([make()])
    streamer.close()


def test_a_producer_that_will_never_send_again_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_streamer_module, "Producer", Doomed)
    streamer = open_streamer("kafka://127.0.0.1:1")
    events = [make(), make()]
    with pytest.raises(StreamerError, match="out of order"):
        streamer.publish(events)

    assert streamer.publish(events) == [True, True]
    assert Doomed.made == 2
    streamer.close()
