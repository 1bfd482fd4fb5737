"""Drain: a large backlog is worked off to its end. Does memory stay flat, and is any event published twice?"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from typing import Any

from benchmarks.progress import PATIENCE, completed, reach, verify
from benchmarks.scratch import scratch
from benchmarks.workload import STEPS, Body, build, sample
from flowdsl import Engine

BATCH = 5_000
POINTS = 4
"""How often memory is looked at: after each quarter."""
TICK = 0.05
START_TIMEOUT = 60.0
SLOWEST = 50
"""Runs per second that a drain is waited for."""


def measure(
    kind: str, waiting: int, left_s: float, *, url: str | None = None, streamer: str | None = None, handoff: bool = False
) -> dict[str, Any]:
    """In: how many runs wait; for how long they are left alone with a worker whose steps are all stuck, in seconds."""
    workflow, context = build(), multiprocessing.get_context("spawn")
    with scratch(kind, url) as own:
        client = Engine.client(workflow, store=own, streamer=streamer)
        book = _Book(context)
        worker = context.Process(target=_work, args=(own, streamer, handoff, waiting, book))
        try:
            began = time.perf_counter()
            for begin in range(0, waiting, BATCH):
                client.trigger_many(workflow, [(f"run-{n}", sample(n)) for n in range(begin, min(begin + BATCH, waiting))])
                _say(f"{min(begin + BATCH, waiting):,} triggered")
            triggered = time.perf_counter()
            worker.start()
            if not book.ready.acquire(timeout=START_TIMEOUT):
                raise RuntimeError("the worker process did not start")
            time.sleep(left_s)
            book.gate.set()
            opened = time.perf_counter()
            ended = reach(waiting, lambda: int(book.done.value), worker.is_alive, PATIENCE + waiting / SLOWEST)
            book.stop.set()
            worker.join()
            verify(client, workflow, waiting, STEPS)
            published = _published(client) + int(book.published.value)
        finally:
            client.stop()
            if worker.is_alive():
                worker.terminate()
    rss = [round(kb / 1024, 1) for kb in book.rss]
    return {
        "store": kind,
        "streamer": None if streamer is None else streamer.partition("://")[0],
        "handoff": handoff,
        "waiting": waiting,
        "left_s": left_s,
        "trigger_per_s": round(waiting / (triggered - began)),
        "drained_runs_per_s": round(waiting / (ended - opened), 1),
        "cpu_us_per_run": round(float(book.cpu.value) / waiting * 1e6),
        "rss_mb": {"at the start": rss[0], **{f"after {100 * n // POINTS} %": rss[n] for n in range(1, POINTS + 1)}},
        "published_per_row": round(published / (waiting * STEPS), 3) if streamer else None,
    }


class _Book:
    """What the worker process tells, and is told."""

    def __init__(self, context: Any) -> None:
        self.ready, self.gate, self.stop = context.Semaphore(0), context.Event(), context.Event()
        self.done, self.published = context.Value("q", 0), context.Value("q", 0)
        self.cpu = context.Value("d", 0.0)
        self.rss = context.Array("q", POINTS + 1)


def _work(url: str, streamer: str | None, handoff: bool, waiting: int, book: Any) -> None:
    def gated(body: Body) -> Body:
        def work(run: Any) -> None:
            book.gate.wait()
            body(run)

        return work

    with Engine.from_url(build(watch=gated), store=url, streamer=streamer, handoff=handoff) as engine:
        book.ready.release()
        book.gate.wait()
        book.rss[0] = _rss_kb()
        cpu, point = time.process_time(), 1
        while not book.stop.wait(TICK):
            done = completed(engine)
            while point <= POINTS and done >= waiting * point // POINTS:
                book.rss[point] = _rss_kb()
                _say(f"{done:,} of {waiting:,} runs drained")
                point += 1
            book.done.value = done if point > POINTS else min(done, waiting - 1)
        book.cpu.value = time.process_time() - cpu
        book.published.value = _published(engine)


def _published(engine: Engine) -> int:
    return int(engine.metrics.registry.get_sample_value("workflow_published_events_count") or 0)


def _rss_kb() -> int:
    """Memory in use now, not at its peak."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
