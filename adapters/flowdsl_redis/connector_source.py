"""Somebody else's stream in Redis as a connector source."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flowdsl.clock import Clock, SystemClock
from flowdsl.errors import ConfigurationError
from flowdsl.model.reading import Pick, Reading, header, message_id
from flowdsl.ports.connector_source import ConnectorReader, ConnectorSource
from flowdsl.ports.event_streamer import StartFrom
from flowdsl_redis.connector_reader import RedisConnectorReader
from flowdsl_redis.link import connect, parse

CLAIM_AFTER = timedelta(seconds=60)
TYPE = header("type")


class RedisStreamSource(ConnectorSource):
    """Entries of a stream that is there, read by a consumer group of each connector; readers share them, and the stream is not
    trimmed. An entry's fields are the headers of its event.

    In: redis://user:password@host:port/database, or rediss://; the stream's key. `foreign_id`, `event_id` (default: the entry's
    id) and `type` (default: the field type) say where an entry has them; `body_field`, which field is the body (default: all
    fields, as a JSON object of texts). `start`: where a group begins that is not there yet. `group` in place of one named like
    the connector. `claim_after`: how long after its last word a reader is taken for dead and its entries are another's.
    """

    competing = True

    def __init__(
        self,
        url: str,
        stream: str,
        *,
        foreign_id: Pick,
        event_id: Pick = message_id,
        type: Pick = TYPE,
        body_field: str | None = None,
        start: StartFrom = StartFrom.OLDEST,
        group: str | None = None,
        claim_after: timedelta = CLAIM_AFTER,
        clock: Clock | None = None,
    ) -> None:
        if claim_after < timedelta(seconds=1):
            raise ConfigurationError(
                f"claim_after={claim_after} takes entries from readers that live.", remedy="Give a second or more."
            )
        self._address = parse(url, ())
        self._client: Any = connect(self._address)
        self._stream = stream
        self._reading = Reading(event_id=event_id, foreign_id=foreign_id, type=type)
        self._body_field = body_field
        self._start = start
        self._group = group
        self._claim_after = claim_after
        self._clock = clock or SystemClock()
        self.keeps_places = group is None

    def __repr__(self) -> str:
        return f"RedisStreamSource({self._address.shown!r}, {self._stream!r})"

    def open(self, name: str) -> ConnectorReader:
        return RedisConnectorReader(
            self._client,
            self._address.shown,
            self._stream,
            self._group or name,
            self._start,
            self._reading,
            self._body_field,
            self._claim_after,
            self._clock,
        )
