"""A connector source in memory: a list of events that may grow, and a place per name."""

from __future__ import annotations

import threading
from bisect import insort
from collections.abc import Iterable, Sequence
from datetime import timedelta

from msgspec.structs import replace

from flowdsl.errors import StreamerError
from flowdsl.model.event import ConnectorEvent
from flowdsl.ports.connector_source import ConnectorReader, ConnectorSource


class _Place:
    """How far a name has come."""

    def __init__(self) -> None:
        self.next = 0
        self.returned: list[int] = []
        """Given out before and given back, by their order in the stream."""


class MemoryConnectorSource(ConnectorSource):
    """In: the events there are at first; `add` brings more."""

    keeps_places = True
    competing = True

    def __init__(self, events: Iterable[ConnectorEvent] = ()) -> None:
        self._news = threading.Condition()
        self._events = list(events)
        self._places: dict[str, _Place] = {}

    def add(self, *events: ConnectorEvent) -> None:
        with self._news:
            self._events += events
            self._news.notify_all()

    def open(self, name: str) -> ConnectorReader:
        with self._news:
            return _MemoryReader(self, self._places.setdefault(name, _Place()))


class _MemoryReader(ConnectorReader):
    def __init__(self, source: MemoryConnectorSource, place: _Place) -> None:
        self._source = source
        self._place = place
        self._given: dict[str, list[int]] = {}
        self._closed = False

    def receive(self, limit: int, timeout: timedelta) -> Sequence[ConnectorEvent]:
        source = self._source
        with source._news:
            self._check()
            if limit > 0 and timeout > timedelta(0) and not self._waiting():
                source._news.wait_for(lambda: self._closed or self._waiting(), timeout.total_seconds())
                self._check()
            return [self._take() for _ in range(limit) if self._waiting()]

    def acknowledge(self, events: Sequence[ConnectorEvent]) -> None:
        with self._source._news:
            for event in events:
                self._given.pop(event.event_id, None)

    def close(self) -> None:
        with self._source._news:
            self._closed = True
            for numbers in self._given.values():
                for number in numbers:
                    insort(self._place.returned, number)
            self._given.clear()
            self._source._news.notify_all()

    def _waiting(self) -> bool:
        return bool(self._place.returned) or self._place.next < len(self._source._events)

    def _take(self) -> ConnectorEvent:
        place = self._place
        if place.returned:
            number = place.returned.pop(0)
            event = replace(self._source._events[number], redelivered=True)
        else:
            number = place.next
            event = self._source._events[number]
            place.next += 1
        self._given.setdefault(event.event_id, []).append(number)
        return event

    def _check(self) -> None:
        if self._closed:
            raise StreamerError("the reader is closed.")
