"""The worlds of the behaviour tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.memory.role_scheduler import MemoryRoleScheduler
from flowdsl.ports.record_store import RecordStore
from flowdsl.testing.clock import ManualClock
from flowdsl_sql.connect import parse
from flowdsl_sql.database import Database, Session
from flowdsl_sql.record_store import open_store
from flowdsl_sql.role_scheduler import open_roles
from flowdsl_sql.tables import metadata
from tests.behaviour.world import World
from tests.services import sql_database


@pytest.fixture(scope="module", params=["memory", "sqlite", "postgresql"])
def tables(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database | None]:
    """A database with tables; None: memory."""
    if request.param == "memory":
        yield None
        return
    with sql_database(request.param, tmp_path_factory.mktemp("sql")) as url:
        open_store(url, migrate=True).close()
        database = Database(parse(url), None)
        database.prepare()
        yield database
        database.close()


@pytest.fixture
def world(tables: Database | None) -> Iterator[World]:
    """An empty store with its roles and its clock."""
    clock = ManualClock()
    if tables is None:
        memory = MemoryRecordStore(clock)
        yield World("memory", clock, memory, MemoryRoleScheduler(clock), lambda: memory)
        return

    def empty(session: Session) -> None:
        for name in metadata.tables:
            session.later(f"DELETE FROM {name}")  # noqa: S608 - a name of ours

    tables.write(empty)
    url = tables.url.render_as_string(hide_password=False)
    opened: list[RecordStore] = []

    def another() -> RecordStore:
        opened.append(open_store(url, clock=clock))
        return opened[-1]

    roles = open_roles(url, clock=clock)
    yield World(tables.url.get_backend_name(), clock, another(), roles, another, url)
    roles.close()
    for store in opened:
        store.close()


@pytest.fixture
def memory_world() -> World:
    """A world in memory alone, for what the store has no part in."""
    clock = ManualClock()
    store = MemoryRecordStore(clock)
    return World("memory", clock, store, MemoryRoleScheduler(clock), lambda: store)
