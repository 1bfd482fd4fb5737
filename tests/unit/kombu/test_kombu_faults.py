"""The streamer over kombu when connections, consumers and messages fail. On the RabbitMQ of this machine."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kombu.connection import Connection
from msgspec.structs import replace

from flowdsl.engine import discovery
from flowdsl.errors import ConfigurationError, MissingExtraError, StreamerError
from flowdsl.model.event import Event
from flowdsl.model.pending import TopicQuota
from flowdsl.ports.event_streamer import EventReceiver, EventStreamer
from flowdsl_kombu import sender
from flowdsl_kombu.bundles import BUNDLE
from flowdsl_kombu.event_streamer import open_streamer
from flowdsl_kombu.receiver import BUFFER, PREFETCH
from flowdsl_kombu.traits import TRAITS
from tests.proxy import Proxy
from tests.services import RABBITMQ, broker

PATIENCE = timedelta(seconds=15)
TOPIC = "default/orders/created"


@pytest.fixture
def prefix() -> str:
    return f"t{uuid.uuid4().hex[:12]}."


@pytest.fixture
def options(prefix: str) -> str:
    return f"?prefix={prefix}&expires=60"


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    made = Proxy(broker(RABBITMQ))
    yield made
    made.close()


@pytest.fixture
def streamer(options: str) -> Iterator[EventStreamer]:
    made = open_streamer(broker(RABBITMQ) + options)
    yield made
    made.close()


@pytest.fixture
def through(proxy: Proxy, options: str) -> Iterator[EventStreamer]:
    """The same names, by way of the proxy."""
    made = open_streamer(proxy.url + options)
    yield made
    made.close()


def make() -> Event:
    return Event(event_id=uuid.uuid4().hex, topic=TOPIC, created_at=datetime.now(UTC))


def receive(receiver: EventReceiver, count: int) -> list[Event]:
    """`count` events, whatever fails meanwhile."""
    found: list[Event] = []
    for _ in range(50):
        try:
            got = receiver.receive([TopicQuota(TOPIC, count - len(found))], PATIENCE)
        except StreamerError:
            continue
        assert got, f"{len(found)} of {count} came"
        found += got
        if len(found) == count:
            return found
    raise AssertionError("it never came to rest")


def test_publishing_goes_on_after_its_connection_was_cut(through: EventStreamer, proxy: Proxy, streamer: Any) -> None:
    receiver = streamer.receiver("a", [TOPIC])
    first, second = make(), make()
    assert list(through.publish([first])) == [True]
    proxy.cut()
    assert list(through.publish([second])) == [True]
    assert {event.event_id for event in receive(receiver, 2)} == {first.event_id, second.event_id}


def test_a_receiver_whose_connection_was_cut_hears_again(through: EventStreamer, proxy: Proxy, streamer: Any) -> None:
    receiver = through.receiver("a", [TOPIC])
    streamer.publish([make()])
    (held,) = receive(receiver, 1)
    proxy.cut()
    with pytest.raises(StreamerError, match="tried again"):
        receiver.receive([TopicQuota(TOPIC, 1)], timedelta(seconds=1))
    (again,) = receive(receiver, 1)
    assert again == held, "it was not acknowledged"
    receiver.acknowledge([again])
    later = make()
    streamer.publish([later])
    assert receive(receiver, 1) == [later]


def test_an_acknowledgement_of_an_earlier_connection_is_dropped(
    through: EventStreamer, proxy: Proxy, streamer: EventStreamer
) -> None:
    receiver = through.receiver("a", [TOPIC])
    streamer.publish([make()])
    (held,) = receive(receiver, 1)
    proxy.cut()
    receiver.acknowledge([held])  # harmless, and without effect
    assert receive(receiver, 1) == [held]


@pytest.mark.parametrize("rounds", [[[0, 1, 2], [4], [7, 3]], [[7], [3, 0, 4], [1, 2]], [[5, 6], [0, 1, 2, 3, 4]]], ids=str)
def test_what_is_acknowledged_in_any_order_does_not_come_again_and_the_rest_does(
    streamer: EventStreamer, rounds: list[list[int]]
) -> None:
    first = streamer.receiver("a", [TOPIC])
    for _ in range(10):
        streamer.publish([make()])
    got = receive(first, 8)  # two more are on their way, or with the receiver
    for numbers in rounds:
        first.acknowledge([got[number] for number in numbers])
    first.close()

    done = {got[number].event_id for numbers in rounds for number in numbers}
    second = streamer.receiver("a", [TOPIC])
    again = {event.event_id for event in receive(second, 10 - len(done))}
    assert not again & done
    assert again >= {event.event_id for event in got} - done
    assert list(second.receive([TopicQuota(TOPIC, 10)], timedelta(0))) == []
    second.close()


def test_a_broker_that_never_confirms_is_an_error_within_the_time(
    through: EventStreamer, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    through.publish([make()])
    monkeypatch.setattr(sender, "CONFIRM_TIMEOUT", 0.3)
    proxy.silence()
    with pytest.raises(StreamerError, match="did not confirm 2 of 2 messages"):
        through.publish([make() for _ in range(BUNDLE + 1)])


def test_what_a_killed_reader_held_comes_to_another(streamer: EventStreamer, options: str) -> None:
    other = streamer.receiver("a", [TOPIC])
    other.close()
    events = [make() for _ in range(3)]
    code = f"""
import sys
from datetime import timedelta
from flowdsl.model.pending import TopicQuota
from flowdsl_kombu.event_streamer import open_streamer
from flowdsl_kombu.receiver import PREFETCH
receiver = open_streamer({broker(RABBITMQ) + options!r}).receiver("a", [{TOPIC!r}])
found = []
while len(found) < 3:
    found += receiver.receive([TopicQuota({TOPIC!r}, 3)], timedelta(seconds=15))
print("held", flush=True)
sys.stdin.read()
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        streamer.publish(events)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        process.kill()
    again = receive(streamer.receiver("a", [TOPIC]), 3)
    assert {event.event_id for event in again} == {event.event_id for event in events}


def test_what_is_no_event_is_put_aside_and_its_content_is_not_logged(
    streamer: EventStreamer, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = streamer.receiver("a", [TOPIC])
    with Connection(RABBITMQ) as connection, connection.channel() as channel:
        for body in (b"not json: hunter2", b'{"event_id": 7, "secret": "hunter2"}', b"[" * 100_000):
            channel.basic_publish(channel.prepare_message(body), exchange=f"{prefix}events", routing_key=TOPIC)
    good = make()
    streamer.publish([good])
    with caplog.at_level(logging.DEBUG):
        assert receive(receiver, 1) == [good]
    assert sum("put aside" in record.message for record in caplog.records) == 3
    assert "hunter2" not in caplog.text
    receiver.acknowledge([good])
    receiver.close()
    assert list(streamer.receiver("a", [TOPIC]).receive([TopicQuota(TOPIC, 9)], timedelta(milliseconds=200))) == []


def test_an_unreachable_broker_is_an_error_with_a_remedy_and_without_the_password() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    streamer = open_streamer(f"amqp://ada:hunter2@127.0.0.1:{port}//")
    with pytest.raises(StreamerError, match="Check that the broker runs") as caught:
        streamer.publish([make()])
    assert "hunter2" not in str(caught.value)
    streamer.close()


def test_a_transport_that_is_not_in_the_table_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="amqp, amqps, memory"):
        open_streamer("kombu+qpid://host")


@pytest.mark.parametrize(
    "option", ["expires=soon", "expires=0", "expires=-1", "expires=nan", "expires=4294968", "prefx=a", "nonsense=1"]
)
def test_an_option_that_cannot_be_is_refused_when_the_streamer_is_made(option: str) -> None:
    for url in (f"amqp://ada:hunter2@127.0.0.1//?{option}", f"kombu+memory://?{option}"):
        with pytest.raises(ConfigurationError, match=option.partition("=")[0]) as caught:
            open_streamer(url)
        assert "hunter2" not in str(caught.value)


def test_a_missing_kombu_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "flowdsl_kombu"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "kombu", None)
    monkeypatch.setitem(sys.modules, "kombu.connection", None)
    with pytest.raises(MissingExtraError, match=r"flowdsl\[kombu\]"):
        discovery.open_streamer("amqp://127.0.0.1//")


@pytest.mark.parametrize("transport", sorted(TRAITS))
def test_a_url_with_a_bare_slash_in_its_password_is_refused_and_not_shown(transport: str) -> None:
    for url in (f"{transport}://ada:hun/ter2@127.0.0.1:5672//", f"{transport}://ada:1/hunter2@host//"):
        with pytest.raises(ConfigurationError, match="%2F") as caught:
            open_streamer(f"kombu+{url}")
        assert "hun" not in str(caught.value)
        assert caught.value.__cause__ is None


@pytest.mark.parametrize("transport", sorted(TRAITS))
def test_names_fit_the_transport_and_different_ones_stay_different(transport: str) -> None:
    traits = TRAITS[transport]
    topics = ["a/b", "a/b ", "ü/ü", "x" * 300, "x" * 301]
    queues = [traits.queue("p.", "name", topic) for topic in topics]
    assert len(set(queues)) == len(topics)
    assert all(len(queue) <= traits.longest_name for queue in queues)


def test_closing_a_receiver_that_has_much_on_its_way_says_nothing(
    streamer: EventStreamer, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = streamer.receiver("a", [TOPIC])
    sent = [replace(make(), body=b"alone in its message") for _ in range(200 + 2 * PREFETCH)]
    for begin in range(0, len(sent), 100):
        assert all(streamer.publish(sent[begin : begin + 100]))
    for _ in range(20):  # each acknowledgement has the broker send some more
        receiver.acknowledge(receive(receiver, 10))
    with caplog.at_level(logging.INFO):
        receiver.close()
    assert caplog.messages == []
    again = streamer.receiver("a", [TOPIC])
    left: set[str] = set()
    while len(left) < len(sent) - 200:
        some = receive(again, 1)
        again.acknowledge(some)
        left |= {event.event_id for event in some}


def test_a_reader_takes_no_more_of_a_backlog_than_it_may_while_another_topic_is_empty(prefix: str) -> None:
    """On a transport that does not limit it itself: what one reader holds is kept from the others."""
    streamer = open_streamer(f"kombu+memory://?prefix={prefix}")
    first = streamer.receiver("steps", ["full", "empty"])
    second = streamer.receiver("steps", ["full", "empty"])
    many = 3 * BUFFER
    now = datetime(2030, 1, 1, tzinfo=UTC)
    streamer.publish([Event(event_id=str(n), topic="full", body=b"x", created_at=now) for n in range(many)])

    quotas = [TopicQuota("full", many), TopicQuota("empty", 1)]
    found = [len(reader.receive(quotas, timedelta(seconds=1))) for reader in (first, second)]

    assert found == [BUFFER, BUFFER]
    streamer.close()
