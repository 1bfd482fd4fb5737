"""Waking listeners: those of this process directly, those of others as the database allows."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

log = logging.getLogger("flowdsl.sql.listeners")
Wake = Callable[[Sequence[str]], None]


class Watcher(Protocol):
    """Hears other processes for as long as somebody listens."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


class Listeners:
    """Who wants to be woken, by namespace. In: makes the watcher that calls `wake` for what other processes committed, or None
    where the database has no way to hear them."""

    def __init__(self, make_watcher: Callable[[], Watcher | None]) -> None:
        self._make_watcher = make_watcher
        self._guard = threading.Lock()
        self._wakes: list[tuple[str, Wake]] = []
        self._watcher: Watcher | None = None
        self._pid = os.getpid()

    def add(self, namespace: str, wake: Wake) -> Callable[[], None]:
        """Listen; returns the function that ends it."""
        entry = (namespace, wake)
        with self._guard:
            if self._pid != os.getpid():  # the listeners of a forked parent, and its thread, are not here
                self._wakes, self._watcher, self._pid = [], None, os.getpid()
            self._wakes.append(entry)
            if self._watcher is None:
                self._watcher = self._make_watcher()
                if self._watcher is not None:
                    self._watcher.start()

        def end() -> None:
            with self._guard:
                if entry in self._wakes:
                    self._wakes.remove(entry)
                idle = self._watcher if not self._wakes else None
                if idle is not None:
                    self._watcher = None
            if idle is not None:
                idle.stop()

        return end

    def wake(self, wakes: Iterable[tuple[str, str]]) -> None:
        """Wake for namespaces and topics."""
        if not self._wakes:
            return
        topics: dict[str, list[str]] = {}
        for namespace, topic in wakes:
            topics.setdefault(namespace, []).append(topic)
        for wanted, wake in list(self._wakes):
            if wanted in topics:
                self._call(wake, topics[wanted])

    def wake_namespace(self, namespace: str) -> None:
        """Rows wait in more topics than could be named."""
        for wanted, wake in list(self._wakes):
            if wanted == namespace:
                self._call(wake, ())

    def wake_all(self) -> None:
        """Something was committed somewhere: anybody may look."""
        for _, wake in list(self._wakes):
            self._call(wake, ())

    def close(self) -> None:
        with self._guard:
            watcher, self._watcher = self._watcher, None
            self._wakes = []
        if watcher is not None and self._pid == os.getpid():
            watcher.stop()

    def _call(self, wake: Wake, topics: Sequence[str]) -> None:
        try:
            wake(topics)
        except Exception:  # a listener's failure is not the committer's
            log.exception("a listener failed")
