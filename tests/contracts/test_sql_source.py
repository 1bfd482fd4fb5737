"""Somebody else's tables keep the source's contract: one that only grows, and one that is a queue."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy import Column, DateTime, Integer, LargeBinary, MetaData, String, Table

from flowdsl.model.event import ConnectorEvent
from flowdsl.model.reading import header
from flowdsl.ports.connector_source import ConnectorSource
from flowdsl.testing.contracts import ConnectorSourceContract
from flowdsl_sql.connect import parse
from flowdsl_sql.table_log import SqlLogSource
from flowdsl_sql.table_queue import SqlQueueSource
from tests.services import SQL_DATABASES, sql_database


@pytest.fixture(scope="module", params=SQL_DATABASES)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("source")
    with sql_database(request.param, folder) as found:
        yield found


def written(url: str, events: Sequence[ConnectorEvent]) -> str:
    """The name of a table that its owner made and wrote these into."""
    table = Table(
        f"orders_{uuid.uuid4().hex[:8]}",
        MetaData(),
        Column("id", Integer, primary_key=True),
        Column("event_id", String(50)),
        Column("foreign_id", String(50)),
        Column("type", String(50)),
        Column("n", String(50)),
        Column("body", LargeBinary),
        Column("happened", DateTime),
        Column("handled", DateTime),
    )
    engine = sqlalchemy.create_engine(parse(url))
    with engine.begin() as connection:
        table.create(connection)
        for event in events:
            connection.execute(
                table.insert().values(
                    event_id=event.event_id,
                    foreign_id=event.foreign_id,
                    type=event.type,
                    n=event.headers["n"],
                    body=event.body,
                    happened=event.created_at.replace(tzinfo=None),
                )
            )
    engine.dispose()
    return table.name


class TestSqlLogSource(ConnectorSourceContract):
    @pytest.fixture
    def seeded(self, url: str) -> Callable[[Sequence[ConnectorEvent]], ConnectorSource]:
        def make(events: Sequence[ConnectorEvent]) -> ConnectorSource:
            return SqlLogSource(
                url,
                written(url, events),
                key="id",
                event_id=header("event_id"),
                foreign_id=header("foreign_id"),
                body_column="body",
                time_column="happened",
            )

        return make


class TestSqlQueueSource(ConnectorSourceContract):
    @pytest.fixture(params=["deleted", "marked"])
    def seeded(self, url: str, request: pytest.FixtureRequest) -> Callable[[Sequence[ConnectorEvent]], ConnectorSource]:
        def make(events: Sequence[ConnectorEvent]) -> ConnectorSource:
            return SqlQueueSource(
                url,
                written(url, events),
                key="id",
                mark="handled" if request.param == "marked" else None,
                event_id=header("event_id"),
                foreign_id=header("foreign_id"),
                body_column="body",
                time_column="happened",
            )

        return make
