"""Starting runs in the transaction of a session that is the user's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, orm

from flowdsl.errors import ConfigurationError, FlowError, SchemaError
from flowdsl.model.change import Change, CommitResult
from flowdsl_sql.after_commit import after_commit
from flowdsl_sql.connect import shown
from flowdsl_sql.database import Database, Session
from flowdsl_sql.dialects import Dialect, NumberedPostgreSQL, PlainPostgreSQL
from flowdsl_sql.errors import Trouble, diagnose, flow_error, is_driver_error, text_of
from flowdsl_sql.notes import notify
from flowdsl_sql.unit_of_work import Wakes, apply_all
from flowdsl_sql.writers import writer_for

STYLES = {"sqlite": ("qmark",), "mysql": ("format", "pyformat")}
"""How a driver may mark parameters for our statements to be in its writing."""
AWAIT_IT = "Write `await engine.aio.trigger(..., session=async_session)`."


def join(
    database: Database,
    session: Any,
    changes: Sequence[Change],
    wake: Callable[[Wakes], None],
    committed: Callable[[], None],
) -> list[CommitResult]:
    """Apply changes within the transaction of somebody else's session; what becomes due is told when that has committed."""
    own = _session(session)
    dialect = _how_to_write(database, _driver(database, own))
    connection = own.connection()
    raw = Session(connection.connection, dialect, database.clock)
    wakes: Wakes = set()
    try:
        answers = apply_all(writer_for(dialect)(raw), changes, wakes)
        if wakes:
            notify(raw, database.name, wakes)
        raw.flush()
        raw.cursor.close()
    except FlowError:
        raise
    except Exception as error:
        if not is_driver_error(error):
            raise
        if diagnose(error) is Trouble.SCHEMA:
            raise _no_tables(database, connection, error) from error
        raise flow_error(error, database.where) from error

    def told() -> None:
        if wakes:
            wake(wakes)
        committed()

    after_commit(own, connection, told)
    return answers


def _session(session: Any) -> orm.Session:
    if isinstance(session, orm.scoped_session):
        session = session()
    if isinstance(session, orm.Session):
        return session
    if hasattr(session, "sync_session"):
        raise ConfigurationError("an AsyncSession cannot be used by a call that blocks.", remedy=AWAIT_IT)
    raise ConfigurationError(
        f"session={session!r} is not an SQLAlchemy Session.", remedy="Pass the Session whose transaction it should join."
    )


def _driver(database: Database, session: orm.Session) -> sqlalchemy.Dialect:
    """The session's. Raises ConfigurationError for a session on another kind of database, or on another thread's loop."""
    dialect = session.get_bind().dialect
    if dialect.is_async and not _on_loop():
        raise ConfigurationError(
            "this Session is that of an AsyncSession, whose driver works on its event loop only.",
            remedy=f"Pass the AsyncSession itself. {AWAIT_IT}",
        )
    if dialect.name.replace("mariadb", "mysql") != database.dialect.name:
        raise ConfigurationError(
            f"the session is on {dialect.name}, the store on {database.dialect.name}.",
            remedy="Pass a session on the store's own database.",
        )
    return dialect


def _on_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _how_to_write(database: Database, driver: sqlalchemy.Dialect) -> Dialect:
    """Through the session's driver, which need not be the store's."""
    name = database.dialect.name
    if name == "postgresql":
        if driver.driver == "psycopg" and not driver.is_async:
            return database.dialect
        if driver.driver in ("psycopg", "psycopg_async", "psycopg2"):
            return PlainPostgreSQL()
        if driver.driver == "asyncpg":
            return NumberedPostgreSQL()
    elif driver.driver == "aiosqlite" or (not driver.is_async and driver.paramstyle in STYLES[name]):
        return database.dialect
    raise ConfigurationError(
        f"flowdsl does not write through {driver.driver}, the driver of the session.",
        remedy=f"Use a session over {database.url.drivername}; in place of an AsyncSession a Session, in a thread.",
    )


def _no_tables(database: Database, connection: Connection, error: Exception) -> SchemaError:
    return SchemaError(
        f"the session's connection, {shown(connection.engine.url)}, does not see flowdsl's tables: {text_of(error)}.",
        remedy=f"Check that it is on the store's own database and has its search_path: the store is {database.where}.",
    )
