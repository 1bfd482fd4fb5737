"""The tables and their version."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.dialects import mysql
from sqlalchemy.schema import CreateIndex, CreateTable

from flowdsl.errors import SchemaError
from flowdsl_sql import mysql_writer, schema
from flowdsl_sql.connect import parse
from flowdsl_sql.database import Database
from flowdsl_sql.record_store import open_store
from flowdsl_sql.role_scheduler import open_roles
from flowdsl_sql.tables import VERSION_TABLE, metadata_for
from tests.services import SQL_DATABASES, sql_database

MYSQL8 = Path(__file__).with_name("mysql8.sql")


@pytest.fixture(params=SQL_DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with sql_database(request.param, tmp_path) as found:
        yield found


def test_the_migrations_make_what_the_code_expects(url: str) -> None:
    schema.upgrade(url)

    database = Database(parse(url), None)
    database.prepare()
    with database.engine.connect() as connection:
        options: dict[str, Any] = {"version_table": VERSION_TABLE, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        differences = compare_metadata(context, metadata_for(connection.dialect.name))
    database.close()

    assert differences == []


def test_the_newest_migration_is_the_version_that_the_code_asks_for() -> None:
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))

    assert ScriptDirectory.from_config(config).get_heads() == [schema.HEAD]


def test_a_database_without_tables_says_what_to_do(url: str) -> None:
    assert schema.current(url) is None
    with pytest.raises(SchemaError, match=r"has no flowdsl tables. Run `flowdsl db upgrade --store ") as caught:
        schema.check(url)
    assert caught.value.remedy is not None

    schema.upgrade(url)

    schema.check(url)
    assert schema.current(url) == schema.HEAD


def test_opening_makes_the_tables_on_sqlite_and_nowhere_else(url: str) -> None:
    if url.startswith("sqlite"):
        open_store(url).close()
        open_roles(url).close()
    else:
        with pytest.raises(SchemaError):
            open_store(url)
        with pytest.raises(SchemaError):
            open_roles(url)
        open_store(url, migrate=True).close()
        open_roles(url).close()


def test_sqlite_can_be_told_to_leave_the_tables_alone(tmp_path: Path) -> None:
    with pytest.raises(SchemaError):
        open_store(f"sqlite:///{tmp_path / 'new.db'}", migrate=False)


def test_tables_of_an_older_version_are_refused_and_those_of_a_newer_are_used(url: str) -> None:
    schema.upgrade(url)
    _set_version(url, "0000")
    with pytest.raises(SchemaError, match="version 0000, this code needs"):
        schema.check(url)

    _set_version(url, "9999")
    open_store(url).close()
    schema.upgrade(url)
    assert schema.current(url) == "9999"


def _set_version(url: str, version: str) -> None:
    engine = sqlalchemy.create_engine(parse(url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("UPDATE flowdsl_version SET version_num = :version"), {"version": version})
    engine.dispose()


@pytest.mark.slow
def test_of_five_processes_that_upgrade_at_once_one_does_and_none_fails(url: str) -> None:
    code = "import sys; from flowdsl_sql import schema; schema.upgrade(sys.argv[1])"
    running = [subprocess.Popen([sys.executable, "-c", code, url]) for _ in range(5)]

    assert [process.wait(timeout=60) for process in running] == [0] * 5
    schema.check(url)


@pytest.mark.parametrize("backend", ["sqlite://", "postgresql://", "mysql://", "mariadb://"])
def test_the_statements_can_be_read_without_a_database(backend: str) -> None:
    text = schema.upgrade_sql(backend)

    for table in metadata_for(backend.partition(":")[0]).tables:
        assert f"CREATE TABLE {table}" in text
    assert schema.HEAD in text
    assert ("utf8mb4_0900_bin" in text) is backend.startswith("mysql")
    assert ("utf8mb4_nopad_bin" in text) is backend.startswith("mariadb")


def test_mysql_8_gets_the_statements_that_were_reviewed() -> None:
    """No MySQL server is at hand: what it would be sent is compared with a text that was read by people."""
    dialect = mysql.dialect()
    parts = [schema.upgrade_sql("mysql://").strip()]
    for table in metadata_for("mysql").sorted_tables:
        parts.append(str(CreateTable(table).compile(dialect=dialect)).strip())
        parts.extend(
            str(CreateIndex(index).compile(dialect=dialect)) for index in sorted(table.indexes, key=lambda i: str(i.name))
        )
    parts.append(mysql_writer.INSERT_RUNS)
    parts.append(mysql_writer.MOVE_RUNS.format(values=f"{mysql_writer.FIRST} UNION ALL {mysql_writer.NEXT}"))
    parts.append(mysql_writer.UPSERT_ROWS)
    text = "\n\n".join("\n".join(line.rstrip() for line in part.expandtabs(4).splitlines()) for part in parts) + "\n"
    # The oldest SQLAlchemy that is allowed writes these two in either order, by the hash seed.
    text = text.replace(")CHARSET=utf8mb4 ENGINE=InnoDB", ")ENGINE=InnoDB CHARSET=utf8mb4")

    assert text == MYSQL8.read_text()
