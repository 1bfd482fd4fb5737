"""The streamer over SQS: what readers that die, messages that are none and endpoints that do not answer do."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from kombu.transport.SQS import Channel

from flowdsl.errors import ConfigurationError, MissingExtraError, StreamerError
from flowdsl.model.event import Event
from flowdsl.model.pending import TopicQuota
from flowdsl.ports.event_streamer import EventReceiver
from flowdsl.testing.clock import ManualClock
from flowdsl_kombu.event_streamer import open_streamer
from flowdsl_kombu.sqs_batch import body
from flowdsl_kombu.sqs_queues import beginning, queue_name
from flowdsl_kombu.sqs_streamer import SqsEventStreamer
from tests.ports import free_port
from tests.services import own_sqs

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


def make(content: bytes = b"", foreign_id: str = "") -> Event:
    return Event(event_id=uuid.uuid4().hex, topic=TOPIC, created_at=datetime.now(UTC), body=content, foreign_id=foreign_id)


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
    monkeypatch.setattr("flowdsl_kombu.sqs_queues.CACHED", 0.0)
    assert list(streamer.publish([make()])) == [True]
    other = open_streamer(url)
    receiver = other.receiver("steps", [TOPIC])
    event = make()
    streamer.publish([event])
    assert receive(receiver, 1) == [event]
    other.close()


def test_what_is_no_event_is_put_aside(streamer: SqsEventStreamer, caplog: pytest.LogCaptureFixture) -> None:
    receiver = streamer.receiver("steps", [TOPIC])
    (queue,) = streamer._queues.of(TOPIC)
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


def test_a_queue_that_somebody_deleted_is_made_again_by_its_reader(streamer: SqsEventStreamer) -> None:
    receiver = streamer.receiver("steps", [TOPIC])
    (queue,) = streamer._queues.of(TOPIC)
    streamer._link.client().delete_queue(QueueUrl=queue)
    assert list(streamer.publish([make()])) == [True], "a name that is gone is not interested"
    assert list(receiver.receive([TopicQuota(TOPIC, 1)], timedelta(0))) == []
    event = make()
    streamer.publish([event])
    assert receive(receiver, 1) == [event]
    receiver.acknowledge([event])
    receiver.close()


def test_an_event_that_is_too_large_is_not_confirmed_and_holds_no_other_up(
    streamer: SqsEventStreamer, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = streamer.receiver("steps", [TOPIC])
    events = [make(), make(b"x" * 900_000), make()]
    assert list(streamer.publish(events)) == [True, False, True]
    assert "is not published" in caplog.text
    assert {event.event_id for event in receive(receiver, 2)} == {events[0].event_id, events[2].event_id}
    receiver.close()


def test_one_event_that_is_refused_does_not_spoil_its_batch(streamer: SqsEventStreamer, monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = streamer.receiver("steps", [TOPIC])
    bad, *good = [make() for _ in range(5)]
    client = streamer._link.client()
    send = client.send_message_batch

    def refuse(**asked: Any) -> Any:
        if any(bad.event_id in entry["MessageBody"] for entry in asked["Entries"]):
            raise client.exceptions.InvalidMessageContents({"Error": {"Code": "InvalidMessageContents"}}, "SendMessageBatch")
        return send(**asked)

    monkeypatch.setattr(client, "send_message_batch", refuse)
    assert list(streamer.publish([*good[:2], bad, *good[2:]])) == [True, True, False, True, True]
    assert {event.event_id for event in receive(receiver, 4)} == {event.event_id for event in good}
    receiver.close()


def test_events_that_are_large_together_go_in_several_requests(
    streamer: SqsEventStreamer, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = streamer.receiver("steps", [TOPIC])
    sent: list[int] = []
    client = streamer._link.client()
    send = client.send_message_batch

    def count(**asked: Any) -> Any:
        sent.append(len(asked["Entries"]))
        return send(**asked)

    monkeypatch.setattr(client, "send_message_batch", count)
    events = [make(b"x" * 75_000) for _ in range(7)]  # 100,000 bytes each on the wire
    assert list(streamer.publish(events)) == [True] * 7
    assert sent == [2, 2, 2, 1]
    assert {event.event_id for event in receive(receiver, 7)} == {event.event_id for event in events}
    receiver.close()


def test_an_answer_that_refuses_one_event_of_a_batch_leaves_it_unconfirmed(
    streamer: SqsEventStreamer, monkeypatch: pytest.MonkeyPatch
) -> None:
    streamer.receiver("steps", [TOPIC]).close()
    answer = {"Successful": [{"Id": "0"}], "Failed": [{"Id": "1", "Code": "InternalError", "SenderFault": False}]}
    monkeypatch.setattr(streamer._link.client(), "send_message_batch", lambda **asked: answer)
    assert list(streamer.publish([make(), make()])) == [True, False]


def test_characters_that_sqs_takes_in_no_message_arrive(streamer: SqsEventStreamer) -> None:
    event = make(foreign_id="\ufffe\uffff\\uffff\x00\x7f\U0001f600")
    assert not {"\ufffe", "\uffff", "\x00"} & set(body(event))
    receiver = streamer.receiver("steps", [TOPIC])
    streamer.publish([event])
    assert receive(receiver, 1) == [event]
    receiver.close()


def test_what_a_round_brought_is_given_out_although_a_later_queue_failed(
    streamer: SqsEventStreamer, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = f"{TOPIC}/other"
    receiver = streamer.receiver("steps", [TOPIC, other])
    event = make()
    streamer.publish([event])
    client = streamer._link.client()
    ask = client.receive_message
    queue = streamer._queues.declare("steps", other)

    def ask_or_fail(**asked: Any) -> Any:
        if asked["QueueUrl"] == queue:
            raise ConnectionResetError
        return ask(**asked)

    monkeypatch.setattr(client, "receive_message", ask_or_fail)
    quotas = [TopicQuota(TOPIC, 5), TopicQuota(other, 5)]
    assert list(receiver.receive(quotas, PATIENCE)) == [event]
    with pytest.raises(StreamerError, match="receiving"):
        receiver.receive(quotas, timedelta(0))
    receiver.close()


def test_empty_queues_are_asked_less_and_less_but_a_topic_that_is_new_at_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock()
    streamer = open_streamer(url, clock=clock)
    assert isinstance(streamer, SqsEventStreamer)
    other = f"{TOPIC}/other"
    receiver = streamer.receiver("steps", [TOPIC, other])
    client = streamer._link.client()
    ask = client.receive_message
    rounds: list[float] = []

    def note(**asked: Any) -> Any:
        rounds.append(clock.monotonic())
        return ask(**asked)

    monkeypatch.setattr(client, "receive_message", note)
    for _ in range(400):
        assert list(receiver.receive([TopicQuota(TOPIC, 5)], timedelta(0))) == []
        clock.advance(timedelta(milliseconds=10))
    gaps = [later - earlier for earlier, later in pairwise(rounds)]
    assert rounds[0] == 0
    assert gaps == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0], abs=0.011)
    rounds.clear()
    receiver.receive([TopicQuota(TOPIC, 5), TopicQuota(other, 5)], timedelta(0))
    assert len(rounds) == 2
    streamer.close()


def test_the_visibility_of_the_url_counts_for_a_queue_that_was_made_with_another(streamer: SqsEventStreamer) -> None:
    receiver = streamer.receiver("steps", [TOPIC])
    (queue,) = streamer._queues.of(TOPIC)
    streamer._link.client().set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "600"})
    event = make()
    streamer.publish([event])
    assert receive(receiver, 1) == [event]
    assert receive(receiver, 1) == [event], "it was not acknowledged within the second that the URL says"
    receiver.close()


def test_a_name_that_this_process_made_is_known_before_sqs_lists_it(streamer: SqsEventStreamer) -> None:
    assert list(streamer.publish([make()])) == [True]  # that nobody reads is remembered for a while
    receiver = streamer.receiver("steps", [TOPIC])
    event = make()
    streamer.publish([event])
    assert receive(receiver, 1) == [event]
    receiver.close()


def test_a_topic_with_more_names_than_a_page_of_the_list_reaches_all(
    streamer: SqsEventStreamer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowdsl_kombu.sqs_queues.PAGE", 2)
    for number in range(5):
        streamer.receiver(f"name-{number}", [TOPIC]).close()
    other = open_streamer(url)
    assert isinstance(other, SqsEventStreamer)
    assert len(other._queues.of(TOPIC)) == 5
    other.close()


def test_names_of_queues_fit_and_different_ones_stay_different() -> None:
    texts = ["a", "a.", "a-", "a/b", "ü", "ö", "x" * 300, "x" * 301]
    cases = [(prefix, topic, name) for prefix in ("p.", "p-", "") for topic in texts for name in texts]
    names = [queue_name(*case) for case in cases]
    assert len(set(names)) == len(cases)
    assert all(re.fullmatch("[A-Za-z0-9_-]{1,80}", name) for name in names)
    begins = {(prefix, topic): beginning(prefix, topic) for prefix, topic, _ in cases}
    for name, case in zip(names, cases, strict=True):
        assert [place for place, begin in begins.items() if name.startswith(begin)] == [case[:2]]
    assert "orders" in queue_name("flowdsl.", "default/orders/created", "steps"), "for people"


def test_a_missing_boto3_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(MissingExtraError, match=r"flowdsl\[sqs\]"):
        open_streamer("sqs://key:secret@127.0.0.1:1//")


@pytest.mark.parametrize(
    ("url", "endpoint", "shown"),
    [
        ("sqs://key:a%2Fb@//?region=eu-west-1", "https://sqs.eu-west-1.amazonaws.com", "SQS eu-west-1"),
        ("sqs://?region=eu-west-1", "https://sqs.eu-west-1.amazonaws.com", "SQS eu-west-1"),
        ("sqs://key:a%2Fb@sqs.example.org//?region=eu-west-1", "https://sqs.example.org", "sqs.example.org"),
        ("sqs://key:a%2Fb@127.0.0.1:9//?region=eu-west-1", "http://127.0.0.1:9", "127.0.0.1:9"),
        ("sqs://127.0.0.1:9//?region=eu-west-1", "http://127.0.0.1:9", "127.0.0.1:9"),
        ("sqs://key:a%2Fb@127.0.0.1:9//?region=eu-west-1&tls=yes", "https://127.0.0.1:9", "127.0.0.1:9"),
    ],
)
def test_a_url_says_where_sqs_is(url: str, endpoint: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Channel, "_update_queue_cache", lambda self, prefix: None)  # it would ask
    streamer = open_streamer(url)
    assert isinstance(streamer, SqsEventStreamer)
    assert repr(streamer) == f"SqsEventStreamer({shown!r})"
    client = streamer._link.client()
    assert (client.meta.endpoint_url, client.meta.region_name) == (endpoint, "eu-west-1")
    if "@" in url:
        keys = client._request_signer._credentials
        assert (keys.access_key, keys.secret_key) == ("key", "a/b")
    streamer.close()


def test_a_closed_streamer_makes_no_client_any_more(streamer: SqsEventStreamer) -> None:
    receiver = streamer.receiver("steps", [TOPIC])
    event = make()
    streamer.publish([event])
    (got,) = receive(receiver, 1)
    receiver.acknowledge([got])
    streamer.close()
    receiver.acknowledge([got])  # twice is harmless
    with pytest.raises(StreamerError, match="closed"):
        streamer._link.client()


@pytest.mark.parametrize(
    "option", ["visibility=soon", "visibility=0", "visibility=43201", "nonsense=1", "tls=perhaps", f"prefix={'x' * 40}"]
)
def test_a_url_that_makes_no_sense_is_refused(option: str) -> None:
    with pytest.raises(ConfigurationError):
        open_streamer(f"sqs://key:secret@127.0.0.1:1//?{option}")
