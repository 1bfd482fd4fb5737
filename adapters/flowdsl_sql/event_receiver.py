"""The receiver of the event log: takes batches of places, and keeps them until they are acknowledged."""

from __future__ import annotations

import contextlib
import logging
import threading
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta

import msgspec

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
                found = self._take({topic: limits[topic] for topic in waiting}) if waiting else []
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
        changed: set[str] = set()
        with self._lock:
            for event in events:
                for batch, place in self._out.pop(event.event_id, ()):
                    self._batches[batch].discard(place)
                    changed.add(batch)
            left = {batch: sorted(self._batches[batch]) for batch in changed}
            for batch in [batch for batch, places in left.items() if not places]:
                del self._batches[batch]
        if not left:
            return
        try:
            self._database.write(lambda session: self._settle(session, left))
        except StoreError as error:
            raise StreamerError(f"acknowledging failed: {error}") from error

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

    def _waiting(self, session: Session, limits: Mapping[str, int]) -> list[str]:
        """The topics that have something for this name: two looks, and nothing is locked."""
        news = session.among(
            "SELECT t.topic FROM flowdsl_topic t JOIN flowdsl_reader r ON r.topic = t.topic"
            " WHERE r.name = ? AND t.head >= r.next_place AND r.topic IN",
            list(limits),
            (self._name,),
        )
        left = session.among(
            "SELECT topic FROM flowdsl_taken WHERE name = ? AND expires <= ? AND topic IN",
            list(limits),
            (self._name, session.now()),
        )
        found = {row[0] for row in (*news, *left)}
        return [topic for topic in limits if topic in found]

    def _take(self, limits: Mapping[str, int]) -> list[Event]:
        """Take what others left, then news. When the answer to the commit is lost, the same batches are found again."""
        batches = {topic: (uuid.uuid4().hex, uuid.uuid4().hex) for topic in sorted(limits)}
        taken: dict[str, tuple[str, list[tuple[int, bytes]]]] = {}

        def work(session: Session) -> None:
            taken.clear()
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
                if limit:
                    events = session.all(
                        "SELECT place, event FROM flowdsl_event WHERE topic = ? AND place >= ? ORDER BY place LIMIT ?",
                        (topic, next_place, limit),
                    )
                    if events:
                        self._keep(session, fresh, topic, [row[0] for row in events], now)
                        session.later(
                            "UPDATE flowdsl_reader SET next_place = ? WHERE name = ? AND topic = ?",
                            (events[-1][0] + 1, self._name, topic),
                        )
                        taken[fresh] = (topic, [(row[0], bytes(row[1])) for row in events])
                    elif not places:  # what this name had not read was kept for too long and is gone
                        session.later(
                            "UPDATE flowdsl_reader SET next_place ="
                            " (SELECT head + 1 FROM flowdsl_topic WHERE flowdsl_topic.topic = flowdsl_reader.topic)"
                            " WHERE name = ? AND topic = ?",
                            (self._name, topic),
                        )

        self._database.write(work)
        return self._given(taken)

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
            self._settle_one(session, batch, [place for place in mine if place not in places])
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
        for batch in sorted(left):
            self._settle_one(session, batch, left[batch], self._reader)

    def _settle_one(self, session: Session, batch: str, left: Sequence[int], reader: str | None = None) -> None:
        """What is left of a batch. In: its reader, if it must still be that one's."""
        fence, bound = ("", ()) if reader is None else (" AND reader = ?", (reader,))
        if left:
            places = msgspec.json.encode(left).decode()
            session.later(f"UPDATE flowdsl_taken SET places = ? WHERE taken_id = ?{fence}", (places, batch, *bound))
        else:
            session.later(f"DELETE FROM flowdsl_taken WHERE taken_id = ?{fence}", (batch, *bound))

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
