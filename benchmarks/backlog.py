"""Backlog: what a run costs while many others wait, and how much memory that takes."""

from __future__ import annotations

import multiprocessing
import resource
import time
from datetime import timedelta
from typing import Any

from benchmarks.scratch import scratch
from benchmarks.workload import build, sample
from flowdsl import Engine, RunState

MEASURED = 1000


def measure(kind: str, waiting: int, url: str | None = None) -> dict[str, Any]:
    """Trigger `waiting` runs with no worker about, then see how long a worker takes for the first 1,000."""
    context = multiprocessing.get_context("spawn")
    with scratch(kind, url) as own:
        answers = context.SimpleQueue()
        if kind == "memory":
            _measure(own, waiting, answers)
        else:
            process = context.Process(target=_measure, args=(own, waiting, answers))
            process.start()
            process.join()
        figures: dict[str, Any] = answers.get()
    return {"store": kind, "waiting": waiting, **figures}


def _measure(url: str, waiting: int, answers: Any) -> None:
    workflow = build()
    client = Engine.client(workflow, store=url)
    for begin in range(0, waiting, 5000):
        client.trigger_many(workflow, [(f"run-{n}", sample(n)) for n in range(begin, min(begin + 5000, waiting))])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with Engine.from_url(workflow, store=url) as engine:
        cpu, began = time.process_time(), time.perf_counter()
        done = engine.metrics.run_states.labels("bench", RunState.RUNNING.label, RunState.COMPLETED.label)
        while done._value.get() < MEASURED:
            time.sleep(0.002)
        elapsed, used = time.perf_counter() - began, time.process_time() - cpu
        finished = done._value.get()
        engine.stop(timedelta(seconds=10))
    answers.put(
        {
            "us_per_run": round(elapsed / finished * 1e6),
            "cpu_us_per_run": round(used / finished * 1e6),
            "rss_growth_mb": round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, 1),
        }
    )
