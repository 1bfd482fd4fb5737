"""Iterators that end, fail, have nothing right now, and are left in the middle."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flowdsl.errors import ConfigurationError, StreamerError
from flowdsl.memory.iterator_source import IteratorSource
from flowdsl.model.event import ConnectorEvent
from flowdsl.testing.clock import ManualClock

NOW, PATIENCE = timedelta(0), timedelta(seconds=10)


def event(number: int) -> ConnectorEvent:
    return ConnectorEvent(event_id=f"e-{number}", foreign_id="o", created_at=datetime(2030, 1, 1, tzinfo=UTC))


def ids(events: Any) -> list[str]:
    return [one.event_id for one in events]


def test_an_iterator_that_has_nothing_right_now_goes_on_later() -> None:
    reader = IteratorSource([None, event(1), event(2), None, event(3)], clock=ManualClock()).open("a")

    assert [ids(reader.receive(10, NOW)) for _ in range(4)] == [[], ["e-1", "e-2"], ["e-3"], []]
    reader.close()


def test_a_function_is_asked_again_when_its_iterator_has_failed() -> None:
    calls: list[int] = []

    def numbers() -> Iterator[ConnectorEvent]:
        calls.append(1)
        yield event(len(calls))
        raise ZeroDivisionError("a mistake")

    reader = IteratorSource(numbers, clock=ManualClock()).open("a")
    for number in (1, 2):
        assert ids(reader.receive(10, NOW)) == [f"e-{number}"], "what comes before an error is not kept waiting"
        with pytest.raises(StreamerError, match="a mistake"):
            reader.receive(10, NOW)
    reader.close()


def test_an_error_is_said_and_an_iterator_that_is_over_is_over() -> None:
    def numbers() -> Iterator[ConnectorEvent]:
        raise ZeroDivisionError("a mistake")
        yield event(1)

    reader = IteratorSource(numbers()).open("a")  # a generator, not the function that makes it
    with pytest.raises(StreamerError, match="ZeroDivisionError: a mistake"):
        reader.receive(10, NOW)
    assert list(reader.receive(10, NOW)) == []
    reader.close()


def test_what_is_no_event_is_said() -> None:
    reader = IteratorSource([7]).open("a")
    with pytest.raises(StreamerError, match=r"gave a int.*read="):
        reader.receive(10, NOW)
    reader.close()
    with pytest.raises(ConfigurationError, match="cannot be iterated over"):
        IteratorSource(7)  # type: ignore[arg-type]


def test_an_item_that_is_passed_over_by_read_is_nothing() -> None:
    source = IteratorSource([1, 2, 3], read=lambda number: event(number) if number != 2 else None, clock=ManualClock())
    reader = source.open("a")
    assert [ids(reader.receive(10, NOW)) for _ in range(2)] == [["e-1"], ["e-3"]]
    reader.close()


def test_what_was_not_acknowledged_comes_first_and_says_so() -> None:
    source = IteratorSource([event(1), event(2), event(3)], clock=ManualClock())
    first = source.open("a")
    first.acknowledge(first.receive(2, NOW)[:1])
    first.close()
    again = source.open("a").receive(10, NOW)
    assert [(one.event_id, one.redelivered) for one in again] == [("e-2", True), ("e-3", False)]


def test_a_blocking_iterator_keeps_nobody_waiting() -> None:
    go_on = threading.Event()

    def slow() -> Iterator[ConnectorEvent | None]:
        yield event(1)
        go_on.wait()
        yield event(2)
        raise ZeroDivisionError("the end")

    reader = IteratorSource(slow(), blocking=True).open("a")
    assert ids(reader.receive(10, PATIENCE)) == ["e-1"]
    assert list(reader.receive(10, timedelta(milliseconds=10))) == []
    go_on.set()
    assert ids(reader.receive(10, PATIENCE)) == ["e-2"]
    with pytest.raises(StreamerError, match="the end"):
        reader.receive(10, PATIENCE)
    reader.close()


def test_coroutines_are_waited_for_and_end_with_their_reader() -> None:
    ended: list[str] = []

    async def feed() -> AsyncIterator[ConnectorEvent]:
        try:
            for number in (1, 2):
                await asyncio.sleep(0)
                yield event(number)
            await asyncio.Event().wait()
        finally:
            ended.append("closed")

    source = IteratorSource(feed)
    for _ in range(2):
        reader = source.open("a")
        found: list[str] = []
        while len(found) < 2:
            found += ids(reader.receive(10, PATIENCE))
        assert found == ["e-1", "e-2"]
        assert list(reader.receive(10, timedelta(milliseconds=10))) == []
        reader.acknowledge([event(1), event(2)])
        reader.close()
    assert ended == ["closed", "closed"]


def test_an_item_that_came_while_nobody_waited_is_kept() -> None:
    class Slow:
        def __aiter__(self) -> Slow:
            return self

        async def __anext__(self) -> ConnectorEvent:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return event(7)  # it was just there
            raise StopAsyncIteration

    source = IteratorSource(Slow())
    reader = source.open("a")
    assert list(reader.receive(10, NOW)) == []
    reader.close()
    again = source.open("a")
    assert ids(again.receive(1, NOW)) == ["e-7"]
    again.close()


def test_a_failing_coroutine_is_said() -> None:
    async def feed() -> AsyncIterator[ConnectorEvent]:
        raise ZeroDivisionError("a mistake")
        yield event(1)

    reader = IteratorSource(feed).open("a")
    for _ in range(2):
        with pytest.raises(StreamerError, match="a mistake"):
            reader.receive(10, PATIENCE)
    reader.close()
