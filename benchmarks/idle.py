"""Idle: how much of a core a worker uses that has nothing to do but to wait, for timers too."""

from __future__ import annotations

import time
from datetime import timedelta
from enum import StrEnum
from typing import Any

from benchmarks.progress import completed, reach
from benchmarks.scratch import scratch
from benchmarks.workload import build, sample
from flowdsl import Engine, Run, Workflow

WARM_UP = 50
"""Runs to work on first: an idle worker is one that has had work."""
BATCH = 10_000


class Stay(StrEnum):
    WAITING = "waiting"
    LATE = "late"


def waiting() -> Workflow[dict[str, Any], Stay]:
    """Runs that nothing happens to but a timeout, in a day."""
    workflow = Workflow("waiting", object_type=dict[str, Any], status_type=Stay)

    @workflow.timeout(from_=Stay.WAITING, to=Stay.LATE, after=timedelta(days=1))
    def too_late(run: Run[dict[str, Any], Stay]) -> None:
        """Nobody waits that long."""

    return workflow


def measure(kind: str, seconds: float, url: str | None = None, timers: int = 0) -> dict[str, Any]:
    """The share of one core, in percent, over `seconds`, while `timers` wait; the database server's share is not in it."""
    workflow, waits = build(), waiting()
    with scratch(kind, url) as own, Engine.from_url(workflow, waits, store=own) as engine:
        for begin in range(0, timers, BATCH):
            engine.trigger_many(waits, [(f"waits-{number}", {}) for number in range(begin, min(begin + BATCH, timers))])
        engine.trigger_many(workflow, [(f"idle-{number}", sample(number)) for number in range(WARM_UP)])
        reach(WARM_UP, lambda: completed(engine))
        time.sleep(1)
        cpu, began = time.process_time(), time.perf_counter()
        time.sleep(seconds)
        elapsed = time.perf_counter() - began
        share = (time.process_time() - cpu) / elapsed
    figures = {"store": kind, "seconds": round(elapsed, 1), "waiting_timers": timers}
    return {**figures, "idle_cpu_percent": round(share * 100, 2)}
