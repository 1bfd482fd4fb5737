"""The tables' version: make, upgrade, look, check. Alembic is loaded only when there is something to do."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import Connection

from flowdsl_sql.connect import parse
from flowdsl_sql.database import Database, Session
from flowdsl_sql.errors import Trouble, diagnose, schema_error, translated
from flowdsl_sql.quiet import quiet_alembic
from flowdsl_sql.tables import VERSION_TABLE

HEAD = "0003"
"""The newest migration. Version numbers sort as text; a later one only adds, so this code works with tables that are newer."""
MIGRATIONS = Path(__file__).with_name("migrations")
UPGRADE_LOCK = 0x666C6F77  # "flow"
UPGRADE_WAIT = 120
"""Seconds to wait for somebody else's upgrade."""


def upgrade(url: str) -> None:
    """Make the tables, or bring them to this version. Several processes at once: one works, the others wait."""
    with _opened(url) as database:
        upgrade_database(database)


def upgrade_sql(url: str) -> str:
    """The statements that `upgrade` would run on an empty database, for people who run them by hand. Nothing is connected to."""
    parsed = parse(url)
    buffer = io.StringIO()
    dialect = "mariadb" if parsed.get_backend_name() == "mariadb" else parsed.get_backend_name()
    _alembic(dialect=dialect, buffer=buffer, sql=True)
    return buffer.getvalue()


def current(url: str) -> str | None:
    """The version of the tables; None: there are none."""
    with _opened(url) as database:
        return current_version(database)


def check(url: str) -> None:
    """Raises SchemaError when the tables are missing or older than this code."""
    with _opened(url) as database:
        check_database(database)


class _opened:
    """A database for as long as a question takes."""

    def __init__(self, url: str) -> None:
        self._database = Database(parse(url), None)

    def __enter__(self) -> Database:
        try:
            with translated(self._database.where):
                self._database.prepare()
        except BaseException:
            self._database.close()
            raise
        return self._database

    def __exit__(self, *_: object) -> None:
        self._database.close()


def current_version(database: Database) -> str | None:
    """The version of the tables; None: there are none."""

    def work(session: Session) -> str | None:
        try:
            row = session.one(f"SELECT version_num FROM {VERSION_TABLE}")
        except Exception as error:
            if diagnose(error) is Trouble.SCHEMA:
                return None
            raise
        return None if row is None else str(row[0])

    return database.read(work)


def make_ready(database: Database, migrate: bool | None) -> None:
    """What opening does: upgrade where that is asked for (None: on SQLite, whose file is this program's own), else check."""
    if database.dialect.name == "sqlite" if migrate is None else migrate:
        upgrade_database(database)
    else:
        check_database(database)


def check_database(database: Database) -> None:
    version = current_version(database)
    if version is None:
        raise schema_error(database.where, f"{database.where} has no flowdsl tables")
    if version < HEAD:
        raise schema_error(database.where, f"the tables in {database.where} are version {version}, this code needs {HEAD}")


def upgrade_database(database: Database) -> None:
    version = current_version(database)
    if version is not None and version >= HEAD:
        return
    with translated(database.where), database.engine.connect() as connection:
        if database.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            _alembic(connection=connection)
            connection.exec_driver_sql("COMMIT")
        elif database.dialect.name == "postgresql":
            # one transaction: half an upgrade is never seen
            connection = connection.execution_options(isolation_level="READ COMMITTED")
            connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
            connection.exec_driver_sql(f"SET LOCAL idle_in_transaction_session_timeout = '{UPGRADE_WAIT}s'")
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{UPGRADE_WAIT}s'")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({UPGRADE_LOCK})")
            _alembic(connection=connection)
            connection.commit()
        else:
            _upgrade_mysql(connection)


def _upgrade_mysql(connection: Connection) -> None:
    name = connection.execute(sqlalchemy.text("SELECT CONCAT('flowdsl-', MD5(DATABASE()))")).scalar_one()
    got = connection.execute(sqlalchemy.text("SELECT GET_LOCK(:name, :wait)"), {"name": name, "wait": UPGRADE_WAIT}).scalar()
    if got != 1:
        raise schema_error(
            str(connection.engine.url), f"another process has been upgrading the tables for {UPGRADE_WAIT} seconds"
        )
    try:
        _alembic(connection=connection)
    finally:
        connection.execute(sqlalchemy.text("SELECT RELEASE_LOCK(:name)"), {"name": name})


def _alembic(*, sql: bool = False, **attributes: Any) -> None:
    with quiet_alembic():
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        config.attributes.update(attributes)
        command.upgrade(config, "head", sql=sql)
