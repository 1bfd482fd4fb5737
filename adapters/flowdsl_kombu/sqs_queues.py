"""The queues of SQS: their names, and which there are of a topic."""

from __future__ import annotations

import base64
import hashlib
import re
import threading

from flowdsl.clock import Clock
from flowdsl.errors import ConfigurationError
from flowdsl_kombu.errors import QueueGoneError
from flowdsl_kombu.sqs_link import SqsLink
from flowdsl_kombu.traits import TRAITS

CACHED = 5.0
"""Seconds for which a sender believes that it knows a topic's queues: so long may a receiver name that another process has just
made miss what this one sends."""
KEEP = 4 * 24 * 3600
"""Seconds that a queue keeps its messages."""
PAGE = 1000
"""Queues of one answer, at most."""
LONGEST_PREFIX = 30


class SqsQueues:
    """SQS has no exchange: a topic's queues are those whose names begin as its do. No other service need know them."""

    def __init__(self, link: SqsLink, prefix: str, clock: Clock) -> None:
        if len(prefix) > LONGEST_PREFIX:
            raise ConfigurationError(
                f"the prefix {prefix!r} is too long for SQS.", remedy=f"Use at most {LONGEST_PREFIX} characters."
            )
        self._link = link
        self._prefix = prefix
        self._clock = clock
        self._lock = threading.Lock()
        self._own: dict[str, set[str]] = {}
        """By topic, what this process has declared: SQS may take a while to list it."""
        self._listed: dict[str, tuple[float, list[str]]] = {}

    def declare(self, name: str, topic: str) -> str:
        """The URL of the queue of a receiver name and topic, which is made where it is not there. Raises StreamerError."""
        queue = queue_name(self._prefix, topic, name)
        client = self._link.client()
        try:
            with self._link.translated("looking for a queue"):
                answer = client.get_queue_url(QueueName=queue)
        except QueueGoneError:
            with self._link.translated("making a queue"):
                answer = client.create_queue(QueueName=queue, Attributes={"MessageRetentionPeriod": str(KEEP)})
        url = str(answer["QueueUrl"])
        with self._lock:
            self._own.setdefault(topic, set()).add(url)
        return url

    def of(self, topic: str) -> list[str]:
        """The URLs of the queues of every receiver name of a topic. Raises StreamerError."""
        known = self._listed.get(topic)
        if known is None or self._clock.monotonic() - known[0] > CACHED:
            pages = self._link.client().get_paginator("list_queues")
            with self._link.translated("looking for queues"):
                answers = pages.paginate(QueueNamePrefix=beginning(self._prefix, topic), PaginationConfig={"PageSize": PAGE})
                known = (self._clock.monotonic(), [str(url) for answer in answers for url in answer.get("QueueUrls", ())])
        with self._lock:
            self._listed[topic] = known
            return sorted({*known[1], *self._own.get(topic, ())})

    def forget(self, topic: str, url: str) -> None:
        """It is not there any more. Whoever reads it declares it again."""
        with self._lock:
            self._own.get(topic, set()).discard(url)
            at, urls = self._listed.get(topic, (0.0, []))
            if url in urls:
                self._listed[topic] = (at, [other for other in urls if other != url])


def beginning(prefix: str, topic: str) -> str:
    """What the names of all queues of a topic begin with, and no others do: the prefix that people wrote is part of the digest,
    because two of them may look the same in the characters that SQS takes."""
    return f"{_plain(prefix)}{_digest(prefix, topic)}-"


def queue_name(prefix: str, topic: str, name: str) -> str:
    """The queue of a receiver name and topic: what tells it apart, then as much of both as has room, for people."""
    full = f"{beginning(prefix, topic)}{_digest(prefix, topic, name)}-{_plain(name)}-{_plain(topic)}"
    return full[: TRAITS["sqs"].longest_name]


def _plain(text: str) -> str:
    return re.sub(f"[^{TRAITS['sqs'].name_characters}]", "-", text)


def _digest(*texts: str) -> str:
    """80 bits, in 16 characters. Each text's length counts, so that none can end where another begins."""
    whole = "".join(f"{len(text)}:{text}" for text in texts)
    return base64.b32encode(hashlib.sha256(whole.encode()).digest()[:10]).decode().lower()
