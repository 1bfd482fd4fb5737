"""A database of its own for one measurement, with the library's own tables, dropped at the end."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import sqlalchemy
from sqlalchemy.pool import NullPool

from flowdsl_sql.record_store import open_store

DEFAULT_URLS = {
    "postgresql": "postgresql+psycopg://root@127.0.0.1:5432/test",
    "mysql": "mysql+pymysql://root@127.0.0.1:3306/test",
    "redis": "redis://127.0.0.1:6379/9",
}
STORES = ("memory", "sqlite", "postgresql", "mysql", "redis")


@contextmanager
def scratch(kind: str, url: str | None = None) -> Generator[str]:
    """The URL of an empty store of this kind. `url`: the server to make it on, instead of the one on the standard port; for
    SQLite, the file beside which it is made, instead of the folder for temporary files. Raises SystemExit for the URL of another
    kind."""
    name = f"bench_{uuid.uuid4().hex[:12]}"
    server = sqlalchemy.make_url(url or DEFAULT_URLS.get(kind, f"{kind}://"))
    if server.get_backend_name().replace("mariadb", "mysql") != kind:
        raise SystemExit(f"--url is not of {kind}")
    if kind == "memory":
        yield f"memory://{name}"
        return
    if kind == "redis":
        address = (url or DEFAULT_URLS[kind]).partition("?")[0]
        try:
            yield f"{address}?prefix={name}"
        finally:
            _remove_keys(address, f"{{{name}}}*")
        return
    if kind == "sqlite":
        beside = os.path.dirname(os.path.abspath(server.database)) if server.database else None
        with tempfile.TemporaryDirectory(prefix="flowdsl-bench-", dir=beside) as folder:
            yield _migrated(f"sqlite:///{folder}/bench.db")
        return
    if kind == "postgresql":
        _execute(server, f"CREATE SCHEMA {name}")
        own = server.update_query_dict({"options": f"-csearch_path={name}"})
        drop = f"DROP SCHEMA {name} CASCADE"
    else:
        _execute(server, f"CREATE DATABASE {name}")
        own = server.set(database=name)
        drop = f"DROP DATABASE {name}"
    try:
        yield _migrated(own.render_as_string(hide_password=False))
    finally:
        _execute(server, drop)


def _migrated(url: str) -> str:
    open_store(url, migrate=True).close()
    return url


def _remove_keys(address: str, pattern: str) -> None:
    import redis

    client: Any = redis.Redis.from_url(address)
    for key in client.scan_iter(pattern, count=1000):
        client.delete(key)
    client.close()


def _execute(url: sqlalchemy.URL, statement: str) -> None:
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)
    engine.dispose()
