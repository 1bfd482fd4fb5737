"""A plain connection of the driver, durable as the library's own are."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import sqlalchemy


@contextmanager
def open_driver(url: str) -> Generator[Any]:
    """The DBAPI connection of a scratch database, in transactions of READ COMMITTED; SQLite: WAL, synchronous=FULL."""
    engine = sqlalchemy.create_engine(url)
    try:
        with engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            cursor = driver.cursor()
            backend = engine.dialect.name
            if backend == "sqlite":
                cursor.execute("PRAGMA journal_mode = WAL")
                cursor.execute("PRAGMA synchronous = FULL")
            elif backend != "postgresql":
                cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
            driver.commit()
            yield driver
    finally:
        engine.dispose()
