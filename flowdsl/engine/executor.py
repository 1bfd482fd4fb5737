"""What runs bodies: production's is in `thread_executor`; the one here lets a test decide when what runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from abc import abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from flowdsl.clock import Clock
from flowdsl.engine.work import Work

log = logging.getLogger("flowdsl.executor")


class Body(Protocol):
    """What an executor calls: the part of a step's life between the claim and the commit."""

    def run(self, work: Work) -> None:
        """Run a `def` body to its end and submit what came of it."""
        ...

    async def run_async(self, work: Work) -> None:
        """The same for an `async def` body."""
        ...


class Executor(Protocol):
    """Runs works, each lane's at most `limit` at a time."""

    @abstractmethod
    def offer(self, works: Sequence[Work]) -> None:
        """Run these when their lanes allow."""

    @abstractmethod
    def overdue(self) -> Sequence[Work]:
        """Works whose body has outlived its time_limit and still runs."""

    @abstractmethod
    def withdraw(self) -> Sequence[Work]:
        """Take back what has not begun."""

    @abstractmethod
    def complete(self, waiting: Awaitable[Any]) -> Any:
        """Wait for what a user's `async def` answers, on the loop where such bodies run. Not to be called on that loop."""

    @abstractmethod
    def event_loop(self) -> asyncio.AbstractEventLoop:
        """The loop on which coroutines run, made at first use."""

    @abstractmethod
    def spawn(self, call: Callable[[], None]) -> None:
        """Make a call that may take its time, where nothing else waits for it."""

    @abstractmethod
    def stop(self) -> None:
        """Take no more. Bodies that still run are left to themselves."""


class InlineExecutor:
    """Runs one body at each `step`, in the caller's thread."""

    def __init__(self, body: Body, clock: Clock) -> None:
        self._body = body
        self._clock = clock
        self._ready: deque[Work] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None

    def offer(self, works: Sequence[Work]) -> None:
        for work in works:
            if work.lane.admit(work):
                self._ready.append(work)

    def step(self) -> bool:
        """Run the next body. False: nothing was ready."""
        if not self._ready:
            return False
        work = self._ready.popleft()
        began = work.began = self._clock.monotonic()
        if work.lane.spec.is_async:
            with contextlib.suppress(asyncio.CancelledError):  # it has failed, which is all that is to be done about it
                self.event_loop().run_until_complete(self._body.run_async(work))
        else:
            self._body.run(work)
        following = work.lane.finish(self._clock.monotonic() - began)
        if following is not None:
            self._ready.append(following)
        return True

    def overdue(self) -> Sequence[Work]:
        return ()

    def complete(self, waiting: Awaitable[Any]) -> Any:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(_result_of(waiting))

    def spawn(self, call: Callable[[], None]) -> None:
        call()

    def withdraw(self) -> Sequence[Work]:
        works, self._ready = list(self._ready), deque()
        lanes = {id(work.lane): work.lane for work in works}
        for work in works:
            work.lane.retract()
        return [*works, *(w for lane in lanes.values() for w in lane.withdraw())]

    def event_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop

    def stop(self) -> None:
        if self._loop is not None:
            self._loop.close()
            self._loop = None


async def _result_of(waiting: Awaitable[Any]) -> Any:
    return await waiting
