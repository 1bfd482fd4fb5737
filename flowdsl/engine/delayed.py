"""Things to do a little later, in this process only."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from collections.abc import Callable
from datetime import timedelta

from flowdsl.clock import Clock

log = logging.getLogger("flowdsl.delayed")


class Delayed:
    """A heap of calls. Nothing here survives the process: only what the store remembers anyway may wait here."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._lock = threading.Lock()
        self.changed: Callable[[], None] = _nobody
        """Told of each new call, so that a sleeping thread can look at `next_due` again."""

    def call(self, after: timedelta, function: Callable[[], None]) -> None:
        with self._lock:
            heapq.heappush(self._heap, (self._clock.monotonic() + after.total_seconds(), next(self._count), function))
        self.changed()

    def step(self) -> bool:
        """Make every call that is due. False: none was."""
        due: list[Callable[[], None]] = []
        now = self._clock.monotonic()
        with self._lock:
            while self._heap and self._heap[0][0] <= now:
                due.append(heapq.heappop(self._heap)[2])
        for function in due:
            try:
                function()
            except Exception:
                log.exception("a delayed call failed")  # the others are not to be lost with it
        return bool(due)

    def next_due(self) -> float | None:
        """The monotonic time of the next call."""
        with self._lock:
            return self._heap[0][0] if self._heap else None


def _nobody() -> None:
    """No thread sleeps on this."""
