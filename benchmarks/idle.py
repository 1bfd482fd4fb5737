"""Idle: how much of a core a worker uses that has nothing to do."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.scratch import scratch
from benchmarks.workload import build
from flowdsl import Engine


def measure(kind: str, seconds: float, url: str | None = None) -> dict[str, Any]:
    """The share of one core, in percent, over `seconds`."""
    with scratch(kind, url) as own, Engine.from_url(build(), store=own):
        time.sleep(1)
        cpu, began = time.process_time(), time.perf_counter()
        time.sleep(seconds)
        share = (time.process_time() - cpu) / (time.perf_counter() - began)
    return {"store": kind, "idle_cpu_percent": round(share * 100, 2)}
