"""Processes are killed with kill -9 in the middle of their work: nothing is lost, and every transition is stored once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from examples.order_processor.services import Services
from examples.order_processor.workflow import build
from flowdsl import Engine
from flowdsl.model.query import Cursor, Order, RunQuery
from flowdsl.model.record import RunRecord
from flowdsl_sql.record_store import open_store
from tests.services import sql_database

ROOT = Path(__file__).parent.parent.parent
KILLS = 5
SEED = int(os.environ.get("FLOWDSL_KILL_SEED", "20301"))


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with sql_database(request.param, tmp_path) as where:
        open_store(where, migrate=True).close()
        yield where


def example(url: str, ledger: Path) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "examples.order_processor",
        "--store",
        url,
        "--ledger",
        str(ledger),
        "--call-ms",
        "4",
        "--json",
    ]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_progress(ledger: Path, lines: int, process: subprocess.Popen[str]) -> None:
    """Until the payment provider has booked so many; the process is killed by what it did, not by how long it took."""
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        if ledger.exists() and ledger.read_bytes().count(b"\n") >= lines:
            return
        time.sleep(0.005)
    pytest.fail(f"no {lines} payments within 60 s (exit code {process.poll()}): {process.stderr and process.stderr.read()}")


def test_the_example_killed_five_times_ends_with_every_order_done_and_every_transition_once(url: str, tmp_path: Path) -> None:
    ledger = tmp_path / "payments.jsonl"
    rng = random.Random(SEED)
    moments = sorted(rng.sample(range(20, 800), KILLS))
    print(f"seed {SEED}: killed after {moments} payments")
    for moment in moments:
        process = example(url, ledger)
        wait_for_progress(ledger, moment, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    process = example(url, ledger)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    assert json.loads(out)["unfinished"] == 0

    workflow = build(Services(tmp_path / "unused.jsonl"))
    edges = {(edge.source, edge.target) for edge in workflow.graph.edges}
    store = open_store(url)
    try:
        runs: list[RunRecord] = []
        after: Cursor | None = None
        while True:
            page = store.runs(RunQuery(order=Order.OLDEST_FIRST, limit=500, after=after))
            runs += page.runs
            if (after := page.next) is None:
                break
        assert Counter(run.foreign_id for run in runs) == Counter(f"order-{n:05d}" for n in range(1, 1001))
        assert all(run.finished for run in runs)
        for run in runs:
            history = store.history(run.run_id)
            assert [row.version for row in history] == list(range(1, run.version + 1))
            moves = [(row.from_status, row.to_status) for row in history[1:] if row.from_status != row.to_status]
            assert set(moves) <= edges
            assert len(moves) == len(set(moves)), "each transition exactly once"
            assert store.rows([run.run_id]) in ([], ())
    finally:
        store.close()
    keys = Counter(json.loads(line)["key"] for line in ledger.read_text().splitlines() if line.endswith("}"))
    assert max(keys.values()) == 1, "nobody was charged twice"


WORKER = """
import sys, time
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from flowdsl import Engine, Run, Workflow

class S(StrEnum):
    A = "a"
    B = "b"

flow = Workflow("kill", object_type=dict, status_type=S)

@flow.step(from_=S.A, to=S.B)
def step(run: Run[dict, S]) -> S:
    Path(sys.argv[2]).open("a").write(f"{sys.argv[3]} {run.attempt}\\n")
    if sys.argv[3] == "victim":
        time.sleep(600)
    return S.B

settings = {"beat": timedelta(seconds=0.5), "lapse": timedelta(seconds=2)}
with Engine.from_url(flow, store=sys.argv[1], **settings) as engine:
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_a_worker_killed_in_the_middle_of_a_step_is_replaced_by_another_within_the_lease(url: str, tmp_path: Path) -> None:
    from enum import StrEnum

    from flowdsl import Workflow

    class S(StrEnum):
        A = "a"
        B = "b"

    flow: Workflow[dict[str, int], S] = Workflow("kill", object_type=dict[str, int], status_type=S)
    flow.step(from_=S.A, to=S.B)(lambda run: S.B)
    trace = tmp_path / "trace"

    def worker(name: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", WORKER, url, str(trace), name]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    victim = worker("victim")
    client = Engine.client(flow, store=url)
    try:
        handle = client.trigger(flow, "x", {"n": 1})
        end = time.monotonic() + 30
        while not trace.exists() and time.monotonic() < end:
            time.sleep(0.01)
        rescuer = worker("rescuer")
        try:
            victim.kill()
            victim.wait()
            handle.wait(timeout=timedelta(seconds=20))
        finally:
            rescuer.communicate()
        assert trace.read_text().splitlines() == ["victim 1", "rescuer 2"]
        assert [row.version for row in handle.history()] == [1, 2]
    finally:
        client.stop()
        victim.kill()
        victim.communicate()
