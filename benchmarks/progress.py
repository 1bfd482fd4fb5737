"""How far an engine has come, read from its metrics: watching costs the store nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from flowdsl import Engine, RunState

PATIENCE = 600.0
TICK = 0.005
PAGE = 500


def completed(engine: Engine) -> int:
    """Runs that this engine has seen committed as completed."""
    done = RunState.COMPLETED.label
    samples = (sample for metric in engine.metrics.run_states.collect() for sample in metric.samples)
    return sum(int(sample.value) for sample in samples if sample.labels["current_run_state"] == done)


def transitions(engine: Engine) -> int:
    """Steps of this engine whose result was committed."""
    samples = (sample for metric in engine.metrics.latency.collect() for sample in metric.samples)
    return sum(int(sample.value) for sample in samples if sample.name.endswith("_count"))


def reach(goal: int, count: Callable[[], int], alive: Callable[[], bool] = lambda: True, patience: float = PATIENCE) -> float:
    """Wait until `count()` is at least `goal`; the perf_counter of that moment, to 5 ms. Raises RuntimeError when a worker is
    gone or `patience` seconds have passed."""
    end = time.perf_counter() + patience
    while True:
        now, done = time.perf_counter(), count()
        if done >= goal:
            return now
        if now > end or not alive():
            raise RuntimeError(f"only {done:,} of {goal:,} came to an end: {'too slow' if alive() else 'a worker is gone'}")
        time.sleep(TICK)


def verify(engine: Engine, workflow: Any, runs: int, steps: int) -> None:
    """Raises RuntimeError unless the store has exactly this many runs, each completed after each step once."""
    found, after = 0, None
    while True:
        page = engine.runs(workflow, limit=PAGE, after=after)
        for record in page.runs:
            if record.state is not RunState.COMPLETED or record.version != steps + 1:
                raise RuntimeError(f"run {record.run_id} is {record.state.label} at version {record.version}")
        found += len(page.runs)
        after = page.next
        if after is None:
            break
    if found != runs:
        raise RuntimeError(f"{runs:,} runs were triggered and {found:,} are stored")
