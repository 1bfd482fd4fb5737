"""Throughput: all runs triggered up front, first trigger to last completion."""

from __future__ import annotations

import multiprocessing
import os
import resource
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from benchmarks import limit, row_writes
from benchmarks.scratch import scratch
from benchmarks.workload import STEPS, build, sample
from flowdsl import Engine, RunState

PATIENCE = timedelta(seconds=600)
THREADS = 16


def measure(
    kind: str,
    *,
    runs: int,
    url: str | None = None,
    processes: int = 1,
    trigger: str = "many",
    handoff: bool = True,
    step_ms: float = 0.0,
    quick: bool = False,
) -> dict[str, Any]:
    """One JSON-able object of figures."""
    if kind == "memory" and processes > 1:
        raise SystemExit("memory is one process's: use --processes 1")
    with scratch(kind, url) as own:
        if quick:
            limit.SECONDS = 0.2
        ceiling = limit.transitions_per_second(kind, own)
        commit = limit.bare_commit_ms(kind, own)
        writes = row_writes.per_transition(kind, own)
    with scratch(kind, url) as own:
        figures = _many(own, runs, processes, trigger, step_ms) if processes > 1 else _one(own, runs, trigger, handoff, step_ms)
    with scratch(kind, url) as own:
        times = latencies(own, 20 if quick else 200)
    transitions = figures["runs_per_s"] * STEPS
    return {
        "store": kind,
        "runs": runs,
        "processes": processes,
        "trigger": trigger,
        "handoff": handoff,
        "step_ms": step_ms,
        **figures,
        "transitions_per_s": round(transitions),
        "limit_transitions_per_s": round(ceiling),
        "ratio": round(transitions / ceiling, 3),
        "p50_ms": round(times[len(times) // 2], 2),
        "p99_ms": round(times[int(len(times) * 0.99) - 1], 2),
        "commit_ms": round(commit, 3),
        "p50_in_commits": round(times[len(times) // 2] / commit, 1) if commit else None,
        "row_writes_per_transition": writes,
    }


def latencies(url: str, count: int) -> list[float]:
    """Trigger to observed end of one run at a time on an idle engine, in milliseconds, sorted."""
    workflow = build()
    times = []
    with Engine.from_url(workflow, store=url) as engine:
        for number in range(count + 10):
            began = time.perf_counter()
            engine.trigger(workflow, f"latency-{number}", sample(number)).wait(timeout=PATIENCE)
            times.append((time.perf_counter() - began) * 1000)
    return sorted(times[10:])


def _one(url: str, runs: int, trigger: str, handoff: bool, step_ms: float) -> dict[str, Any]:
    workflow = build(step_ms)
    entries = [(f"run-{number}", sample(number)) for number in range(runs)]
    with Engine.from_url(workflow, store=url, handoff=handoff) as engine:
        cpu, began = time.process_time(), time.perf_counter()
        if trigger == "one":
            with ThreadPoolExecutor(THREADS) as pool:
                handles = list(pool.map(lambda entry: engine.trigger(workflow, *entry), entries))
        else:
            handles = engine.trigger_many(workflow, entries)
        triggered = time.perf_counter()
        for handle in handles:
            handle.wait(timeout=PATIENCE)
        ended = time.perf_counter()
        used = time.process_time() - cpu
    return _figures(runs, triggered - began, ended - began, used)


def _many(url: str, runs: int, processes: int, trigger: str, step_ms: float) -> dict[str, Any]:
    """Worker processes, and a client here that triggers and watches."""
    workflow = build(step_ms)
    context = multiprocessing.get_context("spawn")
    ready, stop = context.Semaphore(0), context.Event()
    workers = [context.Process(target=_worker, args=(url, step_ms, ready, stop)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    for _ in workers:
        ready.acquire()
    client = Engine.client(workflow, store=url)
    try:
        cpu = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        entries = [(f"run-{number}", sample(number)) for number in range(runs)]
        if trigger == "one":
            with ThreadPoolExecutor(THREADS) as pool:
                list(pool.map(lambda entry: client.trigger(workflow, *entry), entries))
        else:
            client.trigger_many(workflow, entries)
        triggered = time.perf_counter()
        while client.runs(states=[RunState.INITIATED, RunState.RUNNING], limit=1).runs:
            time.sleep(0.05)
        ended = time.perf_counter()
    finally:
        stop.set()
        for worker in workers:
            worker.join(timeout=60)
        client.stop()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - cpu.ru_utime - cpu.ru_stime
    return _figures(runs, triggered - began, ended - began, used)


def _worker(url: str, step_ms: float, ready: Any, stop: Any) -> None:
    with Engine.from_url(build(step_ms), store=url):
        ready.release()
        stop.wait()


def _figures(runs: int, triggering: float, whole: float, cpu: float) -> dict[str, Any]:
    return {
        "runs_per_s": round(runs / whole, 1),
        "trigger_per_s": round(runs / triggering, 1),
        "cpu_s": round(cpu, 2),
        "cpu_us_per_run": round(cpu / runs * 1e6),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        "cores": os.cpu_count(),
    }
