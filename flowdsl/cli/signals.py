"""Signals that end a worker, as a queue."""

from __future__ import annotations

import os
import queue
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

from flowdsl.cli.exit_code import ExitCode

ENDINGS = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}


class Signals:
    """SIGTERM and SIGINT as a queue. The second one ends the process at once: what was running is given to others when this
    instance's heartbeat lapses. In: `last` is called before that end."""

    def __init__(self, last: Callable[[], None] = lambda: None) -> None:
        # A handler interrupts the main thread anywhere; of all queues and events only this one's put may be interrupted itself.
        self._received: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._count = 0
        self._last = last

    def wait(self, seconds: float) -> bool:
        """Whether a signal came within this time."""
        try:
            self._received.get(timeout=seconds)
        except queue.Empty:
            return False
        return True

    def raise_one(self) -> None:
        """As if a first signal had come, for whoever learns in another way that this process is to end."""
        self._received.put(signal.SIGTERM)

    @contextmanager
    def handled(self) -> Generator[None]:
        before = {number: signal.signal(number, self._on) for number in ENDINGS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on(self, number: int, _: FrameType | None) -> None:
        self._count += 1
        if self._count > 1:
            self._last()
            os._exit(ENDINGS[signal.Signals(number)])
        self._received.put(number)
