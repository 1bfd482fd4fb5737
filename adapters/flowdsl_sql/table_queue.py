"""Somebody else's table that is a queue, as a connector source."""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import sqlalchemy
from sqlalchemy import ColumnElement, Connection, RootTransaction, Row

from flowdsl.clock import Clock, SystemClock
from flowdsl.errors import ConfigurationError, StreamerError
from flowdsl.model.event import ConnectorEvent
from flowdsl.model.reading import Pick, Reading, header, message_id
from flowdsl.ports.connector_source import ConnectorReader, ConnectorSource
from flowdsl_sql.source_table import Line, SourceTable, Where

log = logging.getLogger("flowdsl.sql.source")
EVERY = timedelta(seconds=1)
HOLD = 10.0
"""Seconds after which a transaction is ended and begun anew, whatever is in hand: an old one keeps the database from cleaning up,
and servers end those that do nothing."""
TYPE = header("type")


class SqlQueueSource(ConnectorSource):
    """Rows of a table that wait to be handled, in the order of its key. A row that is done is deleted, or marked.

    What is promised: every row that waits is handled, however late its transaction commits; the rows in hand are locked (FOR
    UPDATE SKIP LOCKED), so that readers of several processes share them, and free at once when the process ends. While a part of
    them is deleted or marked, which ends the transaction, another reader may get a row that is in hand: it is then handled twice,
    and starts what it starts once. SQLite has no such locks: one reader at a time.

    In: the database's URL, the table, its `key` (unique); `mark`: the column that is set to the time when a row is done, and is
    NULL while it waits (default: rows that are done are deleted); `foreign_id`, `event_id` (default: the key) and `type`
    (default: the column type) say where a row has them, its columns being headers; `body_column` (default: the whole row as a
    JSON object); `time_column`, when it happened; `where`, which rows; `every`, how often an empty table is looked at.
    """

    keeps_places = False

    def __init__(
        self,
        url: str,
        table: str,
        *,
        key: str,
        foreign_id: Pick,
        mark: str | None = None,
        event_id: Pick = message_id,
        type: Pick = TYPE,
        body_column: str | None = None,
        time_column: str | None = None,
        where: Where | None = None,
        every: timedelta = EVERY,
        clock: Clock | None = None,
    ) -> None:
        if every <= timedelta(0):
            raise ConfigurationError(f"every={every} would look without a pause.", remedy="Give a duration above zero.")
        self._table = SourceTable(url, table, key, body_column, time_column, where)
        self._mark = mark
        self._reading = Reading(event_id=event_id, foreign_id=foreign_id, type=type)
        self._every = every
        self._clock = clock or SystemClock()
        self.competing = self._table.backend != "sqlite"

    def __repr__(self) -> str:
        return f"SqlQueueSource({self._table.shown!r}, {self._table.name!r})"

    def open(self, name: str) -> ConnectorReader:
        return _QueueReader(self._table, self._mark, self._reading, self._every, self.competing, self._clock)


class _QueueReader(ConnectorReader):
    """One connection with one transaction, as long as something is in hand. When the connection breaks, everything is free."""

    def __init__(
        self, table: SourceTable, mark: str | None, reading: Reading, every: timedelta, locks: bool, clock: Clock
    ) -> None:
        self._table = table
        self._mark = None if mark is None else table.column(mark)
        self._order = table.key
        self._reading = reading
        self._every = every.total_seconds()
        self._locks = locks
        self._clock = clock
        self._out: dict[str, list[Any]] = {}
        """Keys by event id of everything that is in hand."""
        # READ COMMITTED: a stricter level would lock the gaps between rows, too, and keep their owner out
        self._line = Line(table.engine, "READ COMMITTED" if locks else None)
        self._transaction: RootTransaction | None = None
        self._begun = 0.0
        self._look_at = clock.monotonic()
        self._stop = threading.Event()

    def receive(self, limit: int, timeout: timedelta) -> Sequence[ConnectorEvent]:
        self._check()
        end = self._clock.monotonic() + timeout.total_seconds()
        if self._transaction is not None and self._clock.monotonic() - self._begun > HOLD:
            with self._changing("keeping rows of"):
                self._renew()
        while limit > 0:
            now = self._clock.monotonic()
            if now >= self._look_at:
                with self._changing("reading"):
                    found = self._take(limit)
                if found:
                    return found
                self._look_at = now + self._every
            if now >= end:
                break
            self._stop.wait(max(min(end, self._look_at) - now, 0.0))
            self._check()
        return []

    def acknowledge(self, events: Sequence[ConnectorEvent]) -> None:
        keys = [key for event in events for key in self._out.get(event.event_id, ())]
        if not keys:
            return
        with self._changing("settling rows of"):
            connection = self._begun_connection()
            mine = self._table.key.in_(keys)
            if self._mark is None:
                connection.execute(sqlalchemy.delete(self._table.table).where(mine))
            else:
                now = self._clock.now()
                aware = bool(getattr(self._mark.type, "timezone", False))
                moment = now if aware else now.astimezone(dt.UTC).replace(tzinfo=None)
                connection.execute(sqlalchemy.update(self._table.table).where(mine).values({self._mark.name: moment}))
            for event in events:
                self._out.pop(event.event_id, None)
            self._renew()

    def close(self) -> None:
        self._stop.set()
        self._out.clear()
        self._transaction = None
        self._line.drop()

    def _check(self) -> None:
        if self._stop.is_set():
            raise StreamerError("the reader is closed.")

    @property
    def _waiting(self) -> ColumnElement[bool]:
        waits = sqlalchemy.true() if self._mark is None else self._mark.is_(None)
        return sqlalchemy.and_(waits, self._table.condition)

    def _take(self, limit: int) -> list[ConnectorEvent]:
        """Lock rows that wait and that nobody has in hand."""
        table, mine = self._table, self._in_hand()
        query = sqlalchemy.select(table.table).where(self._waiting).order_by(self._order).limit(limit)
        if mine:
            query = query.where(table.key.not_in(mine))
        rows: Sequence[Row[Any]] = self._begun_connection().execute(query.with_for_update(skip_locked=True)).all()
        found: list[ConnectorEvent] = []
        for row in rows:
            event = self._reading.event(table.message(row), self._clock.now())
            self._out.setdefault(event.event_id, []).append(table.key_of(row))
            found.append(event)
        if not self._out or not self._locks:
            self._commit()  # an empty hand needs no transaction
        return found

    def _renew(self) -> None:
        """Commit, and lock again what is still in hand. What another reader has got meanwhile is its own."""
        self._commit()
        mine = self._in_hand()
        if not mine or not self._locks:
            return
        table = self._table
        query = sqlalchemy.select(table.key).where(table.key.in_(mine), self._waiting).with_for_update(skip_locked=True)
        kept = set(self._begun_connection().execute(query).scalars())
        self._out = {event_id: left for event_id, keys in self._out.items() if (left := [key for key in keys if key in kept])}
        if len(kept) < len(mine):
            log.info("%d rows of %s have gone to another reader", len(mine) - len(kept), table.name)
        if not kept:
            self._commit()

    def _in_hand(self) -> list[Any]:
        return [key for keys in self._out.values() for key in keys]

    def _begun_connection(self) -> Connection:
        """With a transaction."""
        connection = self._line.connection()
        if self._transaction is None:
            self._transaction = connection.begin()
            self._begun = self._clock.monotonic()
        return connection

    def _commit(self) -> None:
        transaction, self._transaction = self._transaction, None
        if transaction is not None:
            transaction.commit()

    @contextmanager
    def _changing(self, doing: str) -> Generator[None]:
        """What fails half-way leaves nothing in hand: the rows are free, and come again."""
        try:
            with self._table.translated(doing):
                yield
        except BaseException:
            self._out.clear()
            self._transaction = None
            self._line.drop()
            raise
