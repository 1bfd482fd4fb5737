"""Somebody else's table: found out about, and its rows as messages. Nothing of it is changed but what a source says."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import sqlalchemy
from sqlalchemy import URL, Column, ColumnElement, Connection, Engine, MetaData, NullPool, Row, Table
from sqlalchemy.engine.interfaces import IsolationLevel
from sqlalchemy.exc import NoSuchTableError

from flowdsl.errors import ConfigurationError, StreamerError
from flowdsl.model.reading import Message, text
from flowdsl_sql.connect import CONNECT_TIMEOUT, STATEMENT_TIMEOUT, parse, shown
from flowdsl_sql.errors import is_driver_error, text_of

Where = Callable[[Table], ColumnElement[bool]]
"""Which rows: given the table, a condition, e.g. lambda table: table.c.kind == "order"."""


def engine_of(url: URL) -> Engine:
    """In: a URL from `parse`. The server's own settings are left as they are."""
    arguments: dict[str, Any] = {"connect_timeout": CONNECT_TIMEOUT}
    match url.get_backend_name():
        case "sqlite":
            arguments = {"check_same_thread": False, "timeout": CONNECT_TIMEOUT}
        case "postgresql":
            arguments |= {"tcp_user_timeout": STATEMENT_TIMEOUT * 1000, "application_name": "flowdsl"}
        case _:
            arguments |= {"read_timeout": STATEMENT_TIMEOUT, "write_timeout": STATEMENT_TIMEOUT}
    return sqlalchemy.create_engine(url, connect_args=arguments, poolclass=NullPool)


class Line:
    """A reader's own connection, made when it is needed and again after it broke. In: its isolation level, where it matters."""

    def __init__(self, engine: Engine, isolation: IsolationLevel | None = None) -> None:
        self._engine = engine
        self._isolation = isolation
        self._connection: Connection | None = None

    def connection(self) -> Connection:
        if self._connection is None:
            connection = self._engine.connect()
            if self._isolation is not None:
                connection = connection.execution_options(isolation_level=self._isolation)
            self._connection = connection
        return self._connection

    def drop(self) -> None:
        """Let go of it without asking it for anything: it is broken, or in the middle of something."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class SourceTable:
    """In: the database's URL, the table's name (schema.table where it is not the default schema's), its key: a column that no two
    rows share; the columns of the body and of the time (None: every column as a JSON object; the time of receipt)."""

    def __init__(
        self, url: str, table: str, key: str, body_column: str | None, time_column: str | None, where: Where | None
    ) -> None:
        self.url = parse(url)
        self.shown = shown(self.url)
        self.name = table
        self._key_name = key
        self._body_name = body_column
        self._time_name = time_column
        self._where = where
        self._engine: Engine | None = None
        self._table: Table | None = None

    @property
    def backend(self) -> str:
        return self.url.get_backend_name()

    @property
    def engine(self) -> Engine:
        if self._engine is None:
            self._engine = engine_of(self.url)
        return self._engine

    @property
    def table(self) -> Table:
        """As the database has it, looked at once. Raises StreamerError, ConfigurationError."""
        if self._table is None:
            schema, _, name = self.name.rpartition(".")
            try:
                with self.translated("looking at the table"):
                    found = Table(name, MetaData(), schema=schema or None, autoload_with=self.engine)
            except NoSuchTableError as error:
                raise StreamerError(
                    f"there is no table {self.name} in {self.shown}.",
                    remedy="A source reads what is there: check the name, or let its owner make it.",
                ) from error
            for column in (self._key_name, self._body_name, self._time_name):
                if column is not None:
                    self.column(column, found)
            with self.translated("looking at the table"):
                self._check_key(found)
            self._table = found
        return self._table

    @property
    def key(self) -> Column[Any]:
        return self.column(self._key_name)

    @property
    def key_type(self) -> type[Any]:
        """Of its values, as Python has them."""
        try:
            return self.key.type.python_type
        except NotImplementedError:
            return str

    @property
    def condition(self) -> ColumnElement[bool]:
        return sqlalchemy.true() if self._where is None else self._where(self.table)

    def column(self, name: str, table: Table | None = None) -> Column[Any]:
        """Raises ConfigurationError for one that there is not."""
        known = self.table if table is None else table
        if name not in known.c:
            raise ConfigurationError(
                f"the table {self.name} has no column {name!r}.", remedy=f"It has {', '.join(known.c.keys())}."
            )
        return known.c[name]

    def key_of(self, row: Row[Any]) -> Any:
        return row._mapping[self._key_name]

    def message(self, row: Row[Any]) -> Message:
        """A row: its columns are headers, without those that are NULL."""
        values = {str(name): value for name, value in row._mapping.items()}
        body: bytes
        if self._body_name is None:
            body = msgspec.json.encode({name: _json(value) for name, value in values.items()})
        else:
            body = _bytes(values[self._body_name])
        headers = {name: _header(value) for name, value in values.items() if value is not None and name != self._body_name}
        sent = None if self._time_name is None else _moment(values[self._time_name])
        return Message(body=body, headers=headers, message_id=_header(self.key_of(row)), key=self.name, sent_at=sent)

    @contextmanager
    def translated(self, doing: str) -> Generator[None]:
        """Errors of the driver become StreamerError."""
        try:
            yield
        except Exception as error:
            if not is_driver_error(error):
                raise
            raise StreamerError(
                f"{doing} {self.name} in {self.shown} failed: {' '.join(text_of(error).split())}.",
                remedy="Check that the server runs and what its user may do; it is tried again by itself.",
            ) from error

    def _check_key(self, table: Table) -> None:
        """A key that two rows share would lose one of them between two looks."""
        if [column.name for column in table.primary_key] == [self._key_name]:
            return
        inspector = sqlalchemy.inspect(self.engine)
        unique: Sequence[Any] = [
            *inspector.get_unique_constraints(table.name, table.schema),
            *(index for index in inspector.get_indexes(table.name, table.schema) if index.get("unique")),
        ]
        if not any(list(one["column_names"]) == [self._key_name] for one in unique):
            raise ConfigurationError(
                f"rows of {self.name} may share their {self._key_name}.", remedy="Name the primary key, or a unique column."
            )


def _header(value: Any) -> str:
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, bool):
        return "true" if value else "false"
    return text(value) if isinstance(value, str | bytes | bytearray | memoryview | list | dict) else str(value)


def _json(value: Any) -> Any:
    """As JSON has it; what it has not, as text."""
    try:
        msgspec.json.encode(value)
    except (TypeError, ValueError):
        return text(value)
    return value


def _bytes(value: Any) -> bytes:
    if value is None:
        return b""
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    return msgspec.json.encode(_json(value))


def _moment(value: Any) -> dt.datetime | None:
    """A date without a zone is taken for UTC."""
    if not isinstance(value, dt.datetime):
        return None
    return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value
