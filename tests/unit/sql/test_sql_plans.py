"""PostgreSQL plans a statement once a connection, often with the tables nearly empty: the plan must be good for full ones."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowdsl_sql.database import Session
from flowdsl_sql.plain_commit import PlainCommit
from flowdsl_sql.postgresql_writer import MOVE_RUNS
from flowdsl_sql.record_store import SqlRecordStore, open_store
from tests.services import sql_database


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlRecordStore]:
    with sql_database("postgresql", tmp_path) as url:
        store = open_store(url, migrate=True)
        yield store
        store.close()


def plan_of(store: SqlRecordStore, sql: str) -> str:
    """What the server makes of a statement before any row is there."""
    numbers = itertools.count(1)
    text = re.sub("%s", lambda _: f"${next(numbers)}", sql)

    def explain(session: Session) -> str:
        session.cursor.execute("DEALLOCATE ALL")
        session.cursor.execute(f"PREPARE ours AS {text}".encode())
        session.cursor.execute(f"EXPLAIN EXECUTE ours({', '.join(['NULL'] * (next(numbers) - 1))})".encode())
        return "\n".join(row[0] for row in session.cursor.fetchall())

    return store._database.read(explain)


def test_moves_find_their_runs_by_the_primary_key(store: SqlRecordStore) -> None:
    plain = PlainCommit(store._database)
    for sql in (MOVE_RUNS, *plain.move_runs.values()):
        plan = plan_of(store, sql)

        assert "Seq Scan" not in plan
        assert "flowdsl_run_unfinished" not in plan
        # the run's key is looked up for each given row: never one look at all runs for all given rows
        assert re.search(
            r"Index Scan using flowdsl_run_pkey on flowdsl_run o .*\n\s+Index Cond: \(\(run_id\)::text = [vg]\.run_id\)", plan
        )
        assert re.search(r"Tid Scan on flowdsl_run r", plan)


def test_starts_read_no_table(store: SqlRecordStore) -> None:
    for sql in PlainCommit(store._database).start_runs.values():
        assert not re.search(r"Scan (using \w+ )?on flowdsl_", plan_of(store, sql))
