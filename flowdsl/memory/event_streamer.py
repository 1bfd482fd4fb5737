"""The event streamer in memory: a log per topic, a place per name and topic, for the threads of one process."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta

from flowdsl.clock import Clock, SystemClock
from flowdsl.errors import StreamerError
from flowdsl.model.event import Event
from flowdsl.model.pending import TopicQuota
from flowdsl.model.quotas import limits_of
from flowdsl.ports.event_streamer import EventReceiver, EventStreamer, StartFrom


class _Name:
    """The place of a receiver name in its topics: what was given out, and what came back."""

    def __init__(self) -> None:
        self.next: dict[str, int] = {}
        """Per topic, the first position that no reader has been given."""
        self.returned: dict[tuple[str, int], None] = {}
        """Positions that a closed reader had not acknowledged, in the order in which they come again."""


class MemoryEventStreamer(EventStreamer):
    """Keeps every event until `close`: a log, made for tests and single processes of moderate length."""

    retains_history = True

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._news = threading.Condition()
        self._logs: dict[str, list[Event]] = {}
        self._names: dict[str, _Name] = {}
        self._closed = False

    def publish(self, events: Sequence[Event]) -> Sequence[bool]:
        with self._news:
            self._check()
            for event in events:
                self._logs.setdefault(event.topic, []).append(event)
            self._news.notify_all()
        return [True] * len(events)

    def receiver(self, name: str, topics: Sequence[str], start: StartFrom = StartFrom.OLDEST) -> EventReceiver:
        with self._news:
            self._check()
            place = self._names.setdefault(name, _Name())
            for topic in topics:
                place.next.setdefault(topic, 0 if start is StartFrom.OLDEST else len(self._logs.get(topic, ())))
        return _MemoryReceiver(self, place, topics)

    def close(self) -> None:
        with self._news:
            self._closed = True
            self._news.notify_all()

    def _check(self) -> None:
        if self._closed:
            raise StreamerError("the streamer is closed.")


class _MemoryReceiver(EventReceiver):
    def __init__(self, streamer: MemoryEventStreamer, place: _Name, topics: Sequence[str]) -> None:
        self._streamer = streamer
        self._place = place
        self._topics = frozenset(topics)
        self._out: dict[str, list[tuple[str, int]]] = {}
        self._closed = False

    def receive(self, quotas: Sequence[TopicQuota], timeout: timedelta) -> Sequence[Event]:
        streamer = self._streamer
        limits = limits_of(quotas, self._topics)
        with streamer._news:
            self._check()
            found = self._take(limits)
            if not found and timeout > timedelta(0):
                streamer._news.wait_for(lambda: self._something(limits), timeout.total_seconds())
                self._check()
                found = self._take(limits)
            return found

    def acknowledge(self, events: Sequence[Event]) -> None:
        with self._streamer._news:
            for event in events:
                self._out.pop(event.event_id, None)

    def close(self) -> None:
        with self._streamer._news:
            if self._closed:
                return
            self._closed = True
            for places in self._out.values():
                self._place.returned.update(dict.fromkeys(places))
            self._out.clear()
            self._streamer._news.notify_all()

    def _check(self) -> None:
        self._streamer._check()
        if self._closed:
            raise StreamerError("the receiver is closed.")

    def _something(self, topics: Collection[str]) -> bool:
        place, logs = self._place, self._streamer._logs
        return (
            self._closed
            or self._streamer._closed
            or any(topic in topics for topic, _ in place.returned)
            or any(place.next[topic] < len(logs.get(topic, ())) for topic in topics)
        )

    def _take(self, limits: Mapping[str, int]) -> list[Event]:
        place, logs = self._place, self._streamer._logs
        positions: list[tuple[str, int]] = []
        for topic, limit in limits.items():
            again = [spot for spot in place.returned if spot[0] == topic][:limit]
            for spot in again:
                del place.returned[spot]
            begin = place.next[topic]
            end = max(begin, min(len(logs.get(topic, ())), begin + limit - len(again)))
            positions += [*again, *((topic, position) for position in range(begin, end))]
            place.next[topic] = end
        events = []
        for topic, position in positions:
            event = logs[topic][position]
            self._out.setdefault(event.event_id, []).append((topic, position))
            events.append(event)
        return events


_named: dict[str, MemoryEventStreamer] = {}


def open_streamer(url: str, *, clock: Clock | None = None) -> MemoryEventStreamer:
    """`memory://` is a streamer of its own; `memory://name` is shared by everybody in this process who names it."""
    name = url.partition("://")[2]
    if not name:
        return MemoryEventStreamer(clock)
    streamer = _named.get(name)
    if streamer is None or streamer._closed:
        streamer = _named[name] = MemoryEventStreamer(clock)
    return streamer
