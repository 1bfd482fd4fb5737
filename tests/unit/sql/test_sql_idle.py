"""A server ends transactions of processes that stand still, so that they hold nobody up: what that means for the process."""

from __future__ import annotations

import select
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flowdsl_sql import schema
from flowdsl_sql.connect import IDLE_TRANSACTION_TIMEOUT, parse
from flowdsl_sql.database import Database, Session
from tests.services import sql_database

SHORTEST = {"postgresql": "SET idle_in_transaction_session_timeout = '10ms'", "mariadb": "SET idle_transaction_timeout = 1"}
SHOW = {"postgresql": "SHOW idle_in_transaction_session_timeout", "mariadb": "SELECT @@idle_transaction_timeout"}


@pytest.fixture(params=["postgresql", "mariadb"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(kind: str, tmp_path: Path) -> Iterator[str]:
    with sql_database(kind, tmp_path) as found:
        yield found


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    database = Database(parse(url), None)
    database.prepare()
    yield database
    database.close()


def test_our_transactions_do_not_stand_still_for_long(database: Database, kind: str) -> None:
    found = database.read(lambda session: session.one(SHOW[kind]))
    assert found is not None
    assert str(found[0]).removesuffix("s") == str(IDLE_TRANSACTION_TIMEOUT)


def test_a_transaction_that_the_server_has_ended_is_done_again(database: Database, kind: str) -> None:
    tries: list[int] = []

    def work(session: Session) -> int:
        tries.append(len(tries) + 1)
        if len(tries) == 1:
            session.execute(SHORTEST[kind])
            session.one("SELECT 1")  # the transaction has begun, and now this process stands still
            driver: Any = session._driver
            socket = driver if kind == "postgresql" else driver._sock
            assert select.select([socket], [], [], 30)[0], "the server hung up"
        row = session.one("SELECT 7")
        assert row is not None
        return int(row[0])

    assert database.write(work) == 7
    assert tries == [1, 2]


def test_an_upgrade_may_stand_still_for_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    upgrade = schema._alembic

    def slow(**attributes: Any) -> None:
        query = "SELECT setting FROM pg_settings WHERE name = 'idle_in_transaction_session_timeout'"
        seen.append(attributes["connection"].exec_driver_sql(query).scalar_one())
        upgrade(**attributes)

    monkeypatch.setattr(schema, "_alembic", slow)
    with sql_database("postgresql", tmp_path) as url:
        schema.upgrade(url)
    assert seen == [f"{schema.UPGRADE_WAIT}000"]
