"""The events that a connector's consumer has in hand, in lines: those about one thing are handled one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

from flowdsl.model.event import ConnectorEvent


class Held:
    """An event in hand."""

    __slots__ = ("attempts", "began", "doubtful", "error", "event", "marked", "ready_at", "running", "suspect", "verdict")

    def __init__(self, event: ConnectorEvent, ready_at: float) -> None:
        self.event = event
        self.attempts = 0
        self.ready_at = ready_at
        """Monotonic time from which it may be tried."""
        self.running = False
        self.began = 0.0
        self.error = ""
        """The last one."""
        self.doubtful = False
        """It may have been in somebody's hands before."""
        self.suspect = False
        """More than one process that had it in its hands has ended: it is tried alone, so that no other event is suspected."""
        self.marked = False
        """The book knows of it."""
        self.verdict: str | None = None
        """Why it is to be given up; None: it is not."""

    @property
    def line(self) -> str:
        """Events of one line are handled one after the other."""
        return self.event.foreign_id or f"\0{self.event.event_id}"


class Hand:
    """Events by id and in their lines. Used by one thread."""

    def __init__(self) -> None:
        self._held: dict[str, Held] = {}
        self._lines: dict[str, deque[Held]] = {}
        self.running = 0

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, event_id: str) -> bool:
        return event_id in self._held

    def add(self, held: Held) -> None:
        """At the end of its line."""
        self._held[held.event.event_id] = held
        self._lines.setdefault(held.line, deque()).append(held)

    def remove(self, held: Held) -> None:
        """It is no longer in hand; it may have gone before."""
        if self._held.get(held.event.event_id) is not held:
            return
        del self._held[held.event.event_id]
        line = self._lines[held.line]
        line.remove(held)
        if not line:
            del self._lines[held.line]

    def let_go(self) -> None:
        """Of everything that is not being tried."""
        for held in [held for held in self._held.values() if not held.running]:
            self.remove(held)

    def clear(self) -> None:
        self._held.clear()
        self._lines.clear()

    def ready(self, now: float, most: int) -> Collection[Held]:
        """What may be tried now, while at most so many are being tried: the first of every line that is free. A suspect is tried
        when nothing else is."""
        ready = [line[0] for line in self._lines.values() if not line[0].running and line[0].ready_at <= now]
        suspects = [held for held in ready if held.suspect]
        if suspects:
            return suspects[:1] if not self.running else ()
        if any(held.suspect and held.running for held in self._held.values()):
            return ()
        return ready[: max(0, most - self.running)]

    def next_due(self, after: float = -1.0) -> float | None:
        """The first monotonic time after this at which an event that waits may be tried."""
        moments = (line[0].ready_at for line in self._lines.values() if not line[0].running)
        return min((moment for moment in moments if moment > after), default=None)
