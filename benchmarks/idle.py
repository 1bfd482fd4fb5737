"""Idle: how much of a core a worker uses that has nothing to do."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.progress import completed, reach
from benchmarks.scratch import scratch
from benchmarks.workload import build, sample
from flowdsl import Engine

WARM_UP = 50
"""Runs to work on first: an idle worker is one that has had work."""


def measure(kind: str, seconds: float, url: str | None = None) -> dict[str, Any]:
    """The share of one core, in percent, over `seconds`; the database server's share is not in it."""
    workflow = build()
    with scratch(kind, url) as own, Engine.from_url(workflow, store=own) as engine:
        engine.trigger_many(workflow, [(f"idle-{number}", sample(number)) for number in range(WARM_UP)])
        reach(WARM_UP, lambda: completed(engine))
        time.sleep(1)
        cpu, began = time.process_time(), time.perf_counter()
        time.sleep(seconds)
        elapsed = time.perf_counter() - began
        share = (time.process_time() - cpu) / elapsed
    return {"store": kind, "seconds": round(elapsed, 1), "idle_cpu_percent": round(share * 100, 2)}
