"""The event streamer in an SQL database: a log, and a place in it for each receiver name. Fan-out without a broker."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import URL

from flowdsl.clock import Clock, SystemClock
from flowdsl.errors import ConfigurationError, StoreError, StreamerError
from flowdsl.model.event import Event
from flowdsl.model.wire import encode
from flowdsl.ports.event_streamer import EventReceiver, EventStreamer, StartFrom
from flowdsl_sql import schema
from flowdsl_sql.connect import parse, shown
from flowdsl_sql.database import MICROSECOND, Database, Session
from flowdsl_sql.errors import translated
from flowdsl_sql.event_receiver import NEWS, SqlEventReceiver
from flowdsl_sql.listeners import Listeners
from flowdsl_sql.notes import notify
from flowdsl_sql.retention import Retention
from flowdsl_sql.watchers import watcher_for

CLAIM_AFTER = timedelta(seconds=60)
KEEP = timedelta(days=7)


class SqlEventStreamer(EventStreamer):
    """A log: events stay for `keep`, read or not, and a new name may begin at the oldest of them; at-least-once. A name that
    comes too late for some is told how many by a warning.

    Events of a topic get consecutive places while the topic's row is held, so they become visible in order and no reader can
    step over one that is still being committed. Readers of one name share: what one took and neither acknowledged nor gave back
    within `claim_after` goes to another.
    """

    retains_history = True

    def __init__(
        self, database: Database, *, claim_after: timedelta = CLAIM_AFTER, keep: timedelta = KEEP, clock: Clock | None = None
    ) -> None:
        self._database = database
        self._claim_after = claim_after // MICROSECOND
        self._clock = clock or SystemClock()
        self._retention = Retention(database, keep // MICROSECOND, self._clock)
        self._listeners = Listeners(lambda: watcher_for(database, self._listeners))
        self._receivers: weakref.WeakSet[SqlEventReceiver] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._closed = False

    def __repr__(self) -> str:
        return f"SqlEventStreamer({self._database.where!r})"

    def publish(self, events: Sequence[Event]) -> Sequence[bool]:
        self._check()
        if not events:
            return []
        by_topic: dict[str, list[bytes]] = {}
        for event in events:
            by_topic.setdefault(event.topic, []).append(encode(event))
        wakes = {(NEWS, topic) for topic in by_topic}

        def work(session: Session) -> None:
            now = session.now()
            heads = self._heads(session, sorted(by_topic))
            rows: list[tuple[str, int, bytes, int]] = []
            for topic, bodies in by_topic.items():
                head = heads[topic]
                rows.extend((topic, head + number, body, now) for number, body in enumerate(bodies, 1))
                session.later("UPDATE flowdsl_topic SET head = ? WHERE topic = ?", (head + len(bodies), topic))
            session.many("INSERT INTO flowdsl_event (topic, place, event, created) VALUES (?, ?, ?, ?)", rows)
            notify(session, self._database.name, wakes)

        try:
            self._database.write(work)
        except StoreError as error:
            raise StreamerError(f"publishing failed: {error}") from error
        self._listeners.wake(wakes)
        self._retention.step()
        return [True] * len(events)

    def receiver(self, name: str, topics: Sequence[str], start: StartFrom = StartFrom.OLDEST) -> EventReceiver:
        self._check()
        names = sorted(set(topics))

        def work(session: Session) -> None:
            heads = self._heads(session, names)
            known = session.among("SELECT topic FROM flowdsl_reader WHERE name = ? AND topic IN", names, (name,))
            for topic in set(names) - {row[0] for row in known}:
                place = heads[topic] + 1
                if start is StartFrom.OLDEST:
                    oldest = session.one("SELECT place FROM flowdsl_event WHERE topic = ? ORDER BY place LIMIT 1", (topic,))
                    place = place if oldest is None else oldest[0]
                session.later("INSERT INTO flowdsl_reader (name, topic, next_place) VALUES (?, ?, ?)", (name, topic, place))

        try:
            self._database.write(work)
            made = SqlEventReceiver(self._database, self._listeners, name, names, self._claim_after, self._clock)
        except StoreError as error:
            raise StreamerError(f"making the receiver {name!r} failed: {error}") from error
        with self._lock:
            self._receivers.add(made)
        return made

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with self._lock:
            receivers = list(self._receivers)
        for receiver in receivers:
            receiver.close()
        self._listeners.close()
        self._database.close()

    def _check(self) -> None:
        if self._closed:
            raise StreamerError("the streamer is closed.")

    def _heads(self, session: Session, topics: Sequence[str]) -> dict[str, int]:
        """The last places of these topics, whose rows are held until the transaction ends; new topics are made."""
        rows = session.among(
            "SELECT topic, head FROM flowdsl_topic WHERE topic IN", topics, behind=f" ORDER BY topic{session.dialect.for_update}"
        )
        heads = {row[0]: int(row[1]) for row in rows}
        for topic in topics:
            if topic not in heads:  # two at once: one meets the unique key, and is tried again
                session.run("INSERT INTO flowdsl_topic (topic, head) VALUES (?, 0)", (topic,))
                heads[topic] = 0
        return heads


def open_streamer(url: str, *, clock: Clock | None = None, migrate: bool | None = None) -> SqlEventStreamer:
    """A streamer at a database URL, with connections of its own. Options in the query that are ours, in seconds: `claim_after`
    (60), `keep` (a week). In: a clock to use instead of the database's (tests); `migrate` as for `open_store`. Raises
    ConfigurationError, MissingExtraError, StoreUnavailableError, SchemaError."""
    parsed = parse(url)
    claim_after, keep = _seconds(parsed, "claim_after", CLAIM_AFTER), _seconds(parsed, "keep", KEEP)
    database = Database(parsed.difference_update_query(["claim_after", "keep"]), clock)
    try:
        with translated(database.where):
            database.prepare()
            schema.make_ready(database, migrate)
    except BaseException:
        database.close()
        raise
    return SqlEventStreamer(database, claim_after=claim_after, keep=keep)


def _seconds(url: URL, name: str, default: timedelta) -> timedelta:
    text = url.query.get(name)
    if text is None:
        return default
    try:
        seconds = float(str(text))
    except ValueError:
        seconds = -1.0
    if seconds <= 0:
        raise ConfigurationError(f"{name}={text!r} in {shown(url)} is no number of seconds.", remedy=f"Write e.g. {name}=60.")
    return timedelta(seconds=seconds)
