"""Somebody else's table that only grows, as a connector source."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import sqlalchemy
from sqlalchemy import Engine, Row

from flowdsl.clock import Clock, SystemClock
from flowdsl.errors import ConfigurationError, StreamerError
from flowdsl.model.event import ConnectorEvent
from flowdsl.model.reading import Pick, Reading, header, message_id
from flowdsl.ports.connector_source import ConnectorReader, ConnectorSource
from flowdsl.ports.event_streamer import StartFrom
from flowdsl_sql.connect import parse
from flowdsl_sql.source_places import Places
from flowdsl_sql.source_table import Line, SourceTable, Where, engine_of
from flowdsl_sql.trail import Trail

EVERY = timedelta(seconds=1)
LATE = timedelta(seconds=30)
AT_ONCE = 500
"""Keys of one statement."""
TYPE = header("type")


class SqlLogSource(ConnectorSource):
    """Rows of a table that only grows, in the order of a unique column whose values grow: an identity, a sequence, a time-ordered
    UUID. A row is one event; nothing of the table is changed, so a user who may only read it is enough.

    What is promised: every row whose transaction commits at most `late` after a greater key could be read. Databases hand out
    keys before they commit, so a smaller one may appear after a greater one; the reader looks for such rows for that long, and
    they come out of order. Choose `late` above the longest transaction that writes there; where there is no such bound, use
    SqlQueueSource. Rows that are changed later are not seen again.

    In: the database's URL, the table, its `key`; `foreign_id`, `event_id` (default: the key) and `type` (default: the column
    type) say where a row has them, its columns being headers; `body_column` (default: the whole row as a JSON object);
    `time_column`, when it happened; `where`, which rows; `every`, how often an empty table is looked at; `start`, where a new
    name begins; `places`: the URL of the database that holds flowdsl_source_place, in which readers keep their places (default:
    the same database). One reader at a time.
    """

    keeps_places = True
    competing = False

    def __init__(
        self,
        url: str,
        table: str,
        *,
        key: str,
        foreign_id: Pick,
        event_id: Pick = message_id,
        type: Pick = TYPE,
        body_column: str | None = None,
        time_column: str | None = None,
        where: Where | None = None,
        every: timedelta = EVERY,
        late: timedelta = LATE,
        start: StartFrom = StartFrom.OLDEST,
        places: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        if every <= timedelta(0) or late < timedelta(0):
            raise ConfigurationError(f"every={every} and late={late} cannot be.", remedy="Give durations above zero.")
        self._table = SourceTable(url, table, key, body_column, time_column, where)
        self._reading = Reading(event_id=event_id, foreign_id=foreign_id, type=type)
        self._every, self._late = every, late
        self._start = start
        self._places = None if places is None else engine_of(parse(places))
        self._clock = clock or SystemClock()

    def __repr__(self) -> str:
        return f"SqlLogSource({self._table.shown!r}, {self._table.name!r})"

    def open(self, name: str) -> ConnectorReader:
        return _LogReader(
            self._table,
            self._places or self._table.engine,
            f"{name}/{self._table.name}",
            self._reading,
            self._every,
            self._late,
            self._start,
            self._clock,
        )


class _LogReader(ConnectorReader):
    def __init__(
        self,
        table: SourceTable,
        places: Engine,
        name: str,
        reading: Reading,
        every: timedelta,
        late: timedelta,
        start: StartFrom,
        clock: Clock,
    ) -> None:
        self._table = table
        self._reading = reading
        self._every = every.total_seconds()
        self._late = late.total_seconds()
        self._clock = clock
        self._line = Line(table.engine, "AUTOCOMMIT")
        self._places_line = self._line if places is table.engine else Line(places, "AUTOCOMMIT")
        self._places = Places(self._places_line, name, table.key_type)
        self._out: dict[str, list[Any]] = {}
        """Keys by event id."""
        self._stop = threading.Event()
        try:
            with table.translated("finding the place in"):
                self._places.make()
                was = self._places.read()
                if was is None and start is StartFrom.NOW:
                    was = (self._newest(), [])
                    self._places.write(*was)
        except BaseException:
            self._drop()
            raise
        place, done = was or (None, [])
        self._trail = Trail(place, done, clock.monotonic())
        self._look_at = self._scan_at = clock.monotonic()
        self._noted = (self._trail.place, self._trail.done)

    def receive(self, limit: int, timeout: timedelta) -> Sequence[ConnectorEvent]:
        self._check()
        end = self._clock.monotonic() + timeout.total_seconds()
        while limit > 0:
            now = self._clock.monotonic()
            if now >= self._look_at:
                with self._asking("reading"):
                    found = self._look(limit, now)
                if found:
                    return found
                self._look_at = now + self._every
            if now >= end:
                break
            self._stop.wait(max(min(end, self._look_at) - now, 0.0))
            self._check()
        return []

    def acknowledge(self, events: Sequence[ConnectorEvent]) -> None:
        self._trail.finish(key for event in events for key in self._out.pop(event.event_id, ()))
        self._trail.advance()
        self._note()

    def close(self) -> None:
        self._stop.set()
        self._line.close()
        self._places_line.close()

    def _check(self) -> None:
        if self._stop.is_set():
            raise StreamerError("the reader is closed.")

    def _look(self, limit: int, now: float) -> list[ConnectorEvent]:
        """New rows; and, now and then, those that came late."""
        found = self._late_ones(limit, now) if now >= self._scan_at else []
        if len(found) < limit:
            found += self._events(self._rows_after(self._trail.last, limit - len(found)), now)
        return found

    def _late_ones(self, limit: int, now: float) -> list[ConnectorEvent]:
        """Rows between the place and the last key that were not there before."""
        trail = self._trail
        unknown = [key for key in self._keys_between(trail.place, trail.last) if key not in trail]
        found: list[ConnectorEvent] = []
        for begin in range(0, min(len(unknown), limit), AT_ONCE):
            some = unknown[begin : min(begin + AT_ONCE, limit)]
            found += self._events(self._rows(self._table.key.in_(some), len(some)), now)
        if len(unknown) <= limit:
            trail.settle(now - self._late)
            self._note()
            self._scan_at = now + max(self._every, self._late / 4)
        return found

    def _rows_after(self, last: Any, limit: int) -> Sequence[Row[Any]]:
        return self._rows(sqlalchemy.true() if last is None else self._table.key > last, limit)

    def _rows(self, condition: Any, limit: int) -> Sequence[Row[Any]]:
        table = self._table
        query = sqlalchemy.select(table.table).where(condition, table.condition).order_by(table.key).limit(limit)
        return self._line.connection().execute(query).all()

    def _keys_between(self, place: Any, last: Any) -> Sequence[Any]:
        if last is None:
            return ()
        table = self._table
        query = sqlalchemy.select(table.key).where(table.key <= last, table.condition).order_by(table.key)
        if place is not None:
            query = query.where(table.key > place)
        return self._line.connection().execute(query).scalars().all()

    def _newest(self) -> Any:
        table = self._table
        return self._line.connection().execute(sqlalchemy.select(sqlalchemy.func.max(table.key)).where(table.condition)).scalar()

    def _events(self, rows: Iterable[Row[Any]], now: float) -> list[ConnectorEvent]:
        found: list[ConnectorEvent] = []
        for row in rows:
            key = self._table.key_of(row)
            if key in self._trail:
                continue
            self._trail.see(key, now)
            event = self._reading.event(self._table.message(row), self._clock.now())
            self._out.setdefault(event.event_id, []).append(key)
            found.append(event)
        return found

    def _note(self) -> None:
        """Keep the place, if it has moved."""
        state = (self._trail.place, self._trail.done)
        if state != self._noted:
            with self._asking("keeping the place in"):
                self._places.write(*state)
            self._noted = state

    @contextmanager
    def _asking(self, doing: str) -> Generator[None]:
        """After an error the connections are made anew."""
        try:
            with self._table.translated(doing):
                yield
        except BaseException:
            self._drop()
            raise

    def _drop(self) -> None:
        self._line.drop()
        self._places_line.drop()
