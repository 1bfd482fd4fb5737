"""From a URL to a database, and what errors say."""

from __future__ import annotations

import os
import socket
import sqlite3
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
import sqlalchemy
from sqlalchemy import URL, Engine
from sqlalchemy.exc import DBAPIError

from flowdsl.errors import ConfigurationError, MissingExtraError, SchemaError, StoreError, StoreUnavailableError
from flowdsl_sql import schema
from flowdsl_sql.connect import STATEMENT_TIMEOUT, connect, connect_for_users, parse, shown
from flowdsl_sql.errors import Trouble, diagnose, flow_error, translated
from flowdsl_sql.record_store import open_store
from flowdsl_sql.role_scheduler import open_roles
from tests.services import MYSQL, POSTGRESQL, sql_database


@pytest.mark.parametrize(
    ("written", "understood"),
    [
        ("sqlite:///orders.db", "sqlite+pysqlite:///orders.db"),
        ("sqlite://", "sqlite+pysqlite://"),
        ("postgresql://me@host/db", "postgresql+psycopg://me@host/db"),
        ("postgresql+psycopg://me@host/db", "postgresql+psycopg://me@host/db"),
        ("mysql://me@host/db", "mysql+pymysql://me@host/db"),
        ("mariadb+pymysql://me@host/db", "mariadb+pymysql://me@host/db"),
    ],
)
def test_a_url_gets_the_driver_that_is_used(written: str, understood: str) -> None:
    assert shown(parse(written)) == understood


@pytest.mark.parametrize("url", ["not a url", "oracle://host/db", "postgresql+asyncpg://host/db"])
def test_a_url_that_cannot_work_says_what_can(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(url)

    assert caught.value.remedy


@pytest.mark.parametrize(
    ("url", "driver", "extra"), [("postgresql://h/d", "psycopg", "postgresql"), ("mysql://h/d", "pymysql", "mysql")]
)
def test_a_missing_driver_names_the_command_that_installs_it(
    url: str, driver: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, driver, None)

    with pytest.raises(MissingExtraError, match=rf"pip install 'flowdsl\[{extra}\]'"):
        open_store(url)
    with pytest.raises(MissingExtraError):
        open_roles(url)


@pytest.mark.parametrize("scheme", ["postgresql+psycopg", "mysql+pymysql", "mariadb+pymysql"])
def test_a_password_is_in_no_error(scheme: str) -> None:
    url = f"{scheme}://someone:s3cr3t@127.0.0.1:9/db"
    for question in (open_store, open_roles, schema.check, schema.upgrade):
        with pytest.raises(StoreUnavailableError) as caught:
            question(url)
        error: BaseException | None = caught.value
        assert "***" in str(error)
        while error is not None:
            assert "s3cr3t" not in str(error)
            error = error.__cause__


def test_a_password_in_the_query_of_a_url_is_not_shown() -> None:
    url = "postgresql://127.0.0.1:9/db?user=me&password=s3cr3t&sslpassword=s3cr3t&sslmode=disable"
    assert shown(parse(url)).endswith("/db?password=***&sslmode=disable&sslpassword=***&user=me")
    for question in (open_store, open_roles):
        with pytest.raises(StoreUnavailableError) as caught:
            question(url)
        assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("engine_of", [connect, connect_for_users])
@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="this system has no such setting")
def test_a_postgresql_server_that_fell_silent_is_given_up_within_half_a_minute(engine_of: Callable[[URL], Engine]) -> None:
    with sql_database("postgresql", Path()) as url:
        engine = engine_of(parse(url))
        with engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            with socket.socket(fileno=os.dup(driver.fileno())) as line:
                assert line.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                idle, interval, count = (
                    line.getsockopt(socket.IPPROTO_TCP, option)
                    for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
                )
        engine.dispose()
    assert idle + interval * count <= STATEMENT_TIMEOUT


def test_sqlite_connections_wait_for_writers_and_keep_what_they_committed(tmp_path: Path) -> None:
    engine = connect(parse(f"sqlite:///{tmp_path / 'x.db'}"))
    with engine.connect() as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "busy_timeout")
        }
    engine.dispose()

    assert settings == {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 30_000}


def test_a_database_in_memory_lives_as_long_as_its_store() -> None:
    store = open_store("sqlite://")
    assert store.lookup(["nobody"]) == {}
    store.close()


def test_a_folder_that_does_not_exist_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="unable to open database file"):
        open_store(f"sqlite:///{tmp_path / 'no' / 'x.db'}")


def sqlite_error(code: int, text: str = "") -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


def postgresql_error(state: str) -> psycopg.Error:
    kind = psycopg.errors.lookup(state)
    return kind("the server's words")


ERRORS: list[tuple[BaseException, Trouble]] = [
    (sqlite_error(sqlite3.SQLITE_BUSY), Trouble.CONFLICT),
    (sqlite_error(sqlite3.SQLITE_BUSY_SNAPSHOT), Trouble.CONFLICT),
    (sqlite_error(sqlite3.SQLITE_FULL), Trouble.UNREACHABLE),
    (sqlite_error(sqlite3.SQLITE_IOERR_FSYNC), Trouble.UNREACHABLE),
    (sqlite_error(sqlite3.SQLITE_TOOBIG), Trouble.DATA),
    (sqlite_error(sqlite3.SQLITE_ERROR, "no such table: x"), Trouble.SCHEMA),
    (sqlite_error(sqlite3.SQLITE_ERROR, "near x"), Trouble.OTHER),
    (OverflowError("Python int too large"), Trouble.DATA),
    (postgresql_error("40001"), Trouble.CONFLICT),
    (postgresql_error("40P01"), Trouble.CONFLICT),
    (postgresql_error("55P03"), Trouble.CONFLICT),
    (postgresql_error("22001"), Trouble.DATA),
    (postgresql_error("54000"), Trouble.DATA),
    (postgresql_error("42P01"), Trouble.SCHEMA),
    (postgresql_error("3D000"), Trouble.DATABASE),
    (psycopg.OperationalError('connection failed: FATAL:  database "no" does not exist'), Trouble.DATABASE),
    (postgresql_error("57P01"), Trouble.UNREACHABLE),
    (postgresql_error("53300"), Trouble.UNREACHABLE),
    (postgresql_error("25006"), Trouble.UNREACHABLE),
    (postgresql_error("42601"), Trouble.OTHER),
    (psycopg.OperationalError("the connection is closed"), Trouble.UNREACHABLE),
    (psycopg.DataError("PostgreSQL text fields cannot contain NUL"), Trouble.DATA),
    (pymysql.err.OperationalError(1213, "Deadlock found"), Trouble.CONFLICT),
    (pymysql.err.OperationalError(1205, "Lock wait timeout"), Trouble.CONFLICT),
    (pymysql.err.IntegrityError(1062, "Duplicate entry"), Trouble.CONFLICT),
    (pymysql.err.DataError(1406, "Data too long"), Trouble.DATA),
    (pymysql.err.ProgrammingError(1146, "no table"), Trouble.SCHEMA),
    (pymysql.err.OperationalError(1049, "Unknown database 'no'"), Trouble.DATABASE),
    (pymysql.err.OperationalError(2013, "Lost connection"), Trouble.UNREACHABLE),
    (pymysql.err.InterfaceError(0, ""), Trouble.UNREACHABLE),
    (pymysql.err.ProgrammingError(1064, "syntax"), Trouble.OTHER),
    (ConnectionResetError("reset"), Trouble.UNREACHABLE),
    (ValueError("ours"), Trouble.OTHER),
]


@pytest.mark.parametrize(("error", "trouble"), ERRORS, ids=[f"{type(error).__name__} {error}"[:40] for error, _ in ERRORS])
def test_a_drivers_error_is_understood(error: BaseException, trouble: Trouble) -> None:
    assert diagnose(error) is trouble
    wrapped: Any = DBAPIError("SELECT 1", None, error)
    assert diagnose(wrapped) is trouble


@pytest.mark.parametrize("server", [POSTGRESQL, MYSQL])
def test_a_database_that_does_not_exist_is_to_be_created_first(server: str) -> None:
    url = sqlalchemy.make_url(server).set(database=f"no_{uuid.uuid4().hex}").render_as_string(hide_password=False)
    with sql_database(parse(server).get_backend_name().replace("mysql", "mariadb"), Path()):  # skips where there is no server
        for question in (open_store, schema.check, schema.upgrade):
            with pytest.raises(
                StoreUnavailableError, match=r"there is no such database on that server: .* Create it first"
            ) as found:
                question(url)
            assert "db upgrade" not in str(found.value)


def test_a_schema_that_does_not_exist_is_to_be_created_first() -> None:
    with sql_database("postgresql", Path()):  # skips where there is no server
        url = sqlalchemy.make_url(POSTGRESQL).update_query_dict({"options": f"-csearch_path=no_{uuid.uuid4().hex}"})
        with pytest.raises(SchemaError, match=r"has none of the schemas .* Create the schema first") as found:
            schema.upgrade(url.render_as_string(hide_password=False))
    assert "db upgrade" not in str(found.value)


def test_driver_errors_become_ours_and_others_pass() -> None:
    with pytest.raises(StoreUnavailableError, match=r"x\.db cannot serve right now"), translated("sqlite:///x.db"):
        raise sqlite_error(sqlite3.SQLITE_IOERR)
    with pytest.raises(SchemaError), translated("sqlite:///x.db"):
        raise sqlalchemy.exc.OperationalError("SELECT secret", {"a": "secret"}, sqlite_error(1, "no such table: x"))
    with pytest.raises(KeyError), translated("sqlite:///x.db"):
        raise KeyError("ours")
    with pytest.raises(SchemaError, match="already ours"), translated("sqlite:///x.db"):
        raise SchemaError("already ours")


def test_an_error_of_the_way_to_the_database_is_one_line_and_says_what_to_look_at() -> None:
    refused = psycopg.OperationalError("Connection refused\n\tIs the server running on that host?")
    assert str(flow_error(refused, "postgresql://host/db")) == (
        "postgresql://host/db cannot serve right now: OperationalError: Connection refused Is the server running on that host? "
        "Check that the server runs and that URL, user and password are right."
    )
    full = sqlite_error(sqlite3.SQLITE_FULL, "database or disk is full")
    assert "Check the path, the permissions and the room on the disk" in str(flow_error(full, "sqlite:///x.db"))
    deadlock = flow_error(postgresql_error("40P01"), "postgresql://host/db")
    assert str(deadlock).endswith("the server's words."), "which is nobody's to mend"


def test_an_error_shows_neither_the_statement_nor_its_values() -> None:
    wrapped: Any = DBAPIError("SELECT statement", {"a": "value"}, sqlite_error(sqlite3.SQLITE_ERROR, "near x"))
    error = flow_error(wrapped, "sqlite:///x.db")

    assert type(error) is StoreError
    assert "near x" in str(error)
    assert "statement" not in str(error)
    assert "value" not in str(error)
