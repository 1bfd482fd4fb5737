"""A schedule of every second, fired by processes that are killed with kill -9 again and again: every slot starts one run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from flowdsl import Engine
from flowdsl.model.query import Cursor, Order, RunQuery
from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState
from flowdsl.ports.record_store import RecordStore
from flowdsl_sql.record_store import open_store
from tests.services import sql_database

WORKERS = 3
KILLS = int(os.environ.get("FLOWDSL_KILLS", "8"))
SEED = int(os.environ.get("FLOWDSL_KILL_SEED", "1"))
SECOND = timedelta(seconds=1)

CLOCK = """
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from signal import pause

from flowdsl import Engine, IfRunning, Misfire, Run, Workflow


class Status(StrEnum):
    DUE = "due"
    RUNG = "rung"


@dataclass
class Bell:
    at: str


clock = Workflow("clock", object_type=Bell, status_type=Status)


@clock.step(from_=Status.DUE, to=Status.RUNG)
def ring(run: Run[Bell, Status]) -> Status:
    return Status.RUNG


@clock.schedule("* * * * * *", foreign_id="bell", misfire=Misfire.ALL, max_catch_up=1000, if_running=IfRunning.ALLOW)
def tick(fire_time: datetime) -> Bell:
    return Bell(fire_time.isoformat())


if __name__ == "__main__":
    quick = {"beat": timedelta(milliseconds=200), "lapse": timedelta(seconds=1), "lease": timedelta(milliseconds=900)}
    with Engine.from_url(clock, store=sys.argv[1], **quick):
        pause()
"""


@contextmanager
def fleet(folder: Path, url: str) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that work on the clock; none is left at the end."""
    (folder / "clock.py").write_text(CLOCK, "utf-8")
    workers = [start(folder, url) for _ in range(WORKERS)]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def start(folder: Path, url: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "clock.py", url], cwd=folder)


def all_runs(store: RecordStore) -> list[RunRecord]:
    runs: list[RunRecord] = []
    after: Cursor | None = None
    while True:
        page = store.runs(RunQuery(order=Order.OLDEST_FIRST, limit=500, after=after))
        runs += page.runs
        if (after := page.next) is None:
            return runs


def until_runs(store: RecordStore, count: int, patience: float = 60) -> list[RunRecord]:
    """Wait until there are so many."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        runs = all_runs(store)
        if len(runs) >= count:
            return runs
        time.sleep(0.1)
    raise AssertionError(f"{len(all_runs(store))} runs instead of {count}")


def pid_of_the_scheduler(url: str, store: RecordStore) -> int:
    """The process that settled the last slot; 0: it is gone."""
    client = Engine.client(store=url)
    by = client.schedules.journal("clock", "bell")[-1].by
    client.stop()
    return next((instance.pid for instance in store.instances("default") if instance.owner == by), 0)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_workers_are_killed_again_and_again_and_every_second_starts_one_run(tmp_path: Path, kind: str) -> None:
    chance = random.Random(SEED)
    with (
        sql_database(kind, tmp_path) as url,
        closing(open_store(url, migrate=True)) as store,
        fleet(tmp_path, url) as workers,
    ):
        seen = len(until_runs(store, 1))
        for number in range(KILLS):
            seen = len(until_runs(store, seen + chance.randrange(1, 4)))
            time.sleep(chance.random())  # anywhere between two slots
            firing = [worker for worker in workers if worker.pid == pid_of_the_scheduler(url, store)]
            victim = firing[0] if firing and number % 3 else chance.choice(workers)
            victim.send_signal(signal.SIGKILL)
            victim.wait()
            workers.remove(victim)
            workers.append(start(tmp_path, url))
        quiet = store.now()
        while not (runs := all_runs(store)) or datetime.fromisoformat(runs[-1].metadata["slot"]) < quiet:
            until_runs(store, len(runs) + 1)
        until = time.monotonic() + 30
        while any(run.state is not RunState.COMPLETED for run in all_runs(store)[:-3]) and time.monotonic() < until:
            time.sleep(0.2)
        runs = all_runs(store)
    fired = sorted(datetime.fromisoformat(run.metadata["slot"]) for run in runs)
    first, last = fired[0], fired[-1]

    assert [slot for slot, count in Counter(fired).items() if count > 1] == [], "a slot was fired twice"
    assert fired == [first + number * SECOND for number in range((last - first) // SECOND + 1)], "a slot was lost"
    assert last >= quiet
    assert {run.foreign_id for run in runs} == {f"bell@{slot.isoformat().replace('+00:00', 'Z')}" for slot in fired}
    assert {run.state for run in runs[:-3]} == {RunState.COMPLETED}
