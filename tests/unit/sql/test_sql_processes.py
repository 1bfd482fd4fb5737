"""Several processes write the same few runs of one database at once."""

from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from flowdsl.model.change import StartRun
from flowdsl.model.history import Cause, Origin
from flowdsl_sql.record_store import open_store
from tests.services import SQL_DATABASES, sql_database

RUNS = 10
CONTENDER = Path(__file__).with_name("contender.py")


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "processes", "commits"), [("sqlite", 6, 300), ("postgresql", 3, 100), ("mariadb", 3, 100)])
def test_no_process_meets_an_error_and_no_update_is_lost(kind: str, processes: int, commits: int, tmp_path: Path) -> None:
    assert kind in SQL_DATABASES
    with sql_database(kind, tmp_path) as url:
        store = open_store(url, migrate=True)
        run_ids = [str(uuid.uuid4()) for _ in range(RUNS)]
        store.commit(
            [
                StartRun(
                    change_id=run_id,
                    namespace="n",
                    workflow="w",
                    run_id=run_id,
                    foreign_id=run_id,
                    status="new",
                    payload=None,
                    origin=Origin(Cause.TRIGGER),
                    row=None,
                )
                for run_id in run_ids
            ]
        )

        command = [sys.executable, str(CONTENDER), url, str(commits), *run_ids]
        running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
        answers = [process.communicate()[0].split(maxsplit=3) for process in running]

        applied, lost, failed = (sum(int(answer[column]) for answer in answers) for column in range(3))
        assert (failed, applied + lost) == (0, processes * commits), answers
        runs = store.lookup(run_ids)
        assert sum(run.version - 1 for run in runs.values()) == applied
        for run_id in run_ids:
            history = store.history(run_id)
            assert [row.version for row in history] == list(range(1, runs[run_id].version + 1))
            assert len({row.change_id for row in history}) == len(history)
        store.close()
