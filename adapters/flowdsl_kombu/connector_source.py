"""Somebody else's queue as a connector source: RabbitMQ, SQS, and what else kombu speaks to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from flowdsl.clock import Clock, SystemClock
from flowdsl.errors import ConfigurationError, MissingExtraError
from flowdsl.model.reading import Pick, Reading, message_id, message_type
from flowdsl.ports.connector_source import ConnectorReader, ConnectorSource
from flowdsl_kombu.address import parse
from flowdsl_kombu.connector_reader import KombuConnectorReader, Place
from flowdsl_kombu.sqs_connector_reader import SqsConnectorReader
from flowdsl_kombu.sqs_link import SqsLink

PREFETCH = 100


class KombuSource(ConnectorSource):
    """Messages of a queue that is there, or of an exchange that is there, for which each connector gets a durable queue of its
    own. A message is acknowledged when its work is done; one whose reader is gone comes again. Readers share the messages.

    In: a URL as for the streamer (amqp://, sqs://, kombu+redis://); the `queue`, and, or instead, the `exchange` to bind it to
    with `routing_keys` (RabbitMQ only; without a queue it is named after the connector, and begins when it is declared).
    `foreign_id`, `event_id` and `type` say where a message has them (see flowdsl.model.reading); left out, the id is the
    message-id that its sender, or SQS, gave it: a message without one is put aside unless `event_id` says what else to take.
    `prefetch`: unacknowledged messages of a reader, at most. `queue_arguments` of a queue that has to be made: by default those
    of a quorum queue. Raises ConfigurationError, MissingExtraError.
    """

    competing = True

    def __init__(
        self,
        url: str,
        queue: str | None = None,
        *,
        foreign_id: Pick,
        event_id: Pick = message_id,
        type: Pick = message_type,
        exchange: str | None = None,
        routing_keys: Sequence[str] = (),
        prefetch: int = PREFETCH,
        queue_arguments: Mapping[str, Any] | None = None,
        clock: Clock | None = None,
    ) -> None:
        address = parse(url)
        self._traits = address.traits
        self._reading = Reading(event_id=event_id, foreign_id=foreign_id, type=type)
        self._clock = clock or SystemClock()
        self._queue = queue
        self._exchange = exchange
        self._keys = (routing_keys,) if isinstance(routing_keys, str) else tuple(routing_keys)
        self._prefetch = prefetch
        self._arguments = self._traits.queue_arguments if queue_arguments is None else queue_arguments
        self.keeps_places = queue is None
        if queue is None and exchange is None:
            raise ConfigurationError("a KombuSource reads a queue or an exchange.", remedy="Give queue=... or exchange=...")
        if exchange is not None and not self._traits.native_routing:
            raise ConfigurationError(f"{address.transport} has no exchanges to bind to.", remedy="Name the queue alone.")
        if self._keys and exchange is None:
            raise ConfigurationError("routing_keys= needs the exchange.", remedy="Give exchange=... or leave them out.")
        if isinstance(prefetch, bool) or prefetch < 1:
            raise ConfigurationError(f"prefetch={prefetch!r} would receive nothing.", remedy="Give 1 or more.")
        self._sqs: SqsLink | None = None
        if self._traits.requests:
            try:
                self._sqs = SqsLink(address)
            except ImportError as error:
                raise MissingExtraError(f"SQS needs {error.name or 'boto3'}.", remedy="pip install 'flowdsl[sqs]'") from error
        self._url = f"{address.url}?{urlencode(address.options)}" if address.options else address.url
        self._shown = f"{address.transport}://{address.host}"

    def __repr__(self) -> str:
        named = {"queue": self._queue, "exchange": self._exchange}
        return f"KombuSource({self._shown!r}, {', '.join(f'{name}={value!r}' for name, value in named.items() if value)})"

    def open(self, name: str) -> ConnectorReader:
        queue = self._queue or name
        if self._sqs is not None:
            return SqsConnectorReader(self._sqs, queue, self._reading, self._prefetch, self._clock)
        place = Place(queue, self._exchange, self._keys, self._arguments)
        return KombuConnectorReader(self._url, self._traits, place, self._reading, self._prefetch, self._clock)
