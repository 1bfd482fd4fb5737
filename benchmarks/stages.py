"""Where the CPU time of a transition goes: each stage timed with the clock of its own thread.

A stage's time is its own: what it spends inside another stage is that one's. What no stage claims (threads, queues, signals,
counting, housekeeping) is `rest`; what this very timing costs is estimated and shown as `timing`. The work of a database server
is not in these figures: it is another process's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from benchmarks.progress import completed, reach, verify
from benchmarks.scratch import scratch
from benchmarks.workload import STEPS, build, sample
from flowdsl import Engine
from flowdsl.engine.discovery import open_roles, open_store

CALIBRATION = 20_000
Function = TypeVar("Function", bound=Callable[..., Any])

STAGES = ("claim", "decode", "body", "encode", "step", "commit", "follow-up", "trigger", "other store calls")
"""`step` is the rest of a step: judging its answer and building the change."""


class Stages:
    """CPU nanoseconds and calls by stage, for any number of threads."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._lock = threading.Lock()
        self._books: list[dict[str, list[int]]] = []

    def timed(self, stage: str, function: Function) -> Function:
        """The same function, its CPU time counted for the stage."""

        @wraps(function)
        def counted(*arguments: Any, **named: Any) -> Any:
            local = self._local
            if not hasattr(local, "inner"):
                local.inner = 0
                local.book = {name: [0, 0] for name in STAGES}
                with self._lock:
                    self._books.append(local.book)
            outer, local.inner = local.inner, 0
            began = time.thread_time_ns()
            try:
                return function(*arguments, **named)
            finally:
                spent = time.thread_time_ns() - began
                entry = local.book[stage]
                entry[0] += spent - local.inner
                entry[1] += 1
                local.inner = outer + spent

        return counted  # type: ignore[return-value]

    def totals(self) -> dict[str, tuple[int, int]]:
        """Nanoseconds and calls by stage."""
        with self._lock:
            books = list(self._books)
        return {name: (sum(b[name][0] for b in books), sum(b[name][1] for b in books)) for name in STAGES}


class TimedStore:
    """A record store, its calls timed."""

    def __init__(self, store: Any, stages: Stages) -> None:
        self._store = store
        self._stages = stages
        self.commit = stages.timed("commit", store.commit)
        self.claim = stages.timed("claim", store.claim)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not callable(found) or name in ("listen", "close"):
            return found
        return self._stages.timed("other store calls", found)


def measure(kind: str, runs: int, url: str | None = None, *, handoff: bool = True) -> dict[str, Any]:
    """Microseconds of CPU per transition by stage and by thread, over runs that one engine triggers and works on."""
    stages = Stages()
    with scratch(kind, url) as own:
        workflow = build(watch=lambda body: stages.timed("body", body))
        codec: Any = workflow.codec
        codec.decode = stages.timed("decode", codec.decode)
        codec.encode = stages.timed("encode", codec.encode)

        def store() -> Any:
            return TimedStore(open_store(own), stages)

        with Engine(workflow, store=store, roles=lambda: open_roles(own), handoff=handoff) as engine:
            _watch(engine, stages)
            entries = [(f"run-{number}", sample(number)) for number in range(runs)]
            before, cpu, began = stages.totals(), time.process_time_ns(), time.perf_counter()
            threads = _threads()
            stages.timed("trigger", engine.trigger_many)(workflow, entries)
            ended = reach(runs, lambda: completed(engine))
            cpu = time.process_time_ns() - cpu
            after, spent = stages.totals(), _threads()
            verify(engine, workflow, runs, STEPS)
    transitions = runs * STEPS
    calls = sum(after[name][1] - before[name][1] for name in STAGES)
    timing = calls * _cost_ns()
    figures = {name: after[name][0] - before[name][0] for name in STAGES}
    groups: dict[str, int] = {}
    for thread, total in spent.items():
        group = thread.rstrip("0123456789").rstrip("-")
        groups[group] = groups.get(group, 0) + total - threads.get(thread, 0)
    return {
        "store": kind,
        "runs": runs,
        "handoff": handoff,
        "transitions_per_s": round(transitions / (ended - began)),
        "cpu_us_per_transition": _us(cpu, transitions),
        **{f"{name}_us": _us(value, transitions) for name, value in figures.items()},
        "timing_us": _us(timing, transitions),
        "rest_us": _us(cpu - sum(figures.values()) - timing, transitions),
        "claims": after["claim"][1] - before["claim"][1],
        "commits": after["commit"][1] - before["commit"][1],
        "changes_per_commit": round((transitions + runs) / max(1, after["commit"][1] - before["commit"][1]), 1),
        "cores_used": round(cpu / 1e9 / (ended - began), 2),
        "threads_us": {group: _us(value, transitions) for group, value in sorted(groups.items(), key=lambda entry: -entry[1])},
    }


def _watch(engine: Engine, stages: Stages) -> None:
    """Time what has no public seam: the life of a step, and what follows a commit."""
    core: Any = engine._core
    worker: Any = engine._worker
    worker.steps.run = stages.timed("step", worker.steps.run)
    submit = core.committer.submit

    def submit_timed(change: Any, done: Any, failed: Any) -> None:
        submit(change, stages.timed("follow-up", done), failed)

    core.committer.submit = submit_timed


def _us(nanoseconds: float, transitions: int) -> float:
    return round(nanoseconds / 1000 / transitions, 1)


def _threads() -> dict[str, int]:
    """CPU nanoseconds of every living thread by name, where the system tells."""
    if not hasattr(time, "pthread_getcpuclockid"):
        return {}
    return {
        thread.name: time.clock_gettime_ns(time.pthread_getcpuclockid(thread.ident))
        for thread in threading.enumerate()
        if thread.ident is not None
    }


def _cost_ns() -> float:
    """What timing one call costs beyond what it counts, in nanoseconds of CPU."""

    def nothing() -> None: ...

    stages = Stages()
    counted = stages.timed("body", nothing)
    began = time.thread_time_ns()
    for _ in range(CALIBRATION):
        counted()
    spent = time.thread_time_ns() - began - stages.totals()["body"][0]
    return spent / CALIBRATION
