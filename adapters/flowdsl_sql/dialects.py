"""What differs between the databases, one class each."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import URL


class Dialect:
    """SQLite, and what the others have in common with it."""

    name = "sqlite"
    now: str | None = None
    """An expression for the server's time in microseconds; None: this process runs on the same host and looks itself."""
    begin = "BEGIN IMMEDIATE"
    for_update = ""
    """Locks the rows of a SELECT until the transaction ends."""
    skip_locked = ""
    pipelines = False
    """Whether statements without an answer can travel with the next one."""

    due = "due"
    """The column of waiting rows' due time, as their index has it."""
    waits = "owner IS NULL AND due IS NOT NULL"
    """What makes a row a waiting one; the predicate of the index where there are partial ones."""

    def cursor(self, connection: Any) -> Any:
        return connection.cursor()

    def text(self, sql: str) -> str:
        """A statement as the driver wants it."""
        return sql

    def marks(self, count: int) -> str:
        """A list of `count` bound values."""
        return _MARKS[_size(count)]

    def padded(self, values: Sequence[Any]) -> Sequence[Any]:
        """Values for `marks`: the list has one of few lengths, so that the driver finds its prepared statement again."""
        missing = _size(len(values)) - len(values)
        return values if not missing else [*values, *[values[-1]] * missing]


class PostgreSQL(Dialect):
    name = "postgresql"
    pipelines = True
    now = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS bigint)"
    begin = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
    for_update = " FOR UPDATE"
    skip_locked = " FOR UPDATE SKIP LOCKED"

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def cursor(self, connection: Any) -> Any:
        return connection.cursor(binary=True)

    def text(self, sql: str) -> str:
        known = self._texts.get(sql)
        if known is None:
            known = sql.replace("?", "%s")
            if len(self._texts) < 2000:
                self._texts[sql] = known
        return known


class PlainPostgreSQL(PostgreSQL):
    """Through a driver of the user's choice, or what SQLAlchemy makes of an asynchronous one: one statement at a time."""

    pipelines = False

    def cursor(self, connection: Any) -> Any:
        return connection.cursor()


class NumberedPostgreSQL(PlainPostgreSQL):
    """Through asyncpg, whose parameters are numbered and which asks the server for their types: our arrays are texts."""

    def cursor(self, connection: Any) -> Any:
        return _NumberingCursor(connection.cursor())


class _NumberingCursor:
    """A cursor for statements with `%s`."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def execute(self, sql: str, parameters: Any = None) -> None:
        self._cursor.execute(numbered(sql), parameters)

    def executemany(self, sql: str, rows: Any) -> None:
        self._cursor.executemany(numbered(sql), rows)


def numbered(sql: str) -> str:
    """With `$1`, `$2` in place of each `%s`."""
    numbers = itertools.count(1)
    return _PLACE.sub(lambda found: f"${next(numbers)}{found[1] and f'::text{found[1]}'}", sql)


class MySQL(Dialect):
    name = "mysql"
    due = "waiting"
    waits = "waiting IS NOT NULL"
    now = "CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)"
    begin = "START TRANSACTION"
    for_update = " FOR UPDATE"
    skip_locked = " FOR UPDATE SKIP LOCKED"

    def text(self, sql: str) -> str:
        return sql.replace("?", "%s")


_PLACE = re.compile(r"%s((?:::\w+\[\])?)")
_SIZES = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
_MARKS = {size: f"({', '.join('?' * size)})" for size in _SIZES}


def _size(count: int) -> int:
    return 1 << (count - 1).bit_length()


def dialect_of(url: URL) -> Dialect:
    """The dialect of a URL whose backend `connect.parse` has admitted."""
    return {"sqlite": Dialect, "postgresql": PostgreSQL, "mysql": MySQL, "mariadb": MySQL}[url.get_backend_name()]()
