"""From a URL to an SQLAlchemy engine whose connections are set up: autocommit, timeouts, pragmas, collations."""

from __future__ import annotations

import sqlite3
from importlib import import_module
from typing import Any
from urllib.parse import quote_plus

import sqlalchemy
from sqlalchemy import URL, Engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import QueuePool, StaticPool

from flowdsl.errors import ConfigurationError, MissingExtraError

CONNECT_TIMEOUT = 5
"""Seconds."""
STATEMENT_TIMEOUT = 30
"""Seconds: a server that does not answer is given up, and the connection with it."""
IDLE_TRANSACTION_TIMEOUT = 5
"""Seconds after which a server ends a transaction whose process has fallen silent (stopped, unplugged): until then it holds rows
that others need to free its claims. Ours never pause for long."""
KEEPALIVES = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 4}
"""Whether a server is still there that has taken a statement and says nothing is asked after 10 s, and given up after 30 s: the
system's own answer comes after two hours, for which whoever commits, and everybody's commits behind it, would wait."""
LOCK_TIMEOUT = 5
"""Seconds to wait for a row that somebody else holds; then the group is tried again."""
BUSY_TIMEOUT = 30
"""Seconds that SQLite waits for another process's writer."""
POOL_SIZE = 10
POOL_OVERFLOW = 40

SECRETS = ("password", "passwd", "sslpassword", "ssl_key_password")
"""Parts of a URL's query that the drivers take for passwords."""
HIDDEN = "***"

DRIVERS = {"postgresql": ("psycopg", "postgresql"), "mysql": ("pymysql", "mysql"), "mariadb": ("pymysql", "mysql")}
"""Backend: the driver (also the name of its module) and the extra that installs it."""


def parse(url: str) -> URL:
    """The URL with its driver. Raises ConfigurationError, MissingExtraError."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the latter for a port that is no number
        raise ConfigurationError(
            "the store's URL cannot be read.", remedy="Write e.g. sqlite:///orders.db or postgresql+psycopg://user@host/database."
        ) from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return parsed.set(drivername="sqlite+pysqlite")
    if backend not in DRIVERS:
        raise ConfigurationError(
            f"flowdsl_sql has no database {backend!r}.", remedy="It speaks sqlite, postgresql, mysql and mariadb."
        )
    driver, extra = DRIVERS[backend]
    if "+" in parsed.drivername and parsed.drivername != f"{backend}+{driver}":
        raise ConfigurationError(
            f"flowdsl_sql does not speak through {parsed.drivername!r}.", remedy=f"Write {backend}+{driver}://..."
        )
    try:
        import_module(driver)
    except ImportError as error:
        raise MissingExtraError(f"{backend} needs {driver}.", remedy=f"pip install 'flowdsl[{extra}]'") from error
    return parsed.set(drivername=f"{backend}+{driver}")


def shown(url: URL) -> str:
    """The URL as people may see it."""
    secret = [name for name in url.query if name.lower() in SECRETS]
    text = url.update_query_pairs([(name, HIDDEN) for name in secret]).render_as_string(hide_password=True)
    return text.replace(quote_plus(HIDDEN), HIDDEN)


def connect(url: URL) -> Engine:
    """An engine, not yet connected. In: a URL from `parse`."""
    backend = url.get_backend_name()
    if backend == "sqlite":
        return _sqlite(url)
    if backend == "postgresql":
        return _postgresql(url)
    return _mysql(url)


def connect_for_users(url: URL) -> Engine:
    """An engine for transactions that users write in: with the server's ordinary settings where ours are for our statements."""
    if url.get_backend_name() != "postgresql":
        return connect(url)
    given = url.query.get("options", "")
    arguments: dict[str, Any] = {
        "options": f"-c default_transaction_isolation=read\\ committed {given if isinstance(given, str) else given[0]}".strip(),
        "connect_timeout": CONNECT_TIMEOUT,
        "tcp_user_timeout": STATEMENT_TIMEOUT * 1000,
        **KEEPALIVES,
        "application_name": "flowdsl",
    }
    arguments = {name: value for name, value in arguments.items() if name == "options" or name not in url.query}
    return _engine(url.difference_update_query(["options"]), max_overflow=POOL_OVERFLOW, connect_args=arguments)


def in_memory(url: URL) -> bool:
    """Whether it is an SQLite database that lives in this process only."""
    return url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:")


def _engine(url: URL, **arguments: Any) -> Engine:
    try:
        return sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", pool_reset_on_return=None, **arguments)
    except NoSuchModuleError as error:
        raise ConfigurationError(f"SQLAlchemy does not know {url.drivername!r}.") from error


def _sqlite(url: URL) -> Engine:
    arguments: dict[str, Any] = {"check_same_thread": False, "timeout": BUSY_TIMEOUT, "cached_statements": 256}
    if in_memory(url):
        engine = _engine(url, poolclass=StaticPool, connect_args=arguments)
    else:
        engine = _engine(
            url,
            poolclass=QueuePool,
            pool_size=POOL_SIZE,
            max_overflow=POOL_OVERFLOW,
            pool_timeout=BUSY_TIMEOUT,
            connect_args=arguments,
        )

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: object) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT * 1000}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.close()

    return engine


def _postgresql(url: URL) -> Engine:
    # one plan per statement: planning anew takes longer than what most statements do
    settings = {
        "lock_timeout": f"{LOCK_TIMEOUT}s",
        "statement_timeout": f"{STATEMENT_TIMEOUT}s",
        "plan_cache_mode": "force_generic_plan",
        "enable_seqscan": "off",  # every statement has its index, and a plan made for an empty table would not use it
        "jit": "off",
        "default_transaction_isolation": "read\\ committed",
        "idle_in_transaction_session_timeout": f"{IDLE_TRANSACTION_TIMEOUT}s",
    }
    given = url.query.get("options", "")
    options = " ".join(
        [*(f"-c {name}={value}" for name, value in settings.items()), given if isinstance(given, str) else given[0]]
    )
    arguments: dict[str, Any] = {
        "options": options.strip(),
        "connect_timeout": CONNECT_TIMEOUT,
        "tcp_user_timeout": STATEMENT_TIMEOUT * 1000,
        **KEEPALIVES,
        "application_name": "flowdsl",
    }
    arguments = {name: value for name, value in arguments.items() if name == "options" or name not in url.query}
    engine = _engine(
        url.difference_update_query(["options"]),
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        pool_use_lifo=True,
        connect_args=arguments,
    )
    return engine


def _mysql(url: URL) -> Engine:
    mariadb = url.get_backend_name() == "mariadb"
    collation = "utf8mb4_nopad_bin" if mariadb else "utf8mb4_0900_bin"
    settings = (
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, "
        f"innodb_lock_wait_timeout = {LOCK_TIMEOUT}, time_zone = '+00:00', "
        f"/*M! idle_transaction_timeout = {IDLE_TRANSACTION_TIMEOUT}, */ "  # MariaDB reads this, MySQL has no such setting
        "sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'"
    )
    level, _, session = settings.partition(", ")
    arguments = {
        "connect_timeout": CONNECT_TIMEOUT,
        "read_timeout": STATEMENT_TIMEOUT,
        "write_timeout": STATEMENT_TIMEOUT,
        "charset": "utf8mb4",
        "collation": collation,
    }
    engine = _engine(
        url, pool_size=POOL_SIZE, max_overflow=POOL_OVERFLOW, pool_use_lifo=True, pool_recycle=1800, connect_args=arguments
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(level)
            cursor.execute(f"SET SESSION {session}")

    return engine
