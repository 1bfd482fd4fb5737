"""The servers that tests may use: whether they are there, and a private corner of each.

At home a missing server skips its tests; with FLOWDSL_REQUIRE_SERVICES=1, as in CI, it fails them.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import pytest
import sqlalchemy
from sqlalchemy import URL, make_url
from sqlalchemy.pool import NullPool

POSTGRESQL = os.environ.get("FLOWDSL_TEST_POSTGRESQL", "postgresql+psycopg://root@127.0.0.1:5432/test")
MYSQL = os.environ.get("FLOWDSL_TEST_MYSQL", "mysql+pymysql://root@127.0.0.1:3306/test")
RABBITMQ = os.environ.get("FLOWDSL_TEST_RABBITMQ", "amqp://guest:guest@127.0.0.1:5672//")
REDIS = os.environ.get("FLOWDSL_TEST_REDIS", "redis://127.0.0.1:6379/5")
SQL_DATABASES = ("sqlite", "postgresql", "mariadb")


def services_required() -> bool:
    return os.environ.get("FLOWDSL_REQUIRE_SERVICES", "") not in ("", "0")


def missing(what: str, why: object) -> NoReturn:
    """A server is not there."""
    text = f"no {what}: {why}"
    if services_required():
        pytest.fail(f"{text} (FLOWDSL_REQUIRE_SERVICES is set)")
    pytest.skip(text)


@cache
def _absence(url: str) -> str | None:
    """Why a database server cannot be used; None: it can."""
    try:
        _execute(make_url(url), "SELECT 1")
    except (sqlalchemy.exc.SQLAlchemyError, ImportError) as error:
        return str(error).partition("\n")[0]
    return None


def _execute(url: URL, *statements: str) -> None:
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool, connect_args={"connect_timeout": 3})
    try:
        with engine.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
    finally:
        engine.dispose()


@contextmanager
def postgresql_schema() -> Generator[str]:
    """The URL of a schema of its own, dropped at the end."""
    if why := _absence(POSTGRESQL):
        missing("PostgreSQL", why)
    url, name = make_url(POSTGRESQL), f"t_{uuid.uuid4().hex}"
    _execute(url, f"CREATE SCHEMA {name}")
    try:
        yield url.update_query_dict({"options": f"-csearch_path={name}"}).render_as_string(hide_password=False)
    finally:
        _execute(url, f"DROP SCHEMA {name} CASCADE")


@contextmanager
def mariadb_database() -> Generator[str]:
    """The URL of a database of its own, dropped at the end."""
    if why := _absence(MYSQL):
        missing("MariaDB", why)
    url, name = make_url(MYSQL), f"t_{uuid.uuid4().hex}"
    _execute(url, f"CREATE DATABASE {name}")
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        _execute(url, f"DROP DATABASE {name}")


@contextmanager
def sql_database(kind: str, folder: Path) -> Generator[str]:
    """The URL of an empty database: one of SQL_DATABASES."""
    if kind == "sqlite":
        yield f"sqlite:///{folder / f'{uuid.uuid4().hex}.db'}"
        return
    with postgresql_schema() if kind == "postgresql" else mariadb_database() as url:
        yield url


def broker(url: str) -> str:
    """A broker's URL, if something listens there."""
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 0), timeout=3).close()
    except OSError as error:
        missing(parts.scheme, error)
    return url


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def wait_for_port(port: int, process: subprocess.Popen[bytes], seconds: float = 30.0) -> None:
    """Until something listens there. Raises when the process has ended, or the time is over."""
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                raise
            time.sleep(0.02)


class OwnRedis:
    """A Redis server of a test's own, that may be emptied, stopped and started again."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("redis-server") is None:
            missing("redis-server", "the command is not installed")
        self._folder = folder
        self._port = free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self.start()

    def start(self) -> None:
        command = ["redis-server", "--port", str(self._port), "--bind", "127.0.0.1", "--dir", str(self._folder), "--save", ""]
        self._process = subprocess.Popen([*command, "--appendonly", "yes"], stdout=subprocess.DEVNULL)
        wait_for_port(self._port, self._process)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=30)


@contextmanager
def own_redis(folder: Path) -> Generator[OwnRedis]:
    server = OwnRedis(folder)
    try:
        yield server
    finally:
        server.stop()


class OwnEtcd:
    """An etcd of a test's own, in a folder, that may be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("etcd") is None:
            missing("etcd", "the command is not installed (Debian: etcd-server)")
        self._folder = folder
        self._port, self._peers = free_port(), free_port()
        self.url = f"etcd://127.0.0.1:{self._port}"
        self.start()

    def start(self) -> None:
        here, peers = f"http://127.0.0.1:{self._port}", f"http://127.0.0.1:{self._peers}"
        command = ["etcd", "--name", "t", "--data-dir", str(self._folder / "etcd"), "--log-level", "error"]
        command += ["--listen-client-urls", here, "--advertise-client-urls", here, "--listen-peer-urls", peers]
        command += ["--initial-advertise-peer-urls", peers, "--initial-cluster", f"t={peers}"]
        self._process = subprocess.Popen([*command, "--unsafe-no-fsync"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for_port(self._port, self._process)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=30)


@contextmanager
def own_etcd(folder: Path) -> Generator[OwnEtcd]:
    server = OwnEtcd(folder)
    try:
        yield server
    finally:
        server.stop()
