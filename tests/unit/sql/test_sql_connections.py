"""Connections that are given back late, or after something went wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from flowdsl.errors import StoreError
from flowdsl_sql.database import Database, Session
from flowdsl_sql.record_store import open_store
from flowdsl_sql.unit_of_work import SqlUnitOfWork
from tests.services import sql_database

PATIENCE = 30.0


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with ExitStack() as stack:
        store = open_store(stack.enter_context(sql_database(request.param, tmp_path)), migrate=True)
        stack.callback(store.close)
        yield store._database


def is_open(driver: Any) -> bool:
    """Whether something can still be asked over it."""
    try:
        cursor = driver.cursor()
        cursor.execute("SELECT 1")
        cursor.fetchall()
        cursor.close()
    except Exception:
        return False
    return True


@pytest.mark.parametrize("do", [Database.read, Database.write, Database.write_apart])
def test_what_is_still_in_use_while_the_store_is_closed_is_closed_when_it_comes_back(
    database: Database, do: Callable[[Database, Callable[[Session], None]], None]
) -> None:
    drivers: list[Any] = []
    begun, closed = threading.Event(), threading.Event()

    def work(session: Session) -> None:
        drivers.append(session._driver)
        begun.set()
        assert closed.wait(PATIENCE)

    late = threading.Thread(target=do, args=(database, work), daemon=True)
    late.start()
    assert begun.wait(PATIENCE)
    database.close()
    assert is_open(drivers[0]), "what somebody works with is not taken from them"
    closed.set()
    late.join(PATIENCE)
    assert not is_open(drivers[0])


def test_a_transaction_that_outlives_the_store_leaves_no_connection_open(database: Database) -> None:
    transaction = SqlUnitOfWork(database, lambda wakes: None)
    driver = transaction._raw._driver
    database.close()
    transaction.close()
    assert not is_open(driver)


def test_a_transaction_that_could_not_begin_holds_no_connection(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: SqlUnitOfWork, database: Database) -> Session:
        self._connection.exec_driver_sql(database.dialect.begin)
        raise StoreError("not today")

    with monkeypatch.context() as patch:
        patch.setattr(SqlUnitOfWork, "_begin", broken)
        with pytest.raises(StoreError, match="not today"):
            SqlUnitOfWork(database, lambda wakes: None)
    pool: Any = database.users.pool
    assert pool.checkedout() == 0
    SqlUnitOfWork(database, lambda wakes: None).close()
