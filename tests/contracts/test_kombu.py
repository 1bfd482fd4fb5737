"""The streamer over kombu keeps the contract on RabbitMQ, on SQS, on Redis and on kombu's memory transport."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest
import redis

from flowdsl.ports.event_streamer import EventStreamer
from flowdsl.testing.contracts import EventStreamerContract
from flowdsl_kombu.event_streamer import open_streamer
from tests.services import RABBITMQ, REDIS, broker, own_sqs


@pytest.fixture(scope="module", params=["memory", "rabbitmq", "redis", "sqs"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A broker with names of our own, that leaves nothing behind."""
    prefix = f"t{uuid.uuid4().hex[:12]}."
    if request.param == "memory":
        yield f"kombu+memory://?prefix={prefix}"
    elif request.param == "rabbitmq":
        yield f"{broker(RABBITMQ)}?prefix={prefix}&expires=60"
    elif request.param == "sqs":
        with own_sqs() as url:
            yield f"{url}?prefix={prefix}&region=us-east-1"
    else:
        yield f"kombu+{broker(REDIS)}?prefix={prefix}"
        with redis.Redis.from_url(REDIS) as client:
            for key in [*client.scan_iter(f"{prefix}*"), *client.scan_iter(f"_kombu.binding.{prefix}*")]:
                client.delete(key)


class TestKombuEventStreamer(EventStreamerContract):
    @pytest.fixture
    def streamer_factory(self, url: str) -> Iterator[Callable[[], EventStreamer]]:
        opened: list[EventStreamer] = []

        def make() -> EventStreamer:
            streamer = open_streamer(url)
            opened.append(streamer)
            return streamer

        yield make
        for streamer in opened:
            streamer.close()
