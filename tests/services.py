"""The servers that tests may use: whether they are there, and a private corner of each.

At home a missing server skips its tests; with FLOWDSL_REQUIRE_SERVICES=1, as in CI, it fails them.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import pytest
import sqlalchemy
from sqlalchemy import URL, make_url
from sqlalchemy.pool import NullPool

from tests.ports import free_port

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


@contextmanager
def redis_keys() -> Generator[str]:
    """The URL of a Redis with a prefix of its own, whose keys are removed at the end."""
    import redis

    prefix = f"t{uuid.uuid4().hex[:12]}"
    yield f"{broker(REDIS)}?prefix={prefix}"
    with redis.Redis.from_url(REDIS) as client:
        for key in client.scan_iter(f"{{{prefix}}}*", count=1000):
            client.delete(key)


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

    def __init__(self, folder: Path, *options: str) -> None:
        """In: its folder; further options of its command."""
        if shutil.which("redis-server") is None:
            missing("redis-server", "the command is not installed")
        self._folder, self._options = folder, options
        self._port = free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self.start()

    def start(self) -> None:
        command = ["redis-server", "--port", str(self._port), "--bind", "127.0.0.1", "--dir", str(self._folder), "--save", ""]
        self._process = subprocess.Popen([*command, "--appendonly", "yes", *self._options], stdout=subprocess.DEVNULL)
        wait_for_port(self._port, self._process)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=30)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(timeout=30)

    @property
    def ended(self) -> bool:
        """Whether it has ended by itself, or was stopped."""
        return self._process.poll() is not None


@contextmanager
def own_redis(folder: Path, *options: str) -> Generator[OwnRedis]:
    server = OwnRedis(folder, *options)
    try:
        yield server
    finally:
        server.stop()


class OwnRabbitMQ:
    """A RabbitMQ of a test's own, in a folder, that may be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        found = [path for path in Path("/usr/lib/rabbitmq").glob("**/sbin/rabbitmq-server") if path.is_file()]
        if not found:
            missing("rabbitmq-server", "it is not in /usr/lib/rabbitmq")
        self._command = str(found[0])
        self._folder = folder
        self._port = free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self._port}//"
        name = f"t{uuid.uuid4().hex[:12]}@localhost"
        (folder / "enabled_plugins").write_text("[].\n")
        (folder / ".erlang.cookie").write_text(uuid.uuid4().hex)
        (folder / ".erlang.cookie").chmod(0o400)
        self._environment = {
            **os.environ,
            "HOME": str(folder),
            "RABBITMQ_NODENAME": name,
            "RABBITMQ_NODE_PORT": str(self._port),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(folder / "none"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        }
        self.start()

    def start(self) -> None:
        with (self._folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [self._command], env=self._environment, stdout=output, stderr=output, start_new_session=True
            )
        wait_for_port(self._port, self._process, 60)

    def stop(self) -> None:
        """At once, as when the machine loses its power."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(timeout=30)

    @property
    def ended(self) -> bool:
        """Whether it has ended by itself, or was stopped."""
        return self._process.poll() is not None


@contextmanager
def own_rabbitmq(folder: Path) -> Generator[OwnRabbitMQ]:
    server = OwnRabbitMQ(folder)
    try:
        yield server
    finally:
        server.stop()


class OwnPostgreSQL:
    """A PostgreSQL of a test's own, in a folder that its user may write to, that may be stopped and started again."""

    def __init__(self, folder: Path, *options: str) -> None:
        """In: its folder; settings of the server."""
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
        if not found:
            missing("PostgreSQL's own commands", "they are not in /usr/lib/postgresql")
        self._options = [part for option in options for part in ("-c", option)]
        self._bin = found[-1].parent
        self._data = folder / "data"
        self._port = free_port()
        self.url = f"postgresql+psycopg://postgres@127.0.0.1:{self._port}/postgres"
        self._user = pwd.getpwnam("postgres") if os.getuid() == 0 else None
        if self._user is not None:  # it does not run as root
            os.chown(folder, self._user.pw_uid, self._user.pw_gid)
        command = [str(self._bin / "initdb"), "-D", str(self._data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"]
        subprocess.run([*command, "--no-sync"], check=True, stdout=subprocess.DEVNULL, **self._as_user(folder))
        self._folder = folder
        self.start()

    def _as_user(self, folder: Path) -> dict[str, Any]:
        user = self._user
        return {"cwd": folder} if user is None else {"cwd": folder, "user": user.pw_uid, "group": user.pw_gid}

    def start(self) -> None:
        command = [str(self._bin / "postgres"), "-D", str(self._data), "-p", str(self._port), "-k", str(self._data)]
        options = ["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"]
        self._process = subprocess.Popen(
            [*command, *options, *self._options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self._as_user(self._folder),
        )
        wait_for_port(self._port, self._process)
        end = time.monotonic() + 60
        while _absent(self.url):  # it listens before it has recovered
            assert time.monotonic() < end, "PostgreSQL did not come up"
            time.sleep(0.05)

    def stop(self) -> None:
        """At once: what was not on disk is gone, and it recovers when it starts."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(timeout=30)

    @property
    def ended(self) -> bool:
        """Whether it has ended by itself, or was stopped."""
        return self._process.poll() is not None


def _absent(url: str) -> bool:
    try:
        _execute(make_url(url), "SELECT 1")
    except sqlalchemy.exc.SQLAlchemyError:
        return True
    return False


@contextmanager
def own_postgresql() -> Generator[OwnPostgreSQL]:
    # not pytest's folder: its parents are closed to other users
    with tempfile.TemporaryDirectory(prefix="flowdsl-test-", ignore_cleanup_errors=True) as folder:
        server = OwnPostgreSQL(Path(folder))
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def own_sqs() -> Generator[str]:
    """The URL of an SQS of a test's own: a server that speaks its protocol."""
    if importlib.util.find_spec("moto") is None:
        missing("moto", "pip install 'moto[server]'")
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port, process)
        yield f"sqs://key:secret@127.0.0.1:{port}//"
    finally:
        process.terminate()
        process.wait(timeout=30)


KAFKA_CLUSTER = """
import sys
from confluent_kafka import Producer
cluster = Producer({"bootstrap.servers": "none", "test.mock.num.brokers": 1})
brokers = cluster.list_topics(timeout=10).brokers.values()
print(",".join(f"{broker.host}:{broker.port}" for broker in brokers), flush=True)
sys.stdin.read()
"""


@contextmanager
def own_kafka() -> Generator[str]:
    """The URL of a Kafka of a test's own: the cluster that librdkafka has for tests, in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-c", KAFKA_CLUSTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        yield f"kafka://{process.stdout.readline().decode().strip()}"
    finally:
        process.kill()
        process.communicate()
