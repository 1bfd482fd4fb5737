"""Backlog: what a run costs while many others wait, and how much memory that takes."""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from benchmarks.progress import reach, transitions
from benchmarks.scratch import scratch
from benchmarks.workload import STEPS, build, sample
from flowdsl import Engine

SIZES = (1_000, 10_000)
LARGE = 100_000
MEASURED = 9_000
"""Transitions after which the clock stops, twice as many as runs wait at most; the rest is left undone. Fewer would measure
whether Python's garbage collection happened to look at everything once."""
BATCH = 5_000


def measure(kind: str, sizes: Sequence[int], url: str | None = None) -> dict[str, Any]:
    """For each number of waiting runs: the cost of a run (three transitions) and the memory, in a process of its own."""
    figures: dict[str, Any] = {"store": kind}
    context = multiprocessing.get_context("spawn")
    for waiting in sizes:
        with scratch(kind, url) as own:
            answers = context.SimpleQueue()
            process = context.Process(target=_measure, args=(own, waiting, answers))
            process.start()
            process.join()
            if process.exitcode:
                raise RuntimeError(f"the measuring process ended with {process.exitcode}")
            figures[f"waiting_{waiting}"] = answers.get()
    costs = [figures[f"waiting_{waiting}"]["cpu_us_per_run"] for waiting in sizes]
    figures["last_to_first_cpu"] = round(costs[-1] / costs[0], 2)
    return figures


def _measure(url: str, waiting: int, answers: Any) -> None:
    workflow = build()
    client = Engine.client(workflow, store=url)  # nobody works yet
    for begin in range(0, waiting, BATCH):
        client.trigger_many(workflow, [(f"run-{n}", sample(n)) for n in range(begin, min(begin + BATCH, waiting))])
    before = _peak_mb()
    with Engine.from_url(workflow, store=url) as engine:
        cpu, began = time.process_time(), time.perf_counter()
        ended = reach(min(MEASURED, 2 * waiting), lambda: transitions(engine))
        runs, used = transitions(engine) / STEPS, time.process_time() - cpu
        engine.stop(timedelta(seconds=10))
    client.stop()
    answers.put(
        {
            "us_per_run": round((ended - began) / runs * 1e6),
            "cpu_us_per_run": round(used / runs * 1e6),
            "rss_growth_mb": round(_peak_mb() - before, 1),
            "peak_rss_mb": round(_peak_mb(), 1),
        }
    )


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
