"""What differs between the databases, one class each."""

from __future__ import annotations

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


_SIZES = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
_MARKS = {size: f"({', '.join('?' * size)})" for size in _SIZES}


def _size(count: int) -> int:
    return 1 << (count - 1).bit_length()


def dialect_of(url: URL) -> Dialect:
    """The dialect of a URL whose backend `connect.parse` has admitted."""
    return {"sqlite": Dialect, "postgresql": PostgreSQL, "mysql": MySQL, "mariadb": MySQL}[url.get_backend_name()]()
