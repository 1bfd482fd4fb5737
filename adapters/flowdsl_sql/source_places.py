"""Where readers of growing tables were left: a table of ours, beside theirs or elsewhere."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import sqlalchemy
from sqlalchemy import Column, Connection, MetaData, String, Table, Text
from sqlalchemy.dialects.mysql import MEDIUMTEXT

from flowdsl_sql.source_table import Line

LONGEST_NAME = 190
_metadata = MetaData()
PLACES = Table(
    "flowdsl_source_place",
    _metadata,
    Column("name", String(LONGEST_NAME), primary_key=True),
    Column("place", Text),
    Column("done", Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb"), nullable=False),
)
"""Made at the first use where it is not there. `place` and `done` are JSON."""


class Places:
    """In: a line to the database that has the table, on which each statement commits by itself; the reader's name; the type of
    keys."""

    def __init__(self, line: Line, name: str, kind: type[Any]) -> None:
        self._line = line
        self._name = name if len(name) <= LONGEST_NAME else f"{name[:120]}-{hashlib.sha256(name.encode()).hexdigest()}"
        self._kind = kind

    def make(self) -> None:
        """The table, where it is not there."""
        _metadata.create_all(self._line.connection(), checkfirst=True)

    def read(self) -> tuple[Any, list[Any]] | None:
        """Place and what is done beyond it; None: the name is new."""
        query = sqlalchemy.select(PLACES.c.place, PLACES.c.done).where(PLACES.c.name == self._name)
        row = self._line.connection().execute(query).one_or_none()
        if row is None:
            return None
        place = None if row.place is None else msgspec.json.decode(row.place, type=self._kind)
        return place, self._spread(msgspec.json.decode(row.done))

    def write(self, place: Any, done: list[Any]) -> None:
        values = {
            "place": None if place is None else msgspec.json.encode(place).decode(),
            "done": msgspec.json.encode(self._packed(done)).decode(),
        }
        connection = self._line.connection()
        changed = connection.execute(sqlalchemy.update(PLACES).where(PLACES.c.name == self._name).values(values))
        if changed.rowcount == 0 and self._is_new(connection):
            connection.execute(sqlalchemy.insert(PLACES).values(name=self._name, **values))

    def _is_new(self, connection: Connection) -> bool:
        """MySQL counts rows that were changed to what they were as none."""
        return connection.execute(sqlalchemy.select(PLACES.c.name).where(PLACES.c.name == self._name)).first() is None

    def _packed(self, done: list[Any]) -> list[Any]:
        """Whole numbers as ranges of neighbours: a busy table has thousands beyond the place."""
        if self._kind is not int:
            return done
        ranges: list[list[int]] = []
        for key in done:
            if ranges and key == ranges[-1][1] + 1:
                ranges[-1][1] = key
            else:
                ranges.append([key, key])
        return ranges

    def _spread(self, stored: list[Any]) -> list[Any]:
        if self._kind is not int:
            return msgspec.convert(stored, list[self._kind])  # type: ignore[name-defined]
        return [key for first, last in stored for key in range(first, last + 1)]
