"""One engine hands a connector's source over to another in the middle, on every real source: an event starts exactly one run."""

from __future__ import annotations

import json
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
import redis
import sqlalchemy
from confluent_kafka import Producer
from kombu.connection import Connection
from sqlalchemy import Column, Integer, MetaData, String, Table

from flowdsl import ConnectorEngine, Engine, Incoming, Run, RunState, Workflow
from flowdsl.model.reading import header, json_field
from flowdsl.ports.connector_source import ConnectorSource
from flowdsl_kafka.connector_source import KafkaSource
from flowdsl_kombu.connector_source import KombuSource
from flowdsl_redis.connector_source import RedisStreamSource
from flowdsl_sql.connect import parse
from flowdsl_sql.record_store import open_store
from flowdsl_sql.table_log import SqlLogSource
from flowdsl_sql.table_queue import SqlQueueSource
from tests.services import RABBITMQ, broker, own_kafka, own_sqs, redis_keys, sql_database

EVENTS = 120
QUICK = {
    "beat": timedelta(milliseconds=500),
    "lapse": timedelta(seconds=2),
    "lease": timedelta(seconds=2),
    "drain": timedelta(seconds=20),
}
Feed = tuple[Callable[[Sequence[int]], None], Callable[[], ConnectorSource]]
"""Sends events of these numbers, and makes a source of them, as each process does."""


class Status(StrEnum):
    NEW = "new"
    DONE = "done"


def parcel(number: int) -> str:
    return f"p-{number:04}"


def rabbitmq(stack: ExitStack, folder: Path) -> Feed:
    connection = stack.enter_context(Connection(broker(RABBITMQ)))
    channel: Any = connection.channel()
    queue = f"t{uuid.uuid4().hex}"
    channel.queue_declare(queue=queue, durable=True, auto_delete=False, arguments={"x-expires": 60_000})
    stack.callback(channel.queue_delete, queue=queue)

    def send(numbers: Sequence[int]) -> None:
        for number in numbers:
            message = channel.prepare_message(b"", headers={"p": parcel(number)}, properties={"message_id": str(number)})
            channel.basic_publish(message, exchange="", routing_key=queue)

    return send, lambda: KombuSource(RABBITMQ, queue, foreign_id=header("p"), prefetch=20)


def sqs(stack: ExitStack, folder: Path) -> Feed:
    url = f"{stack.enter_context(own_sqs())}?region=us-east-1"

    def make() -> KombuSource:
        return KombuSource(url, "parcels", foreign_id=json_field("p"))

    link = make()._sqs
    assert link is not None
    client = link.client()
    target = client.create_queue(QueueName="parcels")["QueueUrl"]

    def send(numbers: Sequence[int]) -> None:
        for number in numbers:
            client.send_message(QueueUrl=target, MessageBody=json.dumps({"p": parcel(number)}))

    return send, make


def redis_stream(stack: ExitStack, folder: Path) -> Feed:
    server, _, prefix = stack.enter_context(redis_keys()).partition("?prefix=")
    stream = f"{{{prefix}}}:parcels"
    client = stack.enter_context(redis.Redis.from_url(server))

    def send(numbers: Sequence[int]) -> None:
        for number in numbers:
            client.xadd(stream, {"p": parcel(number)})

    return send, lambda: RedisStreamSource(server, stream, foreign_id=header("p"))


def kafka(stack: ExitStack, folder: Path) -> Feed:
    url = stack.enter_context(own_kafka())

    def send(numbers: Sequence[int]) -> None:
        producer = Producer({"bootstrap.servers": url.partition("://")[2]})
        for number in numbers:
            producer.produce("parcels", b"", key=parcel(number))
        assert producer.flush(20) == 0

    return send, lambda: KafkaSource(f"{url}/?session.timeout.ms=6000", "parcels")


def table(stack: ExitStack, folder: Path) -> tuple[str, Callable[[Sequence[int]], None]]:
    url = stack.enter_context(sql_database("postgresql", folder))
    engine = sqlalchemy.create_engine(parse(url))
    stack.callback(engine.dispose)
    made = Table("parcels", MetaData(), Column("id", Integer, primary_key=True), Column("p", String(20)))
    made.create(engine)

    def send(numbers: Sequence[int]) -> None:
        with engine.begin() as connection:
            connection.execute(made.insert(), [{"p": parcel(number)} for number in numbers])

    return url, send


def sql_log(stack: ExitStack, folder: Path) -> Feed:
    url, send = table(stack, folder)
    return send, lambda: SqlLogSource(url, "parcels", key="id", foreign_id=header("p"), every=timedelta(milliseconds=100))


def sql_queue(stack: ExitStack, folder: Path) -> Feed:
    url, send = table(stack, folder)
    return send, lambda: SqlQueueSource(url, "parcels", key="id", foreign_id=header("p"), every=timedelta(milliseconds=100))


KINDS = {made.__name__: made for made in (rabbitmq, sqs, redis_stream, kafka, sql_log, sql_queue)}


@pytest.fixture(params=KINDS)
def feed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Feed]:
    with ExitStack() as stack:
        yield KINDS[request.param](stack, tmp_path)


class Instance:
    """An engine as a process of its own would have it."""

    def __init__(self, store: str, source: ConnectorSource, handled: Counter[str], news: threading.Condition) -> None:
        workflow = Workflow("parcels", object_type=dict[str, int], status_type=Status)

        @workflow.step(from_=Status.NEW, to=Status.DONE)
        def work(run: Run[dict[str, int], Status]) -> None: ...

        @workflow.connector("warehouse", source=source, parallel_count=2 if source.competing else 1, concurrency=4)
        def on_event(engine: ConnectorEngine, event: Incoming[bytes]) -> None:
            engine.trigger(workflow, event.foreign_id, {})
            with news:
                handled[event.foreign_id] += 1
                news.notify_all()

        self.workflow = workflow
        self.engine = Engine.from_url(workflow, store=store, **QUICK)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_event_starts_one_run_though_the_reader_changes(feed: Feed, tmp_path: Path) -> None:
    send, make = feed
    news, handled = threading.Condition(), Counter[str]()
    with sql_database("postgresql", tmp_path) as store:
        open_store(store, migrate=True).close()
        send(range(EVENTS // 2))
        first = Instance(store, make(), handled, news)
        first.engine.start()
        with news:
            assert news.wait_for(lambda: len(handled) >= EVENTS // 4, 60)
        second = Instance(store, make(), handled, news)
        second.engine.start()
        send(range(EVENTS // 2, EVENTS))
        assert first.engine.stop()
        with news:
            assert news.wait_for(lambda: len(handled) == EVENTS, 60), f"{len(handled)} of {EVENTS} events were handled"
        for number in range(EVENTS):
            second.engine.latest(second.workflow, parcel(number)).wait(timeout=timedelta(seconds=30))
        runs = second.engine.runs(second.workflow, states=[RunState.COMPLETED], limit=500).runs
        assert second.engine.stop()
        after = open_store(store)
        left = list(after.items("default", "connector_attempt"))
        after.close()
    assert Counter(run.foreign_id for run in runs) == {parcel(number): 1 for number in range(EVENTS)}
    assert left == []
