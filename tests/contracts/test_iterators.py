"""Iterators keep the source's contract, whatever they are."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from flowdsl.memory.iterator_source import IteratorSource
from flowdsl.model.event import ConnectorEvent
from flowdsl.ports.connector_source import ConnectorSource
from flowdsl.testing.contracts import ConnectorSourceContract


class Feed:
    """An async iterator that goes on where it was, as one over a connection of its own does."""

    def __init__(self, events: Sequence[ConnectorEvent]) -> None:
        self._left = deque(events)

    def __aiter__(self) -> Feed:
        return self

    async def __anext__(self) -> ConnectorEvent:
        if not self._left:
            raise StopAsyncIteration
        return self._left.popleft()


def generator(events: Sequence[ConnectorEvent]) -> Iterator[dict[str, Any] | None]:
    for event in events:
        yield None
        yield {"event": event}


KINDS: dict[str, Callable[[Sequence[ConnectorEvent]], ConnectorSource]] = {
    "list": IteratorSource,
    "generator": lambda events: IteratorSource(lambda: generator(events), read=lambda item: item["event"]),
    "thread": lambda events: IteratorSource(iter(events), blocking=True),
    "async": lambda events: IteratorSource(Feed(events)),
}


class TestIteratorSource(ConnectorSourceContract):
    @pytest.fixture(params=KINDS)
    def seeded(self, request: pytest.FixtureRequest) -> Callable[[Sequence[ConnectorEvent]], ConnectorSource]:
        return KINDS[request.param]
