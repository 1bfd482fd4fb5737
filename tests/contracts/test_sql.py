"""The port contracts over SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import orm

from flowdsl.testing.clock import ManualClock
from flowdsl.testing.contracts import EventStreamerContract, RecordStoreContract, RoleSchedulerContract
from flowdsl_sql.connect import parse
from flowdsl_sql.database import Database, Session
from flowdsl_sql.event_streamer import SqlEventStreamer, open_streamer
from flowdsl_sql.record_store import SqlRecordStore, open_store
from flowdsl_sql.role_scheduler import SqlRoleScheduler, open_roles
from flowdsl_sql.tables import metadata
from tests.services import SQL_DATABASES, sql_database


@pytest.fixture(scope="module", params=SQL_DATABASES)
def tables(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database with tables."""
    with sql_database(request.param, tmp_path_factory.mktemp("sql")) as url:
        open_store(url, migrate=True).close()
        database = Database(parse(url), None)
        database.prepare()
        yield database
        database.close()


@pytest.fixture
def url(tables: Database) -> str:
    """The same, empty."""

    def empty(session: Session) -> None:
        for name in metadata.tables:
            session.later(f"DELETE FROM {name}")  # noqa: S608 - a name of ours

    tables.write(empty)
    return tables.url.render_as_string(hide_password=False)


class TestSqlRecordStore(RecordStoreContract):
    @pytest.fixture
    def store_factory(self, url: str, clock: ManualClock) -> Iterator[Callable[[], SqlRecordStore]]:
        opened: list[SqlRecordStore] = []

        def make() -> SqlRecordStore:
            store = open_store(url, clock=clock)
            opened.append(store)
            return store

        yield make
        for store in opened:
            store.close()

    @pytest.fixture
    def session_factory(self, url: str) -> Iterator[Callable[[], orm.Session]]:
        engine = sqlalchemy.create_engine(url)
        if engine.dialect.name == "sqlite":  # its driver begins a transaction too late for savepoints

            @sqlalchemy.event.listens_for(engine, "connect")
            def begin_nothing(connection: Any, _: object) -> None:
                connection.isolation_level = None

            @sqlalchemy.event.listens_for(engine, "begin")
            def begin(connection: sqlalchemy.Connection) -> None:
                connection.exec_driver_sql("BEGIN")

        yield lambda: orm.Session(engine)
        engine.dispose()


class TestSqlRoleScheduler(RoleSchedulerContract):
    @pytest.fixture
    def scheduler_factory(self, url: str, clock: ManualClock) -> Iterator[Callable[[], SqlRoleScheduler]]:
        opened: list[SqlRoleScheduler] = []

        def make() -> SqlRoleScheduler:
            scheduler = open_roles(url, clock=clock)
            opened.append(scheduler)
            return scheduler

        yield make
        for scheduler in opened:
            scheduler.close()


class TestSqlEventStreamer(EventStreamerContract):
    @pytest.fixture
    def streamer_factory(self, tables: Database) -> Iterator[Callable[[], SqlEventStreamer]]:
        opened: list[SqlEventStreamer] = []

        def make() -> SqlEventStreamer:
            streamer = open_streamer(tables.url.render_as_string(hide_password=False))
            opened.append(streamer)
            return streamer

        yield make
        for streamer in opened:
            streamer.close()
