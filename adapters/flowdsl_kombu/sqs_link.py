"""SQS: the client that kombu's transport makes, and the queues of topics."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any

from kombu.connection import Connection

from flowdsl.clock import Clock
from flowdsl.errors import ConfigurationError, StreamerError

CACHED = 5.0
"""Seconds for which a sender believes that it knows a topic's queues: so long may a receiver name that another process has just
made miss what this one sends."""
KEEP = 4 * 24 * 3600
"""Seconds that a queue keeps its messages."""
BATCH = 10
"""Messages of one request; SQS takes no more."""


class SqsLink:
    """In: kombu's URL without our options; those options; the prefix of queue names."""

    def __init__(self, url: str, options: Mapping[str, str], prefix: str, clock: Clock) -> None:
        self.visibility = _number(options, "visibility", 60)
        """Seconds after which a message comes again that its reader neither acknowledged nor gave back."""
        secure = options.get("tls", "yes" if "@" not in url or ":" not in url.rpartition("@")[2] else "no")
        transport: dict[str, Any] = {"is_secure": secure not in ("no", "0", "false"), "queue_name_prefix": prefix_of(prefix)}
        if "region" in options:
            transport["region"] = options["region"]
        transport["client-config"] = {"connect_timeout": 5, "read_timeout": 30, "retries": {"total_max_attempts": 2}}
        self._connection = Connection(url, transport_options=transport)
        self.shown = self._connection.as_uri()
        self._prefix = prefix_of(prefix)
        self._clock = clock
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._client: Any = None
        self._urls: dict[str, str] = {}
        self._known: dict[str, tuple[float, list[str]]] = {}

    def client(self) -> Any:
        """boto3's client, which is safe for threads. Raises StreamerError."""
        with self._lock:
            if self._client is None or self._pid != os.getpid():
                with self.translated("connecting"):
                    self._client = self._connection.clone().channel().sqs()
                self._pid = os.getpid()
            return self._client

    def declare(self, name: str, topic: str) -> str:
        """The queue of a receiver name and topic, made where it is not there yet; its URL."""
        queue = f"{self._prefix}{_digest(topic)}-{_digest(name)}"
        url = self._urls.get(queue)
        if url is None:
            attributes = {"VisibilityTimeout": str(self.visibility), "MessageRetentionPeriod": str(KEEP)}
            with self.translated("making a queue"):
                found = self.client().get_queue_url(QueueName=queue) if self._exists(queue) else None
                url = str((found or self.client().create_queue(QueueName=queue, Attributes=attributes))["QueueUrl"])
            self._urls[queue] = url
        self._known.pop(topic, None)
        return url

    def _exists(self, queue: str) -> bool:
        return any(url.endswith(f"/{queue}") for url in self._listed(queue))

    def queues(self, topic: str) -> list[str]:
        """The URLs of every receiver name's queue of a topic."""
        at, urls = self._known.get(topic, (0.0, []))
        now = self._clock.monotonic()
        if topic not in self._known or now - at > CACHED:
            with self.translated("looking for queues"):
                urls = self._listed(f"{self._prefix}{_digest(topic)}-")
            self._known[topic] = (now, urls)
        return urls

    def _listed(self, beginning: str) -> list[str]:
        return [str(url) for url in self.client().list_queues(QueueNamePrefix=beginning).get("QueueUrls", [])]

    @contextmanager
    def translated(self, doing: str) -> Generator[None]:
        """Errors of boto3 and of the sockets below become StreamerError."""
        from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

        try:
            yield
        except StreamerError:
            raise
        except (BotoCoreError, ClientError, OSError) as error:
            text = " ".join(str(error).split()).rstrip(".")
            raise StreamerError(
                f"{doing} at {self.shown} failed: {type(error).__name__}: {text}.",
                remedy="Check endpoint, region and credentials; it is tried again by itself.",
            ) from error

    def close(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()
        self._connection.release()


def prefix_of(prefix: str) -> str:
    """A prefix that SQS takes in names."""
    kept = re.sub("[^A-Za-z0-9_-]", "-", prefix)
    if len(kept) > 30:
        raise ConfigurationError(f"the prefix {prefix!r} is too long for SQS.", remedy="Use at most 30 characters.")
    return kept


def _digest(text: str) -> str:
    """Names of 80 plain characters hold no topic: two of these, and the prefix."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _number(options: Mapping[str, str], name: str, default: int) -> int:
    text = options.get(name, str(default))
    if not text.isdigit() or not 0 < int(text) <= 43200:
        raise ConfigurationError(f"{name}={text!r} is no number of seconds that SQS takes.", remedy="1 to 43200.")
    return int(text)


def batches(items: list[Any]) -> Iterable[list[Any]]:
    return (items[begin : begin + BATCH] for begin in range(0, len(items), BATCH))
