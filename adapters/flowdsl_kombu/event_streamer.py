"""The event streamer over kombu."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from flowdsl.clock import Clock, SystemClock
from flowdsl.errors import MissingExtraError, StreamerError
from flowdsl.model.event import Event
from flowdsl.ports.event_streamer import EventReceiver, EventStreamer, StartFrom
from flowdsl_kombu.address import PREFIX, parse
from flowdsl_kombu.receiver import KombuReceiver
from flowdsl_kombu.sender import Sender
from flowdsl_kombu.sqs_streamer import SqsEventStreamer
from flowdsl_kombu.traits import Traits


class KombuEventStreamer(EventStreamer):
    """A queue per receiver name and topic; at-least-once; nothing is kept for names that do not exist yet.

    One connection publishes, one more for each receiver. RabbitMQ confirms what it has stored (quorum queues). Over Redis, kombu
    can lose a message when a consumer dies between taking and noting it: events are hints, so that delays a run and loses none,
    but Redis Streams is the better streamer there.
    """

    retains_history = False

    def __init__(
        self,
        url: str,
        traits: Traits,
        *,
        prefix: str = PREFIX,
        queue_arguments: dict[str, Any] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._url = url
        self._traits = traits
        self._prefix = prefix
        self._extra = queue_arguments or {}
        self._options: dict[str, Any] = {}
        self._sender = Sender(url, traits, self._options, prefix, self._clock)
        self._receivers: weakref.WeakSet[KombuReceiver] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._closed = False

    def publish(self, events: Sequence[Event]) -> Sequence[bool]:
        self._check()
        return self._sender.publish(events) if events else []

    def receiver(self, name: str, topics: Sequence[str], start: StartFrom = StartFrom.OLDEST) -> EventReceiver:
        self._check()
        made = KombuReceiver(
            self._url, self._traits, self._options, self._prefix, name, list(dict.fromkeys(topics)), self._extra, self._clock
        )
        with self._lock:
            self._receivers.add(made)
        return made

    def close(self) -> None:
        self._closed = True
        self._sender.close()
        with self._lock:
            receivers = list(self._receivers)
        for receiver in receivers:
            receiver.close()

    def _check(self) -> None:
        if self._closed:
            raise StreamerError("the streamer is closed.")


def open_streamer(url: str, *, clock: Clock | None = None) -> EventStreamer:
    """A streamer for kombu's transport of this scheme: amqp, amqps, pyamqp, sqs, and kombu+redis, kombu+memory (the part after
    the + is kombu's own). Options in the query are ours: `prefix` of all names (default flowdsl.), `expires`, seconds after which
    the broker deletes a queue that nobody reads (RabbitMQ); SQS has `region`, `visibility` (seconds, 60) and `tls` (no: plain
    HTTP, which is the default for a URL with host and port). Nothing is connected before the first use. Raises
    ConfigurationError, MissingExtraError."""
    address = parse(url)
    if address.traits.requests:
        try:
            return SqsEventStreamer(address, clock=clock or SystemClock())
        except ImportError as error:
            raise MissingExtraError(f"SQS needs {error.name or 'boto3'}.", remedy="pip install 'flowdsl[sqs]'") from error
    expires = address.seconds("expires")
    arguments: dict[str, Any] = {} if expires is None else {"x-expires": max(1, int(expires * 1000))}
    options = {name: text for name, text in address.options.items() if name != "expires"}
    return KombuEventStreamer(
        f"{address.url}?{urlencode(options)}" if options else address.url,
        address.traits,
        prefix=address.prefix,
        queue_arguments=arguments,
        clock=clock,
    )
