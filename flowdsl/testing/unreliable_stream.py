"""A streamer that delivers as badly as a broker may: twice, in another order, or not at all."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta

from flowdsl.model.event import Event
from flowdsl.model.pending import TopicQuota
from flowdsl.ports.event_streamer import EventReceiver, EventStreamer, StartFrom


class UnreliableStream(EventStreamer):
    """In: the streamer underneath and what it is to be blamed for. Whatever is lost, the rows are in the store."""

    def __init__(
        self, inner: EventStreamer, *, seed: int = 0, duplicate: bool = False, reorder: bool = False, lose: bool = False
    ) -> None:
        self._inner = inner
        self._rng = random.Random(seed)
        self._duplicate, self._reorder, self._lose = duplicate, reorder, lose
        self.retains_history = inner.retains_history

    def publish(self, events: Sequence[Event]) -> Sequence[bool]:
        sent = [event for event in events if not (self._lose and self._rng.random() < 0.5)]
        if self._duplicate:
            sent = [event for event in sent for _ in range(1 + self._rng.randrange(2))]
        if self._reorder:
            self._rng.shuffle(sent)
        self._inner.publish(sent)
        return [True] * len(events)

    def receiver(self, name: str, topics: Sequence[str], start: StartFrom = StartFrom.OLDEST) -> EventReceiver:
        return _Receiver(self._inner.receiver(name, topics, start), self._rng if self._reorder else None)

    def close(self) -> None:
        """The next process reads on: what it had not acknowledged comes again."""


class _Receiver(EventReceiver):
    def __init__(self, inner: EventReceiver, rng: random.Random | None) -> None:
        self._inner = inner
        self._rng = rng

    def receive(self, quotas: Sequence[TopicQuota], timeout: timedelta) -> Sequence[Event]:
        events = list(self._inner.receive(quotas, timeout))
        if self._rng is not None:
            self._rng.shuffle(events)
        return events

    def acknowledge(self, events: Sequence[Event]) -> None:
        self._inner.acknowledge(events)

    def close(self) -> None:
        self._inner.close()
