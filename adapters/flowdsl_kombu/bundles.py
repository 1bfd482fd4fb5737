"""Bundles: events that travel in one message. A message costs the client of a broker ten times what an event in it does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from flowdsl.model.event import Event

BUNDLE = 25
"""Events of a message, at most. What a reader holds is a number of messages times this: few enough that two share a backlog."""


def bundled(events: Sequence[Event]) -> list[list[int]]:
    """Which events go together, by their places: hints of one topic, as they come. A user's own event travels alone."""
    found: list[list[int]] = []
    open_ones: dict[str, list[int]] = {}
    for place, event in enumerate(events):
        bundle = None if event.body else open_ones.get(event.topic)
        if bundle is None or len(bundle) == BUNDLE:
            bundle = []
            found.append(bundle)
            if not event.body:
                open_ones[event.topic] = bundle
        bundle.append(place)
    return found


class HeldMessages:
    """Messages of one channel that a reader has not acknowledged. A message is done when each of its events is."""

    def __init__(self) -> None:
        self._tags: dict[str, list[Any]] = {}
        """By event: delivered twice, it came with two messages."""
        self._left: dict[Any, int] = {}
        """By the message's tag, oldest first: how many of its events are not done."""

    def hold(self, tag: Any, events: Iterable[Event]) -> None:
        ids = {event.event_id for event in events}
        self._left[tag] = len(ids)
        for event_id in ids:
            self._tags.setdefault(event_id, []).append(tag)

    def done(self, events: Iterable[Event]) -> list[Any]:
        """Out: the messages of which nothing is left."""
        finished: list[Any] = []
        for event in events:
            for tag in self._tags.pop(event.event_id, ()):
                self._left[tag] -= 1
                if not self._left[tag]:
                    del self._left[tag]
                    finished.append(tag)
        return finished

    @property
    def oldest(self) -> Any:
        """None: nothing is held."""
        return next(iter(self._left), None)

    @property
    def tags(self) -> list[Any]:
        return list(self._left)

    def forget(self) -> None:
        self._tags.clear()
        self._left.clear()
