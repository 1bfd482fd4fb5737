"""Worker processes, as a fleet would run them: spawned, each with an engine of its own on the same store."""

from __future__ import annotations

import multiprocessing
import resource
import time
from types import TracebackType
from typing import Any, Self

from benchmarks.progress import completed
from benchmarks.workload import build
from flowdsl import Engine

START_TIMEOUT = 60.0
TICK = 0.01


class Workers:
    """With `with`: started and ready inside, drained and joined after. The figures of a process stay readable."""

    def __init__(self, url: str, count: int, step_ms: float, handoff: bool, streamer: str | None = None) -> None:
        context = multiprocessing.get_context("spawn")
        self._ready, self._stop = context.Semaphore(0), context.Event()
        self._done: Any = context.Array("q", count)
        self._cpu: Any = context.Array("d", count)
        self._rss: Any = context.Array("q", count)
        shared = (self._ready, self._stop, self._done, self._cpu, self._rss)
        self._processes = [
            context.Process(target=_work, args=(number, url, step_ms, handoff, streamer, *shared)) for number in range(count)
        ]

    def __enter__(self) -> Self:
        for process in self._processes:
            process.start()
        for _ in self._processes:
            if not self._ready.acquire(timeout=START_TIMEOUT):
                self._end()
                raise RuntimeError("a worker process did not start")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    def _end(self) -> None:
        self._stop.set()
        for process in self._processes:
            process.join(timeout=START_TIMEOUT)
            if process.is_alive():
                process.terminate()
                process.join()

    def completed(self) -> int:
        """Runs completed by all of them; up to 10 ms old."""
        return sum(self._done)

    def alive(self) -> bool:
        return all(process.is_alive() for process in self._processes)

    def cpu_s(self) -> float:
        """CPU seconds since they were ready, after the end."""
        return float(sum(self._cpu))

    def peak_rss(self) -> int:
        """Of the largest of them, in KiB, after the end."""
        return int(max(self._rss))


def _work(
    number: int,
    url: str,
    step_ms: float,
    handoff: bool,
    streamer: str | None,
    ready: Any,
    stop: Any,
    done: Any,
    cpu: Any,
    rss: Any,
) -> None:
    with Engine.from_url(build(step_ms), store=url, streamer=streamer, handoff=handoff) as engine:
        before = time.process_time()
        ready.release()
        while not stop.wait(TICK):
            done[number] = completed(engine)
        cpu[number] = time.process_time() - before
    rss[number] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
