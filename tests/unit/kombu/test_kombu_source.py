"""Somebody else's queue when names are wrong, connections break, messages lack what they should have. On the RabbitMQ of this
machine, and on a server that speaks SQS's protocol."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kombu.connection import Connection

from flowdsl.errors import ConfigurationError, StreamerError
from flowdsl.model.event import ConnectorEvent
from flowdsl.model.reading import content_hash, header, json_field, routing_key
from flowdsl.ports.connector_source import ConnectorReader
from flowdsl.testing.clock import ManualClock
from flowdsl_kombu.connector_source import KombuSource
from tests.proxy import Proxy
from tests.services import RABBITMQ, REDIS, broker, own_sqs

PATIENCE = timedelta(seconds=15)
NOW, SHORTLY = timedelta(0), timedelta(milliseconds=200)


class Owner:
    """The service whose queues these are."""

    def __init__(self, connection: Connection) -> None:
        self.channel: Any = connection.channel()
        self.made: list[str] = []

    def queue(self) -> str:
        name = f"t{uuid.uuid4().hex}"
        self.channel.queue_declare(queue=name, durable=True, auto_delete=False, arguments={"x-expires": 60_000})
        self.made.append(name)
        return name

    def exchange(self, kind: str) -> str:
        name = f"t{uuid.uuid4().hex}"
        self.channel.exchange_declare(exchange=name, type=kind, durable=False, auto_delete=True)
        return name

    def send(self, place: str, *bodies: bytes, exchange: str = "", **properties: Any) -> None:
        headers = properties.pop("headers", {})
        for body in bodies:
            message = self.channel.prepare_message(body, headers=headers, properties=properties)
            self.channel.basic_publish(message, exchange=exchange, routing_key=place)


@pytest.fixture
def owner() -> Iterator[Owner]:
    with Connection(broker(RABBITMQ)) as connection:
        made = Owner(connection)
        yield made
        for queue in made.made:
            made.channel.queue_delete(queue=queue)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    made = Proxy(broker(RABBITMQ))
    yield made
    made.close()


@pytest.fixture
def opened() -> Iterator[Callable[..., ConnectorReader]]:
    """Opens a source under a name; every reader is closed at the end."""
    readers: list[ConnectorReader] = []

    def open_(source: KombuSource, name: str = "courier") -> ConnectorReader:
        readers.append(source.open(name))
        return readers[-1]

    yield open_
    for reader in readers:
        reader.close()


def receive(reader: ConnectorReader, count: int) -> list[ConnectorEvent]:
    """`count` events, whatever fails meanwhile."""
    found: list[ConnectorEvent] = []
    for _ in range(50):
        try:
            got = reader.receive(count - len(found), PATIENCE)
        except StreamerError:
            continue
        assert got, f"{len(found)} of {count} came"
        found += got
        if len(found) >= count:
            return found
    raise AssertionError("it never came to rest")


def bodies(events: Sequence[ConnectorEvent]) -> list[bytes]:
    return [event.body for event in events]


def test_a_queue_or_an_exchange_that_is_not_there_is_not_made(owner: Owner) -> None:
    missing = f"t{uuid.uuid4().hex}"
    for source in (
        KombuSource(RABBITMQ, missing, foreign_id=content_hash),
        KombuSource(RABBITMQ, exchange=missing, foreign_id=content_hash),
    ):
        with pytest.raises(StreamerError, match=f"there is no (queue|exchange) {missing}.*check the name"):
            source.open("courier")
    with pytest.raises(Exception, match="NOT_FOUND"):
        owner.channel.queue_declare(queue=missing, passive=True)


def test_an_exchange_is_read_through_a_queue_of_the_connectors_own(owner: Owner, opened: Callable[..., ConnectorReader]) -> None:
    exchange, name = owner.exchange("topic"), f"t{uuid.uuid4().hex}"
    keys, arguments = ["pickup.#", "delivery.*"], {"x-expires": 60_000}
    source = KombuSource(
        RABBITMQ,
        exchange=exchange,
        routing_keys=keys,
        event_id=content_hash,
        foreign_id=routing_key,
        queue_arguments=arguments,
    )
    first = opened(source, name)
    owner.made.append(name)
    for key in ("pickup.a.b", "delivery.c", "other.d"):
        owner.send(key, key.encode(), exchange=exchange)
    got = receive(first, 2)
    assert {(event.foreign_id, event.body) for event in got} == {("pickup.a.b", b"pickup.a.b"), ("delivery.c", b"delivery.c")}
    first.close()
    owner.send("pickup.e", b"while nobody reads", exchange=exchange)
    again = receive(opened(source, name), 3)
    assert b"while nobody reads" in bodies(again)
    assert source.keeps_places
    assert (keys, arguments) == (["pickup.#", "delivery.*"], {"x-expires": 60_000}), "what is given is left as it is"
    assert not KombuSource(RABBITMQ, "q", foreign_id=routing_key).keeps_places


def test_what_comes_again_says_so(owner: Owner, opened: Callable[..., ConnectorReader]) -> None:
    queue = owner.queue()
    owner.send(queue, b"1", message_id="m-1")
    source = KombuSource(RABBITMQ, queue, foreign_id=content_hash)
    first = opened(source)
    assert [event.redelivered for event in receive(first, 1)] == [False]
    first.close()
    assert [event.redelivered for event in receive(opened(source), 1)] == [True]


def test_what_one_reader_has_in_hand_no_other_gets(owner: Owner, opened: Callable[..., ConnectorReader]) -> None:
    queue = owner.queue()
    owner.send(queue, b"1", message_id="m-1")
    source = KombuSource(RABBITMQ, queue, foreign_id=content_hash)
    first, second = opened(source), opened(source)
    (holder, other) = (first, second) if first.receive(5, PATIENCE) else (second, first)
    assert list(other.receive(5, SHORTLY)) == []
    assert list(holder.receive(0, NOW)) == []
    holder.close()
    assert bodies(receive(other, 1)) == [b"1"]


def test_no_more_than_the_prefetch_is_taken_from_others(owner: Owner, opened: Callable[..., ConnectorReader]) -> None:
    queue = owner.queue()
    source = KombuSource(RABBITMQ, queue, foreign_id=content_hash, event_id=content_hash, prefetch=2)
    first = opened(source)
    owner.send(queue, *(bytes([number]) for number in range(5)))
    mine = receive(first, 2)
    assert list(first.receive(5, SHORTLY)) == []
    assert len(receive(opened(source), 2)) == 2
    first.acknowledge(mine[:1])
    assert len(receive(first, 1)) == 1


def test_a_reader_goes_on_after_its_connection_was_cut(
    owner: Owner, proxy: Proxy, opened: Callable[..., ConnectorReader]
) -> None:
    queue = owner.queue()
    owner.send(queue, b"1", b"2", headers={"x": "y"})
    source = KombuSource(proxy.url, queue, foreign_id=content_hash, event_id=content_hash)
    reader = opened(source)
    got = receive(reader, 2)
    proxy.cut()
    again = receive(reader, 2)
    assert sorted(bodies(again)) == [b"1", b"2"]
    assert all(event.redelivered for event in again)
    reader.acknowledge(got)  # the same events: what it is known by has not changed
    reader.close()
    assert list(opened(source).receive(5, SHORTLY)) == []


def test_a_queue_that_is_deleted_is_an_error_until_it_is_back(owner: Owner, opened: Callable[..., ConnectorReader]) -> None:
    queue = owner.queue()
    reader = opened(KombuSource(RABBITMQ, queue, foreign_id=content_hash, event_id=content_hash))
    owner.channel.queue_delete(queue=queue)
    with pytest.raises(StreamerError, match="was deleted"):
        reader.receive(1, PATIENCE)
    with pytest.raises(StreamerError, match="there is no queue"):
        reader.receive(1, NOW)
    owner.channel.queue_declare(queue=queue, durable=True, auto_delete=False, arguments={"x-expires": 60_000})
    owner.send(queue, b"back")
    assert bodies(receive(reader, 1)) == [b"back"]


def test_a_message_is_read_as_it_was_said(owner: Owner, opened: Callable[..., ConnectorReader]) -> None:
    queue = owner.queue()
    headers = {"tenant": "a", "n": 7, "deep": {"x": [1]}}
    owner.send(queue, b'{"order": {"id": 5}}', headers=headers, type="paid", message_id="m-1", timestamp=1_900_000_000)
    (event,) = receive(opened(KombuSource(RABBITMQ, queue, foreign_id=json_field("order.id"))), 1)
    assert (event.event_id, event.foreign_id, event.type) == ("m-1", "5", "paid")
    assert event.headers == {"tenant": "a", "n": "7", "deep": '{"x":[1]}'}
    assert event.created_at == datetime.fromtimestamp(1_900_000_000, UTC)


def test_a_message_without_an_id_is_put_aside_unless_told_otherwise(owner: Owner, opened: Callable[..., ConnectorReader]) -> None:
    queue = owner.queue()
    owner.send(queue, b"1", headers={"o": "5"})
    reader = opened(KombuSource(RABBITMQ, queue, foreign_id=header("o")))
    (event,) = receive(reader, 1)
    assert event.problem == "no event id: there is no message id"
    reader.close()
    (event,) = receive(opened(KombuSource(RABBITMQ, queue, foreign_id=header("o"), event_id=content_hash)), 1)
    assert (event.problem, len(event.event_id)) == ("", 64)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "reads a queue or an exchange"),
        ({"url": "kombu+redis://localhost", "exchange": "e"}, "redis has no exchanges"),
        ({"queue": "q", "routing_keys": ["a"]}, "routing_keys= needs the exchange"),
        ({"queue": "q", "prefetch": 0}, "prefetch=0"),
        ({"url": "zmq://host", "queue": "q"}, "no kombu transport 'zmq'"),
        ({"url": "sqs://key:secret@host:1//?nonsense=1", "queue": "q"}, "sqs has no option nonsense"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_declared(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        KombuSource(arguments.pop("url", RABBITMQ), foreign_id=content_hash, **arguments)


def test_nothing_shows_the_password() -> None:
    source = KombuSource("amqp://user:hush@127.0.0.1:1//", "q", foreign_id=content_hash)
    assert "hush" not in repr(source)
    with pytest.raises(StreamerError) as caught:
        source.open("courier")
    assert "hush" not in str(caught.value)


# -- SQS ----------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with own_sqs() as url:
        yield f"{url}?region=us-east-1&visibility=60"


def sqs(endpoint: str, clock: ManualClock | None = None) -> tuple[KombuSource, Any, str]:
    """A source over a queue that is there, its client, and the queue's URL."""
    queue = f"t{uuid.uuid4().hex}"
    source = KombuSource(endpoint, queue, foreign_id=content_hash, clock=clock)
    assert source._sqs is not None
    client = source._sqs.client()
    return source, client, client.create_queue(QueueName=queue)["QueueUrl"]


def test_a_queue_of_sqs_that_is_not_there_is_not_made(endpoint: str) -> None:
    with pytest.raises(StreamerError, match="there is no queue nothing"):
        KombuSource(endpoint, "nothing", foreign_id=content_hash).open("courier")


def test_a_message_of_sqs_stays_ours_while_it_is_in_hand(endpoint: str) -> None:
    clock = ManualClock()
    source, client, url = sqs(endpoint, clock)
    client.send_message(QueueUrl=url, MessageBody="1")
    reader = source.open("courier")
    (event,) = reader.receive(5, NOW)
    asked: list[int] = []
    real = client.change_message_visibility_batch

    def change(**arguments: Any) -> Any:
        asked.extend(entry["VisibilityTimeout"] for entry in arguments["Entries"])
        return real(**arguments)

    client.change_message_visibility_batch = change
    clock.advance(timedelta(seconds=29))
    reader.receive(0, NOW)
    assert asked == []
    for _ in range(2):
        clock.advance(timedelta(seconds=31))
        reader.receive(0, NOW)
    assert asked == [60, 60]
    reader.acknowledge([event])
    clock.advance(timedelta(seconds=31))
    reader.receive(0, NOW)
    reader.close()
    assert asked == [60, 60], "what is done is nobody's"


def test_a_message_of_sqs_that_comes_again_says_so_and_readers_share(endpoint: str) -> None:
    source, client, url = sqs(endpoint)
    client.send_message(QueueUrl=url, MessageBody='{"a": 1}')
    first, second = source.open("courier"), source.open("courier")
    (event,) = first.receive(5, PATIENCE)
    assert (event.redelivered, event.problem, event.body) == (False, "", b'{"a": 1}')
    assert list(second.receive(5, SHORTLY)) == []
    first.close()
    (again,) = second.receive(5, PATIENCE)
    assert (again.redelivered, again.event_id) == (True, event.event_id)
    second.acknowledge([again])
    second.close()


def test_a_reader_of_sqs_takes_no_more_than_its_prefetch(endpoint: str) -> None:
    source, client, url = sqs(endpoint)
    source._prefetch = 3
    for number in range(5):
        client.send_message(QueueUrl=url, MessageBody=str(number))
    reader = source.open("courier")
    got = list(reader.receive(10, PATIENCE))
    assert len(got) == 3
    assert list(reader.receive(10, NOW)) == []
    reader.acknowledge(got)
    assert len(reader.receive(10, PATIENCE)) == 2
    reader.close()


# -- kombu's own transports ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["memory://", REDIS], ids=["memory", "redis"])
def test_a_body_that_is_called_compressed_is_not_inflated_and_is_given_back_as_it_came(
    transport: str, opened: Callable[..., ConnectorReader]
) -> None:
    place = f"t{uuid.uuid4().hex}"
    with Connection(transport if transport == "memory://" else broker(REDIS)) as connection:
        producer = connection.Producer(serializer="raw", auto_declare=False)
        channel = producer.channel
        channel.queue_declare(queue=place)
        producer.publish(
            b"\0" * 5_000_000, routing_key=place, compression="zlib", content_type="application/data", content_encoding="binary"
        )
        source = KombuSource(transport, place, foreign_id=content_hash, event_id=content_hash)
        first = source.open("courier")
        (event,) = receive(first, 1)
        first.close()
        (again,) = receive(opened(source), 1)
        channel.queue_delete(queue=place)

    assert len(event.body) < 10_000
    assert event.headers["compression"] == "application/x-gzip"
    assert (again.body, again.headers["compression"]) == (event.body, event.headers["compression"])
