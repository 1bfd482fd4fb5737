"""Processes are killed with kill -9 in the middle of their work: nothing is lost, and every transition is stored once."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from examples.order_processor.services import Services
from examples.order_processor.workflow import OrderStatus, build
from flowdsl.model.history import Cause
from flowdsl.model.query import Cursor, Order, RunQuery
from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState
from flowdsl.ports.record_store import RecordStore
from flowdsl_sql.record_store import open_store
from tests.services import sql_database

ROOT = Path(__file__).parent.parent.parent
KILLS = 5
ORDERS = 1000
SEED = int(os.environ.get("FLOWDSL_KILL_SEED", "20301"))
ENDS = {OrderStatus.SHIPPED, OrderStatus.REJECTED, OrderStatus.DECLINED, OrderStatus.REFUNDED}


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with sql_database(request.param, tmp_path) as where:
        open_store(where, migrate=True).close()
        yield where


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "payments.db"
    with Services(path) as services:
        services.balance()  # so that it can be watched from the first moment
    return path


def example(url: str, ledger: Path) -> subprocess.Popen[str]:
    where = ["--store", url, "--ledger", str(ledger)]
    command = [sys.executable, "-m", "examples.order_processor", *where, "--call-ms", "4", "--json"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def kill_when_booked(process: subprocess.Popen[str], ledger: Path, entries: int) -> None:
    """Kill it once the payment provider has booked so much: by what it did, not by how long it took."""
    end = time.monotonic() + 60
    with closing(sqlite3.connect(ledger, timeout=30)) as connection:
        while connection.execute("SELECT count(*) FROM entry").fetchone()[0] < entries:
            if process.poll() is not None or time.monotonic() > end:
                process.kill()
                pytest.fail(f"no {entries} payments (exit code {process.returncode}): {process.communicate()[1]}")
            time.sleep(0.005)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def finished(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What it printed at its end, which has to be a good one."""
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    said: dict[str, Any] = json.loads(out)
    assert said["unfinished"] == 0
    return said


def all_runs(store: RecordStore) -> list[RunRecord]:
    runs: list[RunRecord] = []
    after: Cursor | None = None
    while True:
        page = store.runs(RunQuery(order=Order.OLDEST_FIRST, limit=500, after=after))
        runs += page.runs
        if (after := page.next) is None:
            return runs


def assert_nothing_was_lost_or_done_twice(url: str, ledger: Path) -> None:
    workflow = build(Services(ledger))
    edges = {(edge.source, edge.target) for edge in workflow.graph.edges}
    with closing(open_store(url)) as store:
        runs = all_runs(store)
        assert Counter(run.foreign_id for run in runs) == Counter(f"order-{n:05d}" for n in range(1, ORDERS + 1))
        for run in runs:
            history = store.history(run.run_id)
            assert [row.version for row in history] == list(range(1, run.version + 1)), "gapless"
            assert (history[0].cause, history[0].from_status, history[0].to_status) == (Cause.TRIGGER, None, OrderStatus.RECEIVED)
            assert all(later.from_status == row.to_status for row, later in itertools.pairwise(history)), "one chain"
            assert all(later.from_state == row.to_state for row, later in itertools.pairwise(history))
            assert {row.cause for row in history[1:]} == {Cause.STEP}
            moves = [(row.from_status, row.to_status) for row in history[1:]]
            if run.state is RunState.CANCELLED:
                assert moves == [(OrderStatus.RECEIVED, OrderStatus.RECEIVED)]
            else:
                assert run.state is RunState.COMPLETED
                assert run.status in ENDS
                assert set(moves) <= edges
                assert len(moves) == len(set(moves)), "each transition exactly once"
            assert (history[-1].to_status, history[-1].to_state) == (run.status, run.state)
            assert len(store.rows([run.run_id])) == 0, "nothing waits for a run that has ended"
        objects = [workflow.codec.decode(run.payload).object for run in runs]
    with closing(sqlite3.connect(ledger)) as connection:
        booked = connection.execute("SELECT what || '-' || id, order_id, what, cents FROM entry").fetchall()
    in_ledger = {(order_id, what): (receipt, cents) for receipt, order_id, what, cents in booked}
    assert len(in_ledger) == len(booked), "nobody was charged or refunded twice"
    assert in_ledger == {
        (order.order_id, what): (receipt, order.cents)
        for order in objects
        for what, receipt in (("charge", order.payment_id), ("refund", order.refund_id))
        if receipt is not None
    }, "what was booked is what the orders know of"


def test_the_example_killed_five_times_ends_with_every_order_done_and_every_transition_once(url: str, ledger: Path) -> None:
    moments = sorted(random.Random(SEED).sample(range(20, 800), KILLS))
    print(f"FLOWDSL_KILL_SEED={SEED}: killed after {moments} bookings")
    for moment in moments:
        kill_when_booked(example(url, ledger), ledger, moment)

    said = finished(example(url, ledger))

    assert said["started"] + said["found"] == ORDERS  # a kill may come before the last batch is triggered
    assert said["found"] > 0
    assert_nothing_was_lost_or_done_twice(url, ledger)


def test_of_two_processes_that_share_the_orders_one_is_killed_and_the_other_finishes(url: str, ledger: Path) -> None:
    moment = random.Random(SEED).randrange(100, 500)
    print(f"FLOWDSL_KILL_SEED={SEED}: one of two killed after {moment} bookings")
    survivor = example(url, ledger)
    try:
        kill_when_booked(example(url, ledger), ledger, moment)
        finished(survivor)
    finally:
        survivor.kill()
        survivor.communicate()
    assert_nothing_was_lost_or_done_twice(url, ledger)


def test_sigterm_lets_running_steps_finish_and_the_next_start_goes_on(tmp_path: Path, ledger: Path) -> None:
    url = f"sqlite:///{tmp_path / 'orders.db'}"
    process = example(url, ledger)
    with closing(sqlite3.connect(ledger, timeout=30)) as connection:
        while connection.execute("SELECT count(*) FROM entry").fetchone()[0] < 50 and process.poll() is None:
            time.sleep(0.005)
    process.terminate()
    _, err = process.communicate(timeout=60)

    assert (process.returncode, "Start it again" in err) == (130, True), err
    with closing(open_store(url)) as store:
        ids = [run.run_id for run in all_runs(store)]
        rows = store.rows(ids)
    assert len(rows) > 0, "it was stopped in the middle"
    assert [row for row in rows if row.owner is not None] == [], "and gave back what it had claimed"
    finished(example(url, ledger))
    assert_nothing_was_lost_or_done_twice(url, ledger)
