"""The receiver: one consumer of a name's group in the stream of each topic."""

from __future__ import annotations

import contextlib
import logging
import threading
import uuid
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from redis.exceptions import ResponseError

from flowdsl.clock import Clock
from flowdsl.errors import StreamerError, UnreadableEventError
from flowdsl.model.event import Event
from flowdsl.model.pending import TopicQuota
from flowdsl.model.quotas import limits_of
from flowdsl.model.wire import decode
from flowdsl.ports.event_streamer import EventReceiver, StartFrom
from flowdsl_redis.errors import translated
from flowdsl_redis.forgetting import forget
from flowdsl_redis.keys import FIELD, stream
from flowdsl_redis.trimming import trim

log = logging.getLogger("flowdsl.redis")
SLICE = 1.0
"""Longest wait of one blocking read, in seconds: after it the receiver may have been closed by another thread."""
CHECK_EVERY = 5.0
"""Seconds between two looks for events of readers that are gone, while there is enough else to read."""
TRIM_EVERY = 1.0
RETURNED = b"returned"
"""The consumer that holds what readers gave back when they closed."""
RETURNED_IDLE = 10**11
"""Milliseconds: what was given back has been idle for longer than anybody waits."""
NEWS, MINE = ">", "0"


class RedisReceiver(EventReceiver):
    """Reads with XREADGROUP. What a reader that is gone had not acknowledged is taken over (XAUTOCLAIM), what the answer of a
    broken connection held is read again, and groups that are gone, after a FLUSHALL say, are made anew from the oldest event."""

    def __init__(
        self,
        client: Any,
        shown: str,
        prefix: str,
        name: str,
        topics: Sequence[str],
        start: StartFrom,
        idle: timedelta,
        clock: Clock,
    ) -> None:
        self._client = client
        self._shown = shown
        self._group = name.encode()
        self._consumer = uuid.uuid4().hex.encode()
        self._streams = {topic: stream(prefix, topic).encode() for topic in topics}
        self._topics = {key: topic for topic, key in self._streams.items()}
        self._idle = idle // timedelta(milliseconds=1)
        self._clock = clock
        self._lock = threading.Lock()
        self._out: dict[str, list[tuple[bytes, bytes]]] = {}
        """By event id: stream and entry of everything that was given out and not acknowledged."""
        self._done: dict[bytes, list[bytes]] = {}
        """By stream: entries that Redis has still to be told of."""
        self._check_at = self._trim_at = 0.0
        self._doubtful = False
        """An answer was lost: entries may be ours that were never seen."""
        self._reading = threading.Lock()
        """Held while a command is under way: `close` by another thread waits for it, so that none is made afterwards."""
        self._closed = False
        self._make_groups(b"0" if start is StartFrom.OLDEST else b"$")
        with translated(shown, "making a receiver", StreamerError):
            forget(client, self._group, self._topics)

    def receive(self, quotas: Sequence[TopicQuota], timeout: timedelta) -> Sequence[Event]:
        self._check()
        limits = limits_of(quotas, self._streams)
        if not limits:
            return []
        end = self._clock.monotonic() + timeout.total_seconds()
        wait = 0.0
        while True:
            with self._reading:
                self._check()
                found = self._look({self._streams[topic]: limit for topic, limit in limits.items()}, wait)
            wait = min(SLICE, end - self._clock.monotonic())
            if found or wait <= 0:
                return found

    def acknowledge(self, events: Sequence[Event]) -> None:
        with self._lock:
            for event in events:
                for key, entry in self._out.pop(event.event_id, ()):
                    self._done.setdefault(key, []).append(entry)
        with self._reading:
            if not self._closed:
                self._tell()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with (
            self._reading,
            contextlib.suppress(StreamerError),
        ):  # else they are taken over when they have been idle for long enough
            self._tell()
            self._give_back()

    # -- reading --------------------------------------------------------------------------------------------------------------

    def _look(self, limits: dict[bytes, int], wait: float) -> list[Event]:
        """One round trip: what others left, if it is time for that, and news; `wait` seconds for news when there is nothing."""
        self._tell()
        taking_over = self._doubtful or wait > 0 or self._clock.monotonic() >= self._check_at
        try:
            with translated(self._shown, "receiving", StreamerError):
                entries = self._own(limits) if self._doubtful else []
                if not entries:
                    entries = self._at_once(limits, taking_over)
                if not entries and wait > 0:
                    entries = self._blocking(limits, wait)
        except StreamerError as error:
            self._doubtful = True
            if isinstance(error.__cause__, ResponseError) and str(error.__cause__).startswith("NOGROUP"):
                log.warning("the streams of %s were emptied; their groups are made anew", self._shown)
                self._make_groups(b"0")
                return []
            raise
        return self._events(entries)

    def _own(self, limits: dict[bytes, int]) -> list[tuple[bytes, bytes, dict[bytes, bytes] | None]]:
        """What Redis thinks we have and we have not seen: its answer was lost."""
        with self._lock:
            known = {place for places in self._out.values() for place in places}
        found = self._read(limits, min(limits.values()) + len(known), dict.fromkeys(limits, MINE))
        fresh = [entry for entry in found if entry[:2] not in known]
        self._doubtful = bool(fresh)
        return fresh

    def _at_once(self, limits: dict[bytes, int], taking_over: bool) -> list[tuple[bytes, bytes, dict[bytes, bytes] | None]]:
        pipeline = self._client.pipeline(transaction=False)
        if taking_over:
            for key, limit in limits.items():
                pipeline.xautoclaim(key, self._group, self._consumer, self._idle, "0-0", count=limit)
            self._check_at = self._clock.monotonic() + CHECK_EVERY
            left = self._entries_claimed(list(limits), pipeline.execute())
            if left:
                return left
            pipeline = self._client.pipeline(transaction=False)
        for limit in set(limits.values()):
            keys = {key: NEWS for key, asked in limits.items() if asked == limit}
            pipeline.xreadgroup(self._group, self._consumer, keys, count=limit)
        return [entry for answer in pipeline.execute() for entry in entries_of(answer)]

    def _blocking(self, limits: dict[bytes, int], wait: float) -> list[tuple[bytes, bytes, dict[bytes, bytes] | None]]:
        return self._read(limits, min(limits.values()), dict.fromkeys(limits, NEWS), block=max(1, int(wait * 1000)))

    def _read(
        self, limits: dict[bytes, int], count: int, places: dict[bytes, str], block: int | None = None
    ) -> list[tuple[bytes, bytes, dict[bytes, bytes] | None]]:
        return entries_of(self._client.xreadgroup(self._group, self._consumer, places, count=count, block=block))

    def _entries_claimed(
        self, keys: Sequence[bytes], answers: Iterable[Any]
    ) -> list[tuple[bytes, bytes, dict[bytes, bytes] | None]]:
        with self._lock:
            known = {place for places in self._out.values() for place in places}
        return [
            (key, entry, fields)
            for key, answer in zip(keys, answers, strict=True)
            for entry, fields in answer[1]
            if (key, entry) not in known
        ]

    def _events(self, entries: Iterable[tuple[bytes, bytes, dict[bytes, bytes] | None]]) -> list[Event]:
        found: list[Event] = []
        with self._lock:
            for key, entry, fields in entries:
                try:
                    event = decode((fields or {}).get(FIELD, b""))
                    if event.topic != self._topics[key]:
                        raise UnreadableEventError(f"an event of topic {event.topic!r} stands in the stream of another.")
                except UnreadableEventError as error:
                    if fields:  # an entry without any was cut by `maxlen`
                        log.error("put aside in %s: %s", key.decode(), error)
                    self._done.setdefault(key, []).append(entry)
                    continue
                self._out.setdefault(event.event_id, []).append((key, entry))
                found.append(event)
        return found

    # -- telling --------------------------------------------------------------------------------------------------------------

    def _tell(self) -> None:
        """Acknowledge what is done, all in one round trip. What could not be told is told the next time."""
        with self._lock:
            done, self._done = self._done, {}
        if not done:
            return
        now = self._clock.monotonic()
        trimming = now >= self._trim_at
        pipeline = self._client.pipeline(transaction=False)
        for key, entries in done.items():
            pipeline.xack(key, self._group, *entries)
        try:
            with translated(self._shown, "acknowledging", StreamerError):
                pipeline.execute()
                if trimming:
                    self._trim_at = now + TRIM_EVERY
                    trim(self._client, list(done))
        except StreamerError:
            with self._lock:
                for key, entries in done.items():
                    self._done.setdefault(key, []).extend(entries)
            raise

    def _give_back(self) -> None:
        """Hand everything that was not acknowledged to whoever reads next, and leave the groups."""
        pipeline = self._client.pipeline(transaction=False)
        with self._lock:
            left: dict[bytes, list[bytes]] = {}
            for places in self._out.values():
                for key, entry in places:
                    left.setdefault(key, []).append(entry)
            self._out.clear()
        for key, entries in left.items():
            pipeline.xclaim(key, self._group, RETURNED, 0, entries, idle=RETURNED_IDLE, justid=True)
        if not self._doubtful:  # else entries may be ours that are taken over later
            for key in self._streams.values():
                pipeline.xgroup_delconsumer(key, self._group, self._consumer)
        trimmed = list(self._streams.values())
        with translated(self._shown, "giving back", StreamerError):
            pipeline.execute(raise_on_error=False)
            trim(self._client, trimmed)

    def _make_groups(self, start: bytes) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for key in self._streams.values():
            pipeline.xgroup_create(key, self._group, id=start, mkstream=True)
        with translated(self._shown, "making the groups of a receiver", StreamerError):
            for answer in pipeline.execute(raise_on_error=False):
                if isinstance(answer, Exception) and not str(answer).startswith("BUSYGROUP"):
                    raise answer

    def _check(self) -> None:
        if self._closed:
            raise StreamerError("the receiver is closed.")


def entries_of(answer: Any) -> list[tuple[bytes, bytes, dict[bytes, bytes] | None]]:
    """Stream, entry and fields of each entry, of an XREADGROUP in either version of the protocol."""
    if not answer:
        return []
    streams = answer.items() if isinstance(answer, dict) else answer
    return [(key, entry, fields) for key, entries in streams for entry, fields in _unnested(entries)]


def _unnested(entries: Any) -> Any:
    """The driver puts one more list around each stream's entries for RESP3."""
    return entries[0] if len(entries) == 1 and isinstance(entries[0], list) else entries
