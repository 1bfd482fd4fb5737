"""Arrays that flowdsl writes itself are read by PostgreSQL as they were meant."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flowdsl_sql.postgresql_writer import literals, plain_literals
from tests.services import sql_database

COLUMNS = (("a", "text"), ("b", "text"), ("c", "bigint"), ("d", "bytea"))
ODD = "a\"b\\c,{}NULL \n'"
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6) | st.sampled_from(
    [ODD, "", "null", '","', "\\", '"']
)
rows = st.tuples(texts, texts | st.none(), st.integers(-(2**63), 2**63 - 1) | st.none(), st.binary(max_size=5) | st.none())


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[psycopg.Connection[Any]]:
    folder: Path = tmp_path_factory.mktemp("literals")
    with sql_database("postgresql", folder) as url, psycopg.connect(url.replace("+psycopg", "")) as made:
        yield made


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=200)
@given(st.lists(rows, min_size=1, max_size=5))
@example([("x", "y", 1, b"z")] * 3)
@example([("x", None, 1, b"z"), ('","', "y", 2, b"")])
@example([("x", "y", 1, b"z"), (ODD, None, None, None)])
def test_batches_arrive_as_they_are(connection: psycopg.Connection[Any], given_rows: list[tuple[Any, ...]]) -> None:
    found = connection.execute(
        "SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bytea[])", literals(given_rows, COLUMNS)
    ).fetchall()
    assert found == given_rows


class Region(str, Enum):  # noqa: UP042 - unlike a StrEnum, it shows its name
    EU = "eu"


@pytest.mark.parametrize("count", [1, 2])
def test_a_text_with_a_name_arrives_as_the_text(connection: psycopg.Connection[Any], count: int) -> None:
    given_rows = [(Region.EU, None, 1, b"")] * count
    for columns in (literals(given_rows, COLUMNS), [[value] for value in plain_literals(given_rows[0])]):
        found = connection.execute("SELECT * FROM unnest(%s::text[])", columns[:1]).fetchall()
        assert set(found) == {("eu",)}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(rows)
@example((ODD, None, 1, b"\\"))
def test_a_single_row_arrives_as_it_is(connection: psycopg.Connection[Any], row: tuple[Any, ...]) -> None:
    found = connection.execute("SELECT %s::text, %s::text, %s::bigint, %s::bytea", plain_literals(row)).fetchone()
    assert found == row
