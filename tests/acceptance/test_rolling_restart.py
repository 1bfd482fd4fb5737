"""Three workers are replaced one after the other while runs keep coming: nothing is lost, and nothing is done twice."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from flowdsl import Engine, RunState
from flowdsl_sql.record_store import open_store
from tests.services import RABBITMQ, broker, postgresql_schema

PATIENCE = timedelta(seconds=120)
RUNS = 600
SHOP = '''
import os
import time
from dataclasses import dataclass
from enum import StrEnum

from flowdsl import Engine, Run, Workflow


class Status(StrEnum):
    NEW = "new"
    PACKED = "packed"
    SENT = "sent"


@dataclass
class Parcel:
    number: int


parcels = Workflow("parcels", object_type=Parcel, status_type=Status)


def note(run):
    """What was really done, whatever is stored: one line for each execution."""
    out = os.open(os.environ["DONE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(out, f"{run.foreign_id} {run.status.value}\\n".encode())
    os.close(out)
    time.sleep(0.01)


@parcels.step(from_=Status.NEW, to=Status.PACKED)
def pack(run: Run[Parcel, Status]) -> None:
    note(run)


@parcels.step(from_=Status.PACKED, to=Status.SENT)
def send(run: Run[Parcel, Status]) -> None:
    note(run)


def engine() -> Engine:
    return Engine.from_url(parcels, store=os.environ["STORE"], streamer=os.environ["STREAMER"] or None)
'''


@pytest.fixture(params=["", "rabbitmq"], ids=["store", "rabbitmq"])
def streamer(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"{broker(RABBITMQ)}?prefix={tmp_path.name}.&expires=120" if request.param else ""


@pytest.fixture
def store() -> Iterator[str]:
    with postgresql_schema() as url:
        open_store(url, migrate=True).close()
        yield url


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_workers_are_replaced_under_load(tmp_path: Path, store: str, streamer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done = tmp_path / "done"
    (tmp_path / "shop.py").write_text(SHOP)
    for name, value in {"STORE": store, "STREAMER": streamer, "DONE": str(done)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(tmp_path)
    import shop  # type: ignore[import-not-found]

    command = [sys.executable, "-c", "from flowdsl.cli.main import main; main()", "run", "shop:engine"]

    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        worker = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        started.append(worker)
        assert worker.stderr is not None
        said = b""
        while b"works on" not in said:
            said = worker.stderr.readline()
            assert said, "it ended before it worked"
        return worker

    def replace(worker: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
        worker.terminate()
        _, errors = worker.communicate(timeout=60)
        assert worker.returncode == 0, errors.decode()
        return start()

    client = Engine.client(shop.parcels, store=store, streamer=streamer or None)
    try:
        workers = [start() for _ in range(3)]
        handles = []
        for begin in range(0, RUNS, 100):
            entries = [(f"p-{number}", shop.Parcel(number)) for number in range(begin, begin + 100)]
            handles += client.trigger_many(shop.parcels, entries)
            time.sleep(0.2)  # new work keeps coming while workers go
            workers[begin // 100 % 3] = replace(workers[begin // 100 % 3])
        for handle in handles:
            handle.wait(timeout=PATIENCE)
        states = {handle.record().state for handle in handles}
    finally:
        for worker in started:
            worker.kill()
            worker.communicate()
        client.stop()
        sys.modules.pop("shop", None)

    assert states == {RunState.COMPLETED}
    lines = Counter(done.read_text().splitlines())
    assert len(lines) == 2 * RUNS
    assert [line for line, times in lines.items() if times > 1] == []
