"""Throughput: all runs triggered up front, first trigger to last completion."""

from __future__ import annotations

import os
import resource
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks import latency, limit, row_writes, transport
from benchmarks.progress import completed, reach, verify
from benchmarks.scratch import scratch
from benchmarks.workers import Workers
from benchmarks.workload import STEPS, build, sample
from flowdsl import Engine

THREADS = 16
"""That trigger at once with `--trigger one`."""
LATENCY_RUNS = 200
EVENTS = 5_000
"""Sent by hand over the streamer's transport, for comparison."""


def measure(
    kind: str,
    *,
    runs: int,
    url: str | None = None,
    processes: int = 0,
    trigger: str = "many",
    handoff: bool = True,
    step_ms: float = 0.0,
    streamer: str | None = None,
    quick: bool = False,
) -> dict[str, Any]:
    """One JSON-able object of figures. In: `processes` worker processes, and a client here that triggers; 0: one engine here
    does both."""
    if kind == "memory" and processes:
        raise SystemExit("a memory store is one process's: leave --processes out")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    # The engine first: the highest memory use is then the engine's own.
    with scratch(kind, url) as own:
        if processes:
            figures = _apart(own, runs, processes, trigger, handoff, step_ms, streamer)
        else:
            figures = _here(own, runs, trigger, handoff, step_ms, streamer)
    with scratch(kind, url) as own:
        forms = limit.by_form(kind, own, 0.2 if quick else limit.SECONDS)
    with scratch(kind, url) as own:
        times = latency.measure(kind, own, 20 if quick else LATENCY_RUNS, handoff=handoff, streamer=streamer)
        writes = row_writes.per_transition(kind, own, handoff=handoff)
    form, ceiling = max(forms.items(), key=lambda entry: entry[1])
    transitions = figures["runs_per_s"] * STEPS
    return {
        "store": kind,
        "runs": runs,
        "processes": processes,
        "trigger": trigger,
        "handoff": handoff,
        "streamer": None if streamer is None else streamer.partition("://")[0],
        "step_ms": step_ms,
        "cores": os.cpu_count(),
        "load_before": None if load is None else round(load, 2),
        **figures,
        "transitions_per_s": round(transitions),
        "limit_transitions_per_s": round(ceiling),
        "limit_form": form,
        "limit_by_form": {name: round(rate) for name, rate in forms.items()},
        "ratio": round(transitions / ceiling, 3),
        "p50_ms": times["p50_ms"],
        "p99_ms": times["p99_ms"],
        "commit_ms": times["commit_ms"],
        "p50_in_commits": times["p50_in_commits"],
        "row_writes_per_transition": writes,
        **({} if streamer is None else transport.by_hand(streamer, EVENTS)),
    }


def _trigger(engine: Engine, workflow: Any, runs: int, trigger: str) -> float:
    """Trigger them all; the perf_counter afterwards."""
    entries = [(f"run-{number}", sample(number)) for number in range(runs)]
    if trigger == "one":
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(lambda entry: engine.trigger(workflow, *entry), entries))
    else:
        engine.trigger_many(workflow, entries)
    return time.perf_counter()


def _here(url: str, runs: int, trigger: str, handoff: bool, step_ms: float, streamer: str | None) -> dict[str, Any]:
    workflow = build(step_ms)
    with Engine.from_url(workflow, store=url, streamer=streamer, handoff=handoff) as engine:
        cpu, began = time.process_time(), time.perf_counter()
        triggered = _trigger(engine, workflow, runs, trigger)
        ended = reach(runs, lambda: completed(engine))
        used = time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        verify(engine, workflow, runs, STEPS)
    return _figures(runs, triggered - began, ended - began, used, used, peak)


def _apart(
    url: str, runs: int, processes: int, trigger: str, handoff: bool, step_ms: float, streamer: str | None
) -> dict[str, Any]:
    workflow = build(step_ms)
    client = Engine.client(workflow, store=url, streamer=streamer)
    try:
        with Workers(url, processes, step_ms, handoff, streamer) as workers:
            cpu, began = time.process_time(), time.perf_counter()
            triggered = _trigger(client, workflow, runs, trigger)
            ended = reach(runs, workers.completed, workers.alive)
            used = time.process_time() - cpu
            verify(client, workflow, runs, STEPS)
    finally:
        client.stop()
    return _figures(runs, triggered - began, ended - began, used, used + workers.cpu_s(), workers.peak_rss())


def _figures(runs: int, triggering: float, whole: float, cpu: float, all_cpu: float, peak_kb: int) -> dict[str, Any]:
    return {
        "runs_per_s": round(runs / whole, 1),
        "trigger_per_s": round(runs / triggering, 1),
        "cpu_s": round(cpu, 2),
        "cpu_us_per_run": round(all_cpu / runs * 1e6),
        "peak_rss_mb": round(peak_kb / 1024, 1),
    }
