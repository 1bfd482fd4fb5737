"""The streamer over SQS: what readers that die, messages that are none and endpoints that do not answer do."""

from __future__ import annotations

import logging
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from flowdsl.errors import ConfigurationError, StreamerError
from flowdsl.model.event import Event
from flowdsl.model.pending import TopicQuota
from flowdsl.ports.event_streamer import EventReceiver
from flowdsl_kombu.event_streamer import open_streamer
from flowdsl_kombu.sqs_streamer import SqsEventStreamer
from tests.services import free_port, own_sqs

PATIENCE = timedelta(seconds=20)
TOPIC = "default/orders/größe"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with own_sqs() as url:
        yield url


@pytest.fixture
def url(server: str) -> str:
    return f"{server}?prefix=t{uuid.uuid4().hex[:12]}.&region=us-east-1&visibility=1"


@pytest.fixture
def streamer(url: str) -> Iterator[SqsEventStreamer]:
    made = open_streamer(url)
    assert isinstance(made, SqsEventStreamer)
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


def test_what_a_killed_reader_held_comes_to_another(streamer: SqsEventStreamer, url: str) -> None:
    receiver = streamer.receiver("steps", [TOPIC])
    events = [make() for _ in range(12)]
    streamer.publish(events)
    code = f"""
import os, signal
from datetime import timedelta
from flowdsl.model.pending import TopicQuota
from flowdsl_kombu.event_streamer import open_streamer
receiver = open_streamer({url!r}).receiver("steps", [{TOPIC!r}])
assert receiver.receive([TopicQuota({TOPIC!r}, 5)], timedelta(seconds=10))
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9

    found = receive(receiver, 12)

    assert {event.event_id for event in found} == {event.event_id for event in events}
    receiver.acknowledge(found)
    receiver.close()


def test_a_name_that_another_process_made_gets_what_is_sent_to_it_before_long(
    streamer: SqsEventStreamer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowdsl_kombu.sqs_link.CACHED", 0.0)
    assert list(streamer.publish([make()])) == [True]
    other = open_streamer(url)
    receiver = other.receiver("steps", [TOPIC])
    event = make()
    streamer.publish([event])
    assert receive(receiver, 1) == [event]
    other.close()


def test_what_is_no_event_is_put_aside(streamer: SqsEventStreamer, caplog: pytest.LogCaptureFixture) -> None:
    receiver = streamer.receiver("steps", [TOPIC])
    (queue,) = streamer._link.queues(TOPIC)
    streamer._link.client().send_message(QueueUrl=queue, MessageBody="secret")
    event = make()
    streamer.publish([event])
    with caplog.at_level(logging.ERROR):
        assert receive(receiver, 1) == [event]
        receiver.acknowledge([event])
        assert list(receiver.receive([TopicQuota(TOPIC, 5)], timedelta(seconds=2))) == []
    assert sum("put aside" in record.message for record in caplog.records) == 1
    assert "secret" not in caplog.text
    receiver.close()


def test_an_endpoint_that_does_not_answer_is_an_error_with_a_remedy_and_without_the_secret() -> None:
    streamer = open_streamer(f"sqs://key:geheim@127.0.0.1:{free_port()}//?region=us-east-1")
    with pytest.raises(StreamerError, match="Check endpoint, region and credentials") as caught:
        streamer.publish([make()])
    assert "geheim" not in str(caught.value)
    assert "geheim" not in repr(streamer)
    streamer.close()


@pytest.mark.parametrize("option", ["visibility=soon", "nonsense=1", f"prefix={'x' * 40}"])
def test_a_url_that_makes_no_sense_is_refused(option: str) -> None:
    with pytest.raises(ConfigurationError):
        open_streamer(f"sqs://key:secret@127.0.0.1:1//?{option}")
