"""The receiver of the event log: takes batches of places, and keeps them until they are acknowledged."""

from __future__ import annotations

import contextlib
import logging
import threading
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta

import msgspec
from msgspec import Struct

from flowdsl.clock import Clock
from flowdsl.errors import StoreError, StreamerError, UnreadableEventError
from flowdsl.model.event import Event
from flowdsl.model.pending import TopicQuota
from flowdsl.model.quotas import limits_of
from flowdsl.model.wire import decode
from flowdsl.ports.event_streamer import EventReceiver
from flowdsl_sql.database import Database, Session
from flowdsl_sql.listeners import Listeners

log = logging.getLogger("flowdsl.sql.events")
NEWS = "\x1eevents"
"""What listeners of the log listen to in place of a namespace."""
SHORTEST, LONGEST = 0.02, 0.5
"""Seconds between two looks at a database that cannot tell of news: from the one, doubling, to the other."""
HEARD = 5.0
"""The same where it can tell: in case it did not."""
_places = msgspec.json.Decoder(list[int]).decode


class _News(Struct):
    """What a name reads next of a topic."""

    events: list[tuple[int, bytes]]
    """By place."""
    next_place: int
    lost: int
    """How many were gone before this name has read them."""


class SqlEventReceiver(EventReceiver):
    """A batch that was taken is one row: its places, its reader, and when others may have it."""

    def __init__(
        self, database: Database, listeners: Listeners, name: str, topics: Sequence[str], claim_after: int, clock: Clock
    ) -> None:
        self._database = database
        self._name = name
        self._topics = frozenset(topics)
        self._claim_after = claim_after
        self._clock = clock
        self._reader = uuid.uuid4().hex
        self._out: dict[str, list[tuple[str, int]]] = {}
        """By event id: batch and place of everything that was given out and not acknowledged."""
        self._batches: dict[str, set[int]] = {}
        """By batch: the places that are not acknowledged."""
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._hears = database.dialect.name == "postgresql"
        self._closed = False
        self._end = listeners.add(NEWS, lambda _: self._news.set())

    def receive(self, quotas: Sequence[TopicQuota], timeout: timedelta) -> Sequence[Event]:
        self._check()
        limits = limits_of(quotas, self._topics)
        if not limits:
            return []
        end = self._clock.monotonic() + timeout.total_seconds()
        pause = SHORTEST
        while True:
            self._check()
            self._news.clear()
            try:
                waiting = self._database.read(lambda session: self._waiting(session, limits))
                found = self._take({topic: limits[topic] for topic in waiting}, waiting) if waiting else []
            except StoreError as error:
                raise StreamerError(f"receiving failed: {error}") from error
            left = end - self._clock.monotonic()
            if found or left <= 0:
                return found
            if waiting:
                continue  # another reader was faster, or what was there could not be read
            self._news.wait(min(left, HEARD if self._hears else pause))
            pause = min(2 * pause, LONGEST)

    def acknowledge(self, events: Sequence[Event]) -> None:
        done: dict[str, set[int]] = {}
        with self._lock:
            for event in events:
                for batch, place in self._out.get(event.event_id, ()):
                    done.setdefault(batch, set()).add(place)
            left = {batch: sorted(self._batches[batch] - places) for batch, places in done.items()}
        if not left:
            return
        try:
            self._database.write(lambda session: self._settle(session, left))
        except StoreError as error:  # nothing is forgotten: it can be said again
            raise StreamerError(f"acknowledging failed: {error}") from error
        with self._lock:
            for event in events:
                self._out.pop(event.event_id, None)
            for batch, places in left.items():
                if places:
                    self._batches[batch] = set(places)
                else:
                    del self._batches[batch]

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._end()
        self._news.set()
        with contextlib.suppress(StoreError):  # else they go to others when `claim_after` is over
            self._database.write(
                lambda session: session.later(
                    "UPDATE flowdsl_taken SET expires = 0 WHERE name = ? AND reader = ?", (self._name, self._reader)
                )
            )

    def _check(self) -> None:
        if self._closed:
            raise StreamerError("the receiver is closed.")

    def _waiting(self, session: Session, limits: Mapping[str, int]) -> dict[str, int]:
        """The topics that have something for this name, with their heads; 0: only what others left. Nothing is locked."""
        news = session.among(
            "SELECT t.topic, t.head FROM flowdsl_topic t JOIN flowdsl_reader r ON r.topic = t.topic"
            " WHERE r.name = ? AND t.head >= r.next_place AND r.topic IN",
            list(limits),
            (self._name,),
        )
        left = session.among(
            "SELECT topic FROM flowdsl_taken WHERE name = ? AND expires <= ? AND topic IN",
            list(limits),
            (self._name, session.now()),
        )
        return {**{row[0]: 0 for row in left}, **{row[0]: int(row[1]) for row in news}}

    def _take(self, limits: Mapping[str, int], heads: Mapping[str, int]) -> list[Event]:
        """Take what others left, then news. When the answer to the commit is lost, the same batches are found again."""
        batches = {topic: (uuid.uuid4().hex, uuid.uuid4().hex) for topic in sorted(limits)}
        taken: dict[str, tuple[str, list[tuple[int, bytes]]]] = {}
        lost: dict[str, int] = {}

        def work(session: Session) -> None:
            taken.clear()
            lost.clear()
            ids = [batch for pair in batches.values() for batch in pair]
            rows = session.among("SELECT taken_id, topic, places FROM flowdsl_taken WHERE taken_id IN", ids)
            for batch, topic, places in rows:  # an earlier try had committed
                taken[batch] = (topic, self._events(session, topic, _places(places)))
            if rows:
                return
            now = session.now()
            readers = session.among(
                "SELECT topic, next_place FROM flowdsl_reader WHERE name = ? AND topic IN",
                sorted(limits),
                (self._name,),
                f" ORDER BY topic{session.dialect.for_update}",
            )
            for topic, next_place in readers:
                limit = limits[topic]
                again, fresh = batches[topic]
                places = self._left(session, topic, limit, now)
                if places:
                    self._keep(session, again, topic, places, now)
                    taken[again] = (topic, self._events(session, topic, places))
                limit -= len(places)
                if limit and (found := self._news_of(session, topic, next_place, limit, heads[topic])):
                    if events := found.events:
                        self._keep(session, fresh, topic, [place for place, _ in events], now)
                        taken[fresh] = (topic, events)
                    session.later(
                        "UPDATE flowdsl_reader SET next_place = ? WHERE name = ? AND topic = ?",
                        (found.next_place, self._name, topic),
                    )
                    if found.lost:
                        lost[topic] = found.lost

        self._database.write(work)
        for topic, number in lost.items():
            log.warning("%r lost %d events of %s: they were kept for too short a time", self._name, number, topic)
        return self._given(taken)

    def _news_of(self, session: Session, topic: str, next_place: int, limit: int, head: int) -> _News | None:
        """What comes next in a topic, whose head was seen before this transaction; None: nothing has come."""
        rows = session.all(
            "SELECT place, event FROM flowdsl_event WHERE topic = ? AND place >= ? ORDER BY place LIMIT ?",
            (topic, next_place, limit),
        )
        if rows:
            events = [(int(row[0]), bytes(row[1])) for row in rows]
            return _News(events, events[-1][0] + 1, events[0][0] - next_place)
        if head < next_place:
            return None
        # Everything up to that head is gone, and only that may be stepped over: by now there may be more, for which the statement
        # above was too early.
        return _News([], head + 1, head + 1 - next_place)

    def _left(self, session: Session, topic: str, limit: int, now: int) -> list[int]:
        """Places of batches whose reader is gone, at most `limit`; the batches are made smaller, or removed."""
        places: list[int] = []
        rows = session.all(
            "SELECT taken_id, places FROM flowdsl_taken WHERE name = ? AND topic = ? AND expires <= ? ORDER BY expires LIMIT ?",
            (self._name, topic, now, limit),
        )
        for batch, text in rows:
            mine = _places(text)
            places += mine[: limit - len(places)]
            self._shrink(session, batch, [place for place in mine if place not in places])
            if len(places) >= limit:
                break
        return places

    def _keep(self, session: Session, batch: str, topic: str, places: Sequence[int], now: int) -> None:
        session.later(
            "INSERT INTO flowdsl_taken (taken_id, name, topic, reader, expires, places) VALUES (?, ?, ?, ?, ?, ?)",
            (batch, self._name, topic, self._reader, now + self._claim_after, msgspec.json.encode(places).decode()),
        )

    def _events(self, session: Session, topic: str, places: Sequence[int]) -> list[tuple[int, bytes]]:
        """What is still there of these places."""
        rows = session.among("SELECT place, event FROM flowdsl_event WHERE topic = ? AND place IN", places, (topic,))
        return [(row[0], bytes(row[1])) for row in rows]

    def _settle(self, session: Session, left: Mapping[str, Sequence[int]]) -> None:
        """What is left of batches that were this reader's, and may be no more."""
        for batch in sorted(left):
            if not left[batch]:
                session.later("DELETE FROM flowdsl_taken WHERE taken_id = ? AND reader = ?", (batch, self._reader))
                continue
            row = session.one(
                f"SELECT places FROM flowdsl_taken WHERE taken_id = ? AND reader = ?{session.dialect.for_update}",
                (batch, self._reader),
            )
            if row is not None:  # another reader may have taken some of it over, which must not come back
                self._shrink(session, batch, [place for place in _places(row[0]) if place in left[batch]])

    def _shrink(self, session: Session, batch: str, left: Sequence[int]) -> None:
        if left:
            places = msgspec.json.encode(left).decode()
            session.later("UPDATE flowdsl_taken SET places = ? WHERE taken_id = ?", (places, batch))
        else:
            session.later("DELETE FROM flowdsl_taken WHERE taken_id = ?", (batch,))

    def _given(self, taken: Mapping[str, tuple[str, list[tuple[int, bytes]]]]) -> list[Event]:
        found: list[Event] = []
        unreadable: dict[str, list[int]] = {}
        with self._lock:
            for batch, (topic, rows) in taken.items():
                self._batches[batch] = {place for place, _ in rows}
                for place, body in sorted(rows):
                    try:
                        event = decode(body)
                    except UnreadableEventError as error:
                        log.error("put aside in topic %s: %s", topic, error)
                        self._batches[batch].discard(place)
                        unreadable[batch] = []
                        continue
                    self._out.setdefault(event.event_id, []).append((batch, place))
                    found.append(event)
            for batch in [batch for batch, places in self._batches.items() if not places]:
                del self._batches[batch]
                unreadable.setdefault(batch, [])
            unreadable = {batch: sorted(self._batches.get(batch, ())) for batch in unreadable}
        if unreadable:
            self._database.write(lambda session: self._settle(session, unreadable))
        return found
