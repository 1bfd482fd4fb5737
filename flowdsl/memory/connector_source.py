"""A connector source in memory: a list of events that may grow, and a place per name."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from datetime import timedelta

from flowdsl.errors import StreamerError
from flowdsl.model.event import ConnectorEvent
from flowdsl.ports.connector_source import ConnectorReader, ConnectorSource


class MemoryConnectorSource(ConnectorSource):
    """In: the events there are at first; `add` brings more."""

    def __init__(self, events: Iterable[ConnectorEvent] = ()) -> None:
        self._news = threading.Condition()
        self._events = list(events)
        self._done: dict[str, set[int]] = {}

    def add(self, *events: ConnectorEvent) -> None:
        with self._news:
            self._events += events
            self._news.notify_all()

    def open(self, name: str) -> ConnectorReader:
        with self._news:
            return _MemoryReader(self, self._done.setdefault(name, set()))


class _MemoryReader(ConnectorReader):
    def __init__(self, source: MemoryConnectorSource, done: set[int]) -> None:
        self._source = source
        self._done = done
        self._given: dict[str, list[int]] = {}
        self._next = 0
        self._closed = False

    def receive(self, limit: int, timeout: timedelta) -> Sequence[ConnectorEvent]:
        source = self._source
        with source._news:
            self._check()
            if self._next >= len(source._events) and timeout > timedelta(0):
                source._news.wait_for(lambda: self._closed or self._next < len(source._events), timeout.total_seconds())
                self._check()
            found: list[ConnectorEvent] = []
            while self._next < len(source._events) and len(found) < limit:
                if self._next not in self._done:
                    event = source._events[self._next]
                    self._given.setdefault(event.event_id, []).append(self._next)
                    found.append(event)
                self._next += 1
            return found

    def acknowledge(self, events: Sequence[ConnectorEvent]) -> None:
        with self._source._news:
            for event in events:
                self._done.update(self._given.pop(event.event_id, ()))

    def close(self) -> None:
        with self._source._news:
            self._closed = True
            self._source._news.notify_all()

    def _check(self) -> None:
        if self._closed:
            raise StreamerError("the reader is closed.")
