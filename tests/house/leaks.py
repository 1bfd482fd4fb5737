"""Finds the threads and asyncio tasks that a test started and did not stop."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from asyncio.base_events import BaseEventLoop
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

GRACE = 5.0
"""Seconds in which a thread or task that was told to stop may finish stopping."""

OUR_PREFIX = "flowdsl"

AnyTask = asyncio.Task[Any]


def leaked_threads(before: set[threading.Thread], grace: float = GRACE) -> list[threading.Thread]:
    """The threads started since `before` that still live after the grace: the non-daemon ones, and the library's own of
    either kind. Other daemon threads belong to drivers and are let be."""
    end = time.monotonic() + grace
    leaked: list[threading.Thread] = []
    for thread in set(threading.enumerate()) - before:
        if thread.daemon and not thread.name.startswith(OUR_PREFIX):
            continue
        thread.join(max(0.0, end - time.monotonic()))
        if thread.is_alive():
            leaked.append(thread)
    return leaked


class Loops:
    """The event loops made while they were watched, whoever made them and in whichever thread."""

    def __init__(self) -> None:
        self._loops: weakref.WeakSet[BaseEventLoop] = weakref.WeakSet()

    @contextmanager
    def watched(self) -> Generator[None]:
        original = BaseEventLoop.__init__

        def recording(loop: BaseEventLoop) -> None:
            original(loop)
            self._loops.add(loop)

        with _replaced(BaseEventLoop, "__init__", recording):
            yield

    def pending(self) -> list[AnyTask]:
        """The tasks of all these loops that are not done."""
        return [task for loop in list(self._loops) for task in asyncio.all_tasks(loop) if not task.done()]

    def leaked(self, before: set[AnyTask], grace: float = GRACE) -> list[AnyTask]:
        """The tasks that came since `before` and are not done after the grace; the loop must run for it to matter."""
        for loop in list(self._loops):
            tasks = {task for task in asyncio.all_tasks(loop) if not task.done()} - before
            if tasks and loop.is_running():
                asyncio.run_coroutine_threadsafe(asyncio.wait(tasks, timeout=grace), loop).result()
        return [task for task in self.pending() if task not in before]


@contextmanager
def _replaced(owner: type, name: str, value: object) -> Generator[None]:
    original = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)
