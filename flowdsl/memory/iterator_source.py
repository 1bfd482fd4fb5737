"""An iterator or generator of this process as a connector source."""

from __future__ import annotations

import asyncio
import threading
from abc import abstractmethod
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from queue import Empty, Queue
from typing import Any, Protocol

from msgspec.structs import replace

from flowdsl.clock import Clock, SystemClock
from flowdsl.errors import ConfigurationError, StreamerError
from flowdsl.model.event import ConnectorEvent
from flowdsl.ports.connector_source import ConnectorReader, ConnectorSource

AT_ONCE = 0.05
"""Seconds for which items are collected before they are handed on."""
PAUSE = 0.1
"""Seconds until an iterator that had nothing is asked again."""
AHEAD = 100
"""Items that a thread reads ahead of an iterator that blocks."""
_END = object()
Items = Iterable[Any] | AsyncIterable[Any]


class IteratorSource(ConnectorSource):
    """What an iterable, an iterator or a generator yields, `def` or `async def`.

    It has no memory: what was taken from it and not acknowledged is given again while this process lives, and is gone with it
    unless the iterator brings it again. Event ids are what keeps it from starting anything twice. One reader at a time.

    In: the items, or a function that gives them, which is called again when they have failed; `read` makes a ConnectorEvent of an
    item that is none yet; None, from either, means that there is nothing right now. `blocking=True` for a `def` iterator whose
    next item may take long: it is then read in a thread of its own.
    """

    keeps_places = False
    competing = False

    def __init__(
        self,
        items: Items | Callable[[], Items],
        *,
        read: Callable[[Any], ConnectorEvent | None] | None = None,
        blocking: bool = False,
        clock: Clock | None = None,
    ) -> None:
        given: Any = items
        is_function = callable(given)
        if not is_function and not isinstance(given, Iterable | AsyncIterable):
            raise ConfigurationError(
                f"{given!r} cannot be iterated over.", remedy="Give an iterable, an async iterable, or a function that gives one."
            )
        make: Any = given if is_function else None
        self._make: Callable[[], Any] | None = make
        self._items: Any = None if is_function else given
        self._read = read
        self._blocking = blocking
        self._clock = clock or SystemClock()
        self._pull: _Pull | None = None
        self._returned: deque[ConnectorEvent] = deque()
        self._failure: StreamerError | None = None
        """To be raised when what came before it has been handed on."""

    def __repr__(self) -> str:
        return f"IteratorSource({self._make or self._items!r})"

    def open(self, name: str) -> ConnectorReader:
        return _IteratorReader(self)

    def _the_pull(self) -> _Pull:
        if self._pull is None:
            items: Any = self._make() if self._make is not None else self._items
            if isinstance(items, AsyncIterable):
                self._pull = _AsyncPull(aiter(items))
            elif self._blocking:
                self._pull = _ThreadPull(iter(items))
            else:
                self._pull = _PlainPull(iter(items))
        return self._pull

    def _next(self, wait: float) -> ConnectorEvent | None:
        """One event; None: there is none within `wait` seconds. Raises StreamerError for what the iterator raises."""
        try:
            item = self._the_pull().next(wait)
            event = item if item is None or self._read is None else self._read(item)
        except Exception as error:  # other people's code
            self._begin_again()
            raise StreamerError(f"{self!r} failed: {type(error).__name__}: {error}") from error
        if event is not None and not isinstance(event, ConnectorEvent):
            raise StreamerError(f"{self!r} gave a {type(event).__name__}.", remedy="Give read= to make a ConnectorEvent of it.")
        return event

    def _begin_again(self) -> None:
        """A generator that has raised is over; a function makes another."""
        if self._make is not None and self._pull is not None:
            self._pull.close()
            self._pull = None

    def _rest(self) -> None:
        """Nobody reads: coroutines end, and begin again with the next reader."""
        pull = self._pull
        if isinstance(pull, _AsyncPull):
            self._pull = None
            item = pull.close()
            event = item if item is None or self._read is None else self._read(item)
            if isinstance(event, ConnectorEvent):
                self._returned.append(event)


class _IteratorReader(ConnectorReader):
    def __init__(self, source: IteratorSource) -> None:
        self._source = source
        self._out: dict[str, list[ConnectorEvent]] = {}
        self._stop = threading.Event()

    def receive(self, limit: int, timeout: timedelta) -> Sequence[ConnectorEvent]:
        clock = self._source._clock
        if self._stop.is_set():
            raise StreamerError("the reader is closed.")
        end = clock.monotonic() + timeout.total_seconds()
        while limit > 0:
            if found := self._collect(limit, max(0.0, end - clock.monotonic())):
                return found
            left = end - clock.monotonic()
            if left <= 0 or self._stop.wait(min(left, PAUSE)):
                break
        return []

    def acknowledge(self, events: Sequence[ConnectorEvent]) -> None:
        for event in events:
            self._out.pop(event.event_id, None)

    def close(self) -> None:
        if self._stop.is_set():
            return
        self._stop.set()
        left = [event for events in self._out.values() for event in events]
        self._source._returned.extendleft(replace(event, redelivered=True) for event in reversed(left))
        self._out.clear()
        self._source._rest()

    def _collect(self, limit: int, wait: float) -> list[ConnectorEvent]:
        """What comes at once, after waiting for the first. An error is kept until what came before it has been handed on."""
        source, clock = self._source, self._source._clock
        found: list[ConnectorEvent] = []
        began = clock.monotonic()
        while len(found) < limit and clock.monotonic() - began < AT_ONCE + wait:
            if source._failure is not None and not found:
                failure, source._failure = source._failure, None
                raise failure
            if source._returned:
                event: ConnectorEvent | None = source._returned.popleft()
            else:
                try:
                    event = source._next(0.0 if found else wait)
                except StreamerError as error:
                    source._failure = error
                    if found:
                        break
                    continue
            if event is None:
                break
            self._out.setdefault(event.event_id, []).append(event)
            found.append(event)
        return found


class _Pull(Protocol):
    """Takes items one by one."""

    @abstractmethod
    def next(self, wait: float) -> Any:
        """The next item; None when there is none within `wait` seconds, or no more. Raises what the iterator raises."""

    @abstractmethod
    def close(self) -> Any:
        """Take no more."""


class _PlainPull(_Pull):
    def __init__(self, items: Iterator[Any]) -> None:
        self._items = items

    def next(self, wait: float) -> Any:
        return next(self._items, None)

    def close(self) -> None:
        """Nothing goes on by itself."""


class _ThreadPull(_Pull):
    """Reads in a daemon thread, which ends with the iterator, or at the first item after `close`."""

    def __init__(self, items: Iterator[Any]) -> None:
        self._items = items
        self._queue: Queue[tuple[Any, Exception | None]] = Queue(AHEAD)
        self._closed = False
        threading.Thread(target=self._run, name="flowdsl-iterator", daemon=True).start()

    def next(self, wait: float) -> Any:
        try:
            item, error = self._queue.get(timeout=wait) if wait > 0 else self._queue.get_nowait()
        except Empty:
            return None
        if error is not None:
            raise error
        return item

    def close(self) -> None:
        self._closed = True

    def _run(self) -> None:
        try:
            for item in self._items:
                if self._closed:
                    return
                if item is not None:
                    self._queue.put((item, None))
        except Exception as error:
            self._queue.put((None, error))


class _AsyncPull(_Pull):
    """Runs an event loop of its own, and only while somebody waits."""

    def __init__(self, items: AsyncIterator[Any]) -> None:
        self._items = items
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[Any] | None = None
        self._ended = False

    def next(self, wait: float) -> Any:
        if self._ended:
            return None
        if self._task is None:
            self._task = self._loop.create_task(self._anext())
        task = self._task
        self._loop.run_until_complete(asyncio.wait({task}, timeout=wait))
        if not task.done():
            return None
        self._task = None
        item = task.result()
        self._ended = item is _END
        return None if self._ended else item

    def close(self) -> Any:
        """Out: an item that has come and nobody has taken; None: there is none."""
        task, self._task = self._task, None
        item = None
        if task is not None:
            task.cancel()
            self._loop.run_until_complete(asyncio.wait({task}))
            if not task.cancelled() and task.exception() is None and task.result() is not _END:
                item = task.result()
        aclose: Any = getattr(self._items, "aclose", None)
        if aclose is not None:
            self._loop.run_until_complete(aclose())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()
        return item

    async def _anext(self) -> Any:
        return await anext(self._items, _END)
