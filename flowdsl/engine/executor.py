"""Executors run bodies. The threaded one is production's; the inline one lets a test decide when what runs."""

from __future__ import annotations

import asyncio
import logging
import threading
from abc import abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from flowdsl.clock import Clock
from flowdsl.engine.committer import Committer
from flowdsl.engine.work import Work

log = logging.getLogger("flowdsl.executor")
IN_A_ROW = 16
"""Quick bodies that one thread runs before it commits what came of them."""
PATIENCE = 0.01
"""Seconds after which a thread that has run no body to its end is no longer waited for."""


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


class ThreadExecutor:
    """Daemon threads for `def` bodies, made when all are busy; one event loop for `async def` bodies, the engine's own or the
    caller's."""

    def __init__(self, body: Body, clock: Clock, committer: Committer, name: str) -> None:
        self._body = body
        self._clock = clock
        self._committer = committer
        self._name = name
        self._ready: SimpleQueue[Work | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0
        self._shelf: deque[Work] = deque()
        """Quick works that no thread was woken for: whichever thread has committed takes them."""
        self._shelved = threading.Event()
        self._served = 0
        self._here = threading.local()
        self._threads: list[threading.Thread] = []
        self._active: dict[int, Work] = {}
        self._stopped = False
        self._over = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._own_loop_thread: threading.Thread | None = None
        self._arrived: deque[Work] = deque()
        self._tasks: set[asyncio.Task[Any]] = set()

    def use_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run `async def` bodies on the caller's loop instead of one of our own."""
        self._loop = loop

    def offer(self, works: Sequence[Work]) -> None:
        for work in works:
            if work.lane.admit(work):
                self._start(work)

    def _start(self, work: Work) -> None:
        if work.lane.spec.is_async:
            self._arrived.append(work)
            self.event_loop().call_soon_threadsafe(self._begin_arrived)
        elif not self._shelve(work):
            self._enqueue(work)

    def _shelve(self, work: Work) -> bool:
        """Leave a quick body to a thread that is at work already: it is over before another one has woken up."""
        if not work.lane.quick:
            return False
        if getattr(self._here, "committing", False):
            if not self._committer.quick and (self._shelf or self._committer.waiting):
                return False  # this thread goes on committing, and that takes longer than a waking
            self._shelf.append(work)  # we look there when the commit is over
        else:
            if not self._committer.quick:
                return False
            with self._lock:
                if self._idle == len(self._threads):
                    return False
                self._shelf.append(work)
        self._look_after()
        return True

    def _look_after(self) -> None:
        """Something waits for a body to end that is expected to be quick."""
        if not self._shelved.is_set():
            self._shelved.set()

    def _enqueue(self, work: Work) -> None:
        """Every queued work has a thread that will come for it. An idle one is taken off the count here, not when it wakes, or
        two works would reckon with the same thread and one of them wait behind a body."""
        with self._lock:
            if self._idle:
                self._idle -= 1
            elif not self._stopped:
                if not self._threads:
                    threading.Thread(target=self._clear_shelf, name=f"{self._name}-shelf", daemon=True).start()
                thread = threading.Thread(target=self._serve, name=f"{self._name}-step-{len(self._threads) + 1}", daemon=True)
                self._threads.append(thread)
                thread.start()
        self._ready.put(work)

    def _serve(self) -> None:
        while (work := self._ready.get()) is not None:
            ran = 0
            while work is not None:
                work, ran = self._turn(work, ran)
                if work is None:
                    with self._lock:
                        work = self._from_shelf()
                        if work is None:
                            self._idle += 1

    def _turn(self, work: Work, ran: int) -> tuple[Work | None, int]:
        """Run a body and see to it that what came of it is committed, perhaps with what follows. In: how many bodies this thread
        has run whose results still wait for that. What it does next."""
        committer = self._committer
        following = self._run(work)
        if committer.leading:  # the leader takes what we just submitted along
            return following or self._from_shelf(), 0
        if committer.quick:
            following = following or self._from_shelf()
            if following is not None and following.lane.quick and ran < IN_A_ROW:
                self._look_after()
                return following, ran + 1
        elif following is not None:  # lead ourselves, and let another thread run what follows meanwhile
            self._enqueue(following)
            following = None
        self._here.committing = True
        try:
            committer.flush()
        finally:
            self._here.committing = False
        return following or self._from_shelf(), 0

    def _from_shelf(self) -> Work | None:
        try:
            return self._shelf.popleft()
        except IndexError:
            return None

    def _clear_shelf(self) -> None:
        """A body that was expected to be quick, and is not, holds up neither what its thread would have done next nor the commit
        of what was done before it."""
        while True:
            self._shelved.wait()
            if self._stopped:
                return
            self._shelved.clear()
            served = self._served
            self._over.wait(PATIENCE)
            if not (self._shelf or self._committer.waiting):
                continue
            self._shelved.set()  # look again
            if self._served == served:
                while (work := self._from_shelf()) is not None:
                    self._enqueue(work)
                self._committer.flush()

    def _run(self, work: Work) -> Work | None:
        clock = self._clock
        began = work.began = clock.monotonic()
        self._active[id(work)] = work
        try:
            self._body.run(work)
        finally:
            del self._active[id(work)]
        self._served += 1
        return work.lane.finish(clock.monotonic() - began)  # type: ignore[no-any-return]

    def event_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._own_loop_thread = threading.Thread(target=self._loop.run_forever, name=f"{self._name}-loop", daemon=True)
                self._own_loop_thread.start()
            return self._loop

    def _begin_arrived(self) -> None:
        while self._arrived:
            work = self._arrived.popleft()
            task = asyncio.get_running_loop().create_task(self._run_async(work))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run_async(self, work: Work) -> None:
        following: Work | None = work
        while following is not None:
            began = following.began = self._clock.monotonic()
            self._active[id(following)] = following
            try:
                await self._body.run_async(following)
            finally:
                del self._active[id(following)]
            following = following.lane.finish(self._clock.monotonic() - began)

    def complete(self, waiting: Awaitable[Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(self._followed(waiting), self.event_loop()).result()

    async def _followed(self, waiting: Awaitable[Any]) -> Any:
        """Known to `stop`, so that nobody waits for a loop that has ended."""
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await waiting

    def spawn(self, call: Callable[[], None]) -> None:
        threading.Thread(target=call, name=f"{self._name}-call", daemon=True).start()

    def overdue(self) -> Sequence[Work]:
        now = self._clock.monotonic()
        return [
            work
            for work in list(self._active.values())
            if work.lane.options.time_limit is not None and now - work.began > work.lane.options.time_limit.total_seconds()
        ]

    def withdraw(self) -> Sequence[Work]:
        works: list[Work] = []
        while True:
            try:
                work = self._ready.get_nowait()  # a look before it would race with the step threads, and lose for ever
            except Empty:
                break
            if work is not None:
                work.lane.retract()
                works.append(work)
        with self._lock:
            self._idle += len(works)  # their threads wait on
        while (work := self._from_shelf()) is not None:
            work.lane.retract()
            works.append(work)
        lanes = {id(work.lane): work.lane for work in [*works, *self._active.values()]}
        for lane in lanes.values():
            works.extend(lane.withdraw())
        return works

    def stop(self) -> None:
        self._stopped = True
        self._over.set()
        self._shelved.set()
        for _ in self._threads:
            self._ready.put(None)
        loop, thread = self._loop, self._own_loop_thread
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(self._end_loop)
            if thread is not threading.current_thread():
                thread.join(timeout=5)
                if not thread.is_alive():
                    loop.close()

    def _end_loop(self) -> None:
        loop = asyncio.get_running_loop()

        async def cancel_all() -> None:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await loop.shutdown_asyncgens()
            loop.stop()

        ending: Coroutine[Any, Any, None] = cancel_all()
        self._ending = loop.create_task(ending)


async def _result_of(waiting: Awaitable[Any]) -> Any:
    return await waiting
