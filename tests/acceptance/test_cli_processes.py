"""`flowdsl run --processes N`: one parent, several workers."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.worker_process import Worker, Workers

PATIENCE = 60.0


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def children(worker: Worker) -> list[int]:
    """The processes that the parent has now, whichever of its threads started them."""
    tasks = Path(f"/proc/{worker.process.pid}/task").iterdir()
    found: list[int] = []
    for task in tasks:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            found += map(int, (task / "children").read_text().split())
    return found


def until(worker: Worker, what: str, found: Any) -> Any:
    """Look again and again at another process, which cannot signal us."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if answer := found():
            return answer
        time.sleep(0.05)
    raise AssertionError(f"never {what}: {worker.said}")


def ready(base: str) -> dict[str, Any]:
    code, text = get(f"{base}/readyz")
    found: dict[str, Any] = json.loads(text)
    return {"code": code, **found}


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def gone_or_defunct(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.fixture
def pair(workers: Workers) -> Worker:
    return workers.start("--processes", "2", "--metrics-port", "0", "--drain", "60")


def base_url(worker: Worker) -> str:
    return worker.says("Metrics at").split()[-1].removesuffix("/metrics")


def test_a_worker_that_is_killed_is_replaced_and_one_port_speaks_for_all(workers: Workers, pair: Worker) -> None:
    base = base_url(pair)
    until(pair, "both ready", lambda: ready(base)["detail"] == "2 of 2 workers are ready")
    first = children(pair)
    assert len(first) == 2

    os.kill(first[0], signal.SIGKILL)
    assert "signal 9" in pair.says("is started again")
    until(pair, "both ready again", lambda: ready(base)["detail"] == "2 of 2 workers are ready")
    assert first[1] in children(pair)

    workers.trigger("orders", "o-1", "nothing")
    pair.prints("sending o-1")
    _, text = get(f"{base}/metrics")
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    states = {sample.labels["worker"] for sample in samples if sample.name == "workflow_process_states"}
    assert states == {"1", "2"}
    depths = [sample.labels for sample in samples if sample.name == "workflow_queue_depth"]
    assert depths
    assert len({json.dumps(labels, sort_keys=True) for labels in depths}) == len(depths), "the store's depth is told once"
    assert [sample.value for sample in samples if sample.name == "workflow_worker_restarts"] == [1]
    assert get(f"{base}/livez")[0] == 200

    pair.process.terminate()
    assert pair.ends() == 0, pair.said
    assert "All 2 workers have ended." in pair.said
    assert pair.said.count("Draining") == 1, "the parent speaks for all"


def test_a_worker_says_how_it_is_and_that_it_drains(workers: Workers) -> None:
    workers.trigger("orders", "o-1", "input")
    worker = workers.start("--metrics-port", "0", "--drain", "60")
    base = base_url(worker)
    worker.says("works on")
    worker.prints("charging")
    assert ready(base) == {"code": 200, "alive": True, "ready": True, "detail": ""}
    assert get(f"{base}/nothing")[0] == 404

    worker.process.terminate()
    worker.says("Draining")
    assert ready(base)["code"] == 503
    assert get(f"{base}/livez")[0] == 200
    worker.types("go on\n")
    assert worker.ends() == 0, worker.said


def test_workers_whose_parent_is_killed_drain_and_end(pair: Worker) -> None:
    base = base_url(pair)
    until(pair, "both ready", lambda: ready(base)["detail"] == "2 of 2 workers are ready")
    orphans = children(pair)
    pair.process.kill()
    pair.process.wait()
    until(pair, "the end of the orphans", lambda: all(gone(pid) for pid in orphans))
    pair.says("the parent of this worker is gone: it drains and ends")


def test_a_second_signal_ends_the_parent_and_its_workers_at_once(workers: Workers, pair: Worker) -> None:
    base = base_url(pair)
    until(pair, "both ready", lambda: ready(base)["detail"] == "2 of 2 workers are ready")
    busy = children(pair)
    workers.trigger("orders", "o-1", "doomsday")
    pair.prints("charging o-1")
    pair.process.terminate()
    pair.says("Draining")
    until(pair, "one waiting for the other's drain", lambda: any(map(gone_or_defunct, busy)))

    pair.process.terminate()

    assert pair.ends() == 143, pair.said
    until(pair, "the end of its workers", lambda: all(map(gone_or_defunct, busy)))


def test_a_target_that_never_starts_is_not_tried_for_ever(workers: Workers) -> None:
    done = workers.cli("run", "nowhere:engine", "--processes", "2")
    assert done.returncode == 2
    assert "there is no module 'nowhere'" in done.stderr
