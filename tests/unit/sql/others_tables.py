"""Somebody else's table, for the tests of the sources that read it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import Column, Connection, DateTime, Integer, MetaData, String, Table

from flowdsl.model.reading import header
from flowdsl.ports.connector_source import ConnectorReader, ConnectorSource
from flowdsl.testing.clock import ManualClock
from flowdsl_sql.connect import parse
from flowdsl_sql.table_log import SqlLogSource
from flowdsl_sql.table_queue import SqlQueueSource
from tests.services import SQL_DATABASES, sql_database

NOW = timedelta(0)
SECOND = timedelta(seconds=1)
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


class Owner:
    """The service whose table it is."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = sqlalchemy.create_engine(parse(url))
        self.clock = ManualClock()
        self.table = Table(
            f"orders_{uuid.uuid4().hex[:8]}",
            MetaData(),
            Column("id", Integer, primary_key=True),
            Column("code", String(50), unique=True),
            Column("name", String(50)),
            Column("happened", DateTime),
            Column("handled", DateTime),
            mysql_engine="InnoDB",
        )
        self.table.create(self.engine)

    def write(self, *ids: int, connection: Connection | None = None) -> None:
        rows = [{"id": number, "code": f"c-{number:04}", "name": f"o-{number}"} for number in ids]
        if connection is not None:
            connection.execute(self.table.insert(), rows)
            return
        with self.engine.begin() as own:
            own.execute(self.table.insert(), rows)

    def rows(self) -> list[tuple[int, datetime | None]]:
        with self.engine.connect() as connection:
            query = sqlalchemy.select(self.table.c.id, self.table.c.handled).order_by(self.table.c.id)
            return [(row.id, row.handled) for row in connection.execute(query)]

    def log(self, url: str | None = None, **options: Any) -> SqlLogSource:
        options = {"key": "id", "foreign_id": header("name"), "clock": self.clock, **options}
        return SqlLogSource(url or self.url, self.table.name, **options)

    def queue(self, url: str | None = None, **options: Any) -> SqlQueueSource:
        options = {"key": "id", "foreign_id": header("name"), "clock": self.clock, **options}
        return SqlQueueSource(url or self.url, self.table.name, **options)


@pytest.fixture(scope="module", params=SQL_DATABASES)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with sql_database(request.param, tmp_path_factory.mktemp("sources")) as found:
        yield found


@pytest.fixture
def owner(url: str) -> Iterator[Owner]:
    made = Owner(url)
    yield made
    made.engine.dispose()


@pytest.fixture
def opened() -> Iterator[Callable[..., ConnectorReader]]:
    readers: list[ConnectorReader] = []

    def open_(source: ConnectorSource, name: str = "courier") -> ConnectorReader:
        readers.append(source.open(name))
        return readers[-1]

    yield open_
    for reader in readers:
        reader.close()


Opened = Callable[..., ConnectorReader]


def look(owner: Owner, reader: ConnectorReader, limit: int = 100) -> list[str]:
    """What a look that is due brings, by event id."""
    owner.clock.advance(SECOND)
    return ids(reader.receive(limit, NOW))


def ids(events: Any) -> list[str]:
    return [event.event_id for event in events]
