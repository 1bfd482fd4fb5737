"""Latency: one run at a time on an idle engine, trigger to observed end, beside what a bare commit takes."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from benchmarks import bare_commit
from benchmarks.workload import build, sample
from flowdsl import Engine

WARM_UP = 10
PATIENCE = timedelta(seconds=60)


def measure(kind: str, url: str, runs: int, *, handoff: bool = True, streamer: str | None = None) -> dict[str, Any]:
    """In: the URL of a scratch store. Bare commits are measured before and after the runs."""
    commits = bare_commit.times_ms(kind, url)
    times = _runs_ms(url, runs, handoff, streamer)
    commits += bare_commit.times_ms(kind, url)
    p50, p99 = percentile(times, 0.5), percentile(times, 0.99)
    commit = percentile(commits, 0.5) if commits else 0.0
    return {
        "store": kind,
        "runs": runs,
        "handoff": handoff,
        "p50_ms": round(p50, 2),
        "p99_ms": round(p99, 2),
        "p99_to_p50": round(p99 / p50, 2),
        "commit_ms": round(commit, 3),
        "commit_p99_ms": round(percentile(commits, 0.99), 3) if commits else 0.0,
        "p50_in_commits": round(p50 / commit, 1) if commit else None,
    }


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of them does not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)]


def _runs_ms(url: str, runs: int, handoff: bool, streamer: str | None) -> list[float]:
    workflow = build()
    times: list[float] = []
    with Engine.from_url(workflow, store=url, streamer=streamer, handoff=handoff) as engine:
        for number in range(runs + WARM_UP):
            began = time.perf_counter()
            engine.trigger(workflow, f"latency-{number}", sample(number)).wait(timeout=PATIENCE)
            times.append((time.perf_counter() - began) * 1000)
    return times[WARM_UP:]
