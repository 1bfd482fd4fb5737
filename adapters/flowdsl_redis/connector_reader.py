"""Reading somebody else's stream: one consumer of a group."""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from redis.exceptions import ResponseError

from flowdsl.clock import Clock
from flowdsl.errors import StreamerError
from flowdsl.model.event import ConnectorEvent
from flowdsl.model.reading import Message, Reading, text
from flowdsl.ports.connector_source import ConnectorReader
from flowdsl.ports.event_streamer import StartFrom
from flowdsl_redis.errors import translated
from flowdsl_redis.receiver import MINE, NEWS, RETURNED, RETURNED_IDLE, entries_of

log = logging.getLogger("flowdsl.redis")
LOOK_EVERY = 0.5
"""Seconds between two looks for what other readers left."""
LATEST = 253_402_300_799_999
"""The last millisecond that a datetime can tell."""
Entry = tuple[bytes, Mapping[bytes, bytes] | None]
"""Id and fields; None: the entry was deleted."""


class RedisConnectorReader(ConnectorReader):
    """Reads with XREADGROUP and takes over what dead readers left (XAUTOCLAIM). What it has in hand is claimed again now and
    then, so that it does not look dead itself. A group that is gone is made anew, from the oldest entry."""

    def __init__(
        self,
        client: Any,
        shown: str,
        stream: str,
        group: str,
        start: StartFrom,
        reading: Reading,
        body_field: str | None,
        claim_after: timedelta,
        clock: Clock,
    ) -> None:
        self._client = client
        self._shown = shown
        self._stream = stream
        self._group = group
        self._consumer = f"flowdsl-{uuid.uuid4().hex}".encode()
        self._reading = reading
        self._body_field = None if body_field is None else body_field.encode()
        self._idle = claim_after // timedelta(milliseconds=1)
        self._every = claim_after.total_seconds() / 4
        """Seconds between two signs of life."""
        self._clock = clock
        self._out: dict[str, list[bytes]] = {}
        """By event id: the entries that were given out and not acknowledged."""
        self._done: list[bytes] = []
        """Entries that Redis has still to be told of."""
        self._look_at = self._live_at = 0.0
        self._doubtful = False
        """An answer was lost: entries may be ours that were never seen."""
        self._closed = False
        self._make_group(b"0" if start is StartFrom.OLDEST else b"$")

    def receive(self, limit: int, timeout: timedelta) -> Sequence[ConnectorEvent]:
        if self._closed:
            raise StreamerError("the reader is closed.")
        try:
            with translated(self._shown, "receiving", StreamerError):
                self._tell()
                self._live()
                return self._look(limit, timeout) if limit > 0 else []
        except StreamerError as error:
            self._doubtful = True
            if isinstance(error.__cause__, ResponseError) and str(error.__cause__).startswith("NOGROUP"):
                log.warning("the group %s of %s is gone; it is made anew from the oldest entry", self._group, self._stream)
                self._make_group(b"0")
                return []
            raise

    def acknowledge(self, events: Sequence[ConnectorEvent]) -> None:
        for event in events:
            self._done += self._out.pop(event.event_id, ())
        if not self._closed:
            with translated(self._shown, "acknowledging", StreamerError):
                self._tell()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        # what cannot be given back is taken over when it has been idle for long enough
        with contextlib.suppress(StreamerError), translated(self._shown, "giving back", StreamerError):
            self._tell()
            left = self._in_hand()
            pipeline = self._client.pipeline(transaction=False)
            if left:
                pipeline.xclaim(self._stream, self._group, RETURNED, 0, left, idle=RETURNED_IDLE, justid=True)
            if not self._doubtful:  # else entries may be ours that are taken over later
                pipeline.xgroup_delconsumer(self._stream, self._group, self._consumer)
            pipeline.execute(raise_on_error=False)
        self._out.clear()

    def _look(self, limit: int, timeout: timedelta) -> list[ConnectorEvent]:
        now = self._clock.monotonic()
        if self._doubtful:
            own = self._read(MINE, limit + len(self._in_hand()), None)
            known = set(self._in_hand())
            found = self._events([entry for entry in own if entry[0] not in known], redelivered=True)
            self._doubtful = bool(found)
            if found:
                return found
        if now >= self._look_at:
            self._look_at = now + LOOK_EVERY
            claimed = self._client.xautoclaim(self._stream, self._group, self._consumer, self._idle, "0-0", count=limit)
            known = set(self._in_hand())
            if found := self._events([entry for entry in claimed[1] if entry[0] not in known], redelivered=True):
                self._look_at = now  # there may be more
                return found
        block = int(timeout.total_seconds() * 1000)
        return self._events(self._read(NEWS, limit, block if block > 0 else None), redelivered=False)

    def _read(self, place: str, count: int, block: int | None) -> list[Entry]:
        answer = self._client.xreadgroup(self._group, self._consumer, {self._stream: place}, count=count, block=block)
        return [(entry, fields) for _, entry, fields in entries_of(answer)]

    def _events(self, entries: Iterable[Entry], *, redelivered: bool) -> list[ConnectorEvent]:
        found: list[ConnectorEvent] = []
        for entry, fields in entries:
            if not fields:  # the stream's owner deleted it
                self._done.append(entry)
                continue
            event = self._reading.event(self._message(entry, fields), self._clock.now(), redelivered=redelivered)
            self._out.setdefault(event.event_id, []).append(entry)
            found.append(event)
        return found

    def _message(self, entry: bytes, fields: Mapping[bytes, bytes]) -> Message:
        headers = {text(name): text(value) for name, value in fields.items() if name != self._body_field}
        body = msgspec.json.encode(headers) if self._body_field is None else fields.get(self._body_field, b"")
        millis = int(entry.partition(b"-")[0])
        sent = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=millis) if millis <= LATEST else None
        return Message(body=body, headers=headers, message_id=entry.decode(), key=self._stream, sent_at=sent)

    def _in_hand(self) -> list[bytes]:
        return [entry for entries in self._out.values() for entry in entries]

    def _tell(self) -> None:
        """Acknowledge what is done. What could not be told is told the next time."""
        if self._done:
            self._client.xack(self._stream, self._group, *self._done)
            self._done.clear()

    def _live(self) -> None:
        """Show that what is in hand is being seen to."""
        now = self._clock.monotonic()
        if now >= self._live_at:
            self._live_at = now + self._every
            if left := self._in_hand():
                self._client.xclaim(self._stream, self._group, self._consumer, 0, left, justid=True)

    def _make_group(self, start: bytes) -> None:
        try:
            with translated(self._shown, "making the group of a reader", StreamerError):
                self._client.xgroup_create(self._stream, self._group, id=start)
        except StreamerError as error:
            why = str(error.__cause__)
            if why.startswith("BUSYGROUP"):
                return
            if "requires the key to exist" in why:
                raise StreamerError(
                    f"there is no stream {self._stream} at {self._shown}.",
                    remedy="A source reads what is there: check the name, or let its owner write to it.",
                ) from error
            raise
