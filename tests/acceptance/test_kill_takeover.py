"""A worker that is gone, or only seems to be, in the middle of a step is replaced by another live process."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

import pytest

from flowdsl import Engine, Run, Workflow
from flowdsl_sql.record_store import open_store
from tests.services import sql_database

ROOT = Path(__file__).parent.parent.parent
LAPSE = timedelta(seconds=2)

WORKER = """
import sys
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from flowdsl import Engine, Run, Workflow

url, trace, name, lapse = sys.argv[1:]

class Status(StrEnum):
    A = "a"
    B = "b"

flow = Workflow("kill", object_type=dict, status_type=Status)

@flow.step(from_=Status.A, to=Status.B)
def step(run: Run[dict, Status]) -> Status:
    run.object["by"] = name
    with Path(trace).open("a") as lines:
        lines.write(f"{name} {run.attempt} {run.idempotency_key}\\n")
    if name == "victim":
        sys.stdin.readline()  # in the middle of the step, until told otherwise
    return Status.B

beat = timedelta(seconds=float(lapse) / 4)
with Engine.from_url(flow, store=url, beat=beat, lapse=timedelta(seconds=float(lapse))) as engine:
    print("ready", flush=True)
    if name == "victim":
        engine.latest(flow, "x").wait()  # whoever does it
    else:
        sys.stdin.read()
print("left", flush=True)
"""


class Status(StrEnum):
    A = "a"
    B = "b"


flow: Workflow[dict[str, str], Status] = Workflow("kill", object_type=dict[str, str], status_type=Status)


@flow.step(from_=Status.A, to=Status.B)
def never_called_here(run: Run[dict[str, str], Status]) -> Status:
    raise AssertionError("this process is a client")


class Workers:
    """Worker processes on one store."""

    def __init__(self, url: str, trace: Path) -> None:
        self._url = url
        self.trace = trace
        self._all: list[subprocess.Popen[str]] = []

    def start(self, name: str) -> subprocess.Popen[str]:
        """A worker that has begun to look for work."""
        command = [sys.executable, "-c", WORKER, self._url, str(self.trace), name, str(LAPSE.total_seconds())]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._all.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    def wait_until_a_step_runs(self) -> None:
        end = time.monotonic() + 30
        while not (self.trace.exists() and self.trace.read_text().endswith("\n")):
            assert time.monotonic() < end, "no step within 30 s"
            time.sleep(0.01)

    def executions(self) -> list[list[str]]:
        """Worker, attempt and idempotency key of each execution."""
        return [line.split() for line in self.trace.read_text().splitlines()]

    def kill(self) -> None:
        for process in self._all:
            process.kill()
            process.communicate()


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with sql_database(request.param, tmp_path) as where:
        open_store(where, migrate=True).close()
        yield where


@pytest.fixture
def workers(url: str, tmp_path: Path) -> Iterator[Workers]:
    started = Workers(url, tmp_path / "trace")
    yield started
    started.kill()


@pytest.fixture
def client(url: str) -> Iterator[Engine]:
    engine = Engine.client(flow, store=url)
    yield engine
    engine.stop()


def test_a_worker_killed_in_the_middle_of_a_step_is_replaced_by_another(workers: Workers, client: Engine) -> None:
    handle = client.trigger(flow, "x", {})
    victim = workers.start("victim")
    workers.wait_until_a_step_runs()
    workers.start("rescuer")
    began = time.monotonic()

    victim.kill()
    run = handle.wait(timeout=timedelta(seconds=30))

    assert time.monotonic() - began < (LAPSE + LAPSE / 2).total_seconds(), "within the lease, and a heartbeat or two"
    key = f"{handle.run_id}:1"
    assert workers.executions() == [["victim", "1", key], ["rescuer", "2", key]]
    assert run.object == {"by": "rescuer"}
    assert [row.version for row in handle.history()] == [1, 2]


def test_a_worker_that_was_only_asleep_finds_its_claim_gone_and_stores_nothing(workers: Workers, client: Engine) -> None:
    handle = client.trigger(flow, "x", {})
    victim = workers.start("victim")
    workers.wait_until_a_step_runs()
    workers.start("rescuer")

    victim.send_signal(signal.SIGSTOP)  # its process lives on, its heartbeat does not: only the lease can tell
    run = handle.wait(timeout=timedelta(seconds=30))
    victim.send_signal(signal.SIGCONT)
    out, _ = victim.communicate("go on\n", timeout=60)  # its step returns, too late

    assert (victim.returncode, out) == (0, "left\n")
    assert run.object == handle.run().object == {"by": "rescuer"}
    assert [who for who, *_ in workers.executions()] == ["victim", "rescuer"]
    assert [row.version for row in handle.history()] == [1, 2]
