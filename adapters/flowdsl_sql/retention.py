"""How long the event log keeps events: those that are too old are removed, a batch at a time."""

from __future__ import annotations

import logging
import threading
from itertools import takewhile

from flowdsl.clock import Clock
from flowdsl.errors import StoreError
from flowdsl_sql.database import Database, Session

log = logging.getLogger("flowdsl.sql.events")
EVERY = 60.0
"""Seconds between two looks for events that are too old."""
BATCH = 5000
"""How many are removed in one transaction, so that none is long; what is left is removed with the next publish."""


class Retention:
    """In: for how many microseconds events stay, read or not. Safe for threads."""

    def __init__(self, database: Database, keep: int, clock: Clock) -> None:
        self._database = database
        self._keep = keep
        self._clock = clock
        self._guard = threading.Lock()
        self._next = clock.monotonic()

    def step(self) -> None:
        """When it is time, remove a batch. A failure is logged and no more: what was published stays published."""
        now = self._clock.monotonic()
        with self._guard:
            if now < self._next:
                return
            self._next = now + EVERY
        try:
            topic = self._database.read(self._oldest)
            if topic is not None:
                self._database.write(lambda session: self._remove(session, topic))
                with self._guard:
                    self._next = now
        except StoreError as error:
            log.warning("old events were not removed: %s", error)

    def _oldest(self, session: Session) -> str | None:
        """A topic whose first event is too old, also one that nobody publishes to any more."""
        row = session.one(
            "SELECT t.topic FROM flowdsl_topic t WHERE"
            " (SELECT e.created FROM flowdsl_event e WHERE e.topic = t.topic ORDER BY e.place LIMIT 1) < ? LIMIT 1",
            (session.now() - self._keep,),
        )
        return None if row is None else str(row[0])

    def _remove(self, session: Session, topic: str) -> None:
        limit = session.now() - self._keep
        first = session.all("SELECT place, created FROM flowdsl_event WHERE topic = ? ORDER BY place LIMIT ?", (topic, BATCH))
        old = list(takewhile(lambda row: row[1] < limit, first))
        if old:
            session.later("DELETE FROM flowdsl_event WHERE topic = ? AND place <= ?", (topic, old[-1][0]))
