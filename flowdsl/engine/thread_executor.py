"""Production's executor: threads for `def` bodies, a loop for `async def` bodies."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from queue import Empty, SimpleQueue
from typing import Any

from flowdsl.clock import Clock
from flowdsl.engine.committer import Committer
from flowdsl.engine.executor import Body
from flowdsl.engine.work import Work

log = logging.getLogger("flowdsl.executor")
IN_A_ROW = 16
"""Quick bodies that one thread runs before it commits what came of them."""
PATIENCE = 0.01
"""Seconds for which a quick work waits for a thread that is at work already."""


class _Here(threading.local):
    """What one of our threads is doing."""

    quick = False
    """Its bodies are quick: it looks at the shelf before it does anything else."""
    committing = False


class ThreadExecutor:
    """Daemon threads for `def` bodies, made when all are busy; one event loop for `async def` bodies, the engine's own or the
    caller's.

    Waking a thread takes longer than a quick body. So quick works are put on a shelf while a thread runs quick bodies: it takes
    them in their order, and commits what came of several together. A body that is slow for once is found out by another thread,
    which sees to what waits for it.
    """

    def __init__(self, body: Body, clock: Clock, committer: Committer, name: str) -> None:
        self._body = body
        self._clock = clock
        self._committer = committer
        self._name = name
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._ready: SimpleQueue[Work | None] = SimpleQueue()
        self._idle = 0
        self._owed = 0
        """Works in the queue for which no thread could be started: whichever is free next takes them."""
        self._here = _Here()
        self._shelf: deque[Work] = deque()
        self._quick_threads = 0
        self._doubtful = False
        """A quick work has waited too long, and no quick body has ended since."""
        self._waiting = threading.Event()
        """Works on the shelf, or results, wait for a body to end that is expected to be quick."""
        self._watcher: threading.Thread | None = None
        self._over = threading.Event()
        self._active: dict[int, Work] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._own_loop_thread: threading.Thread | None = None
        self._arrived: deque[Work] = deque()
        self._tasks: set[asyncio.Task[Any]] = set()

    def use_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run `async def` bodies on the caller's loop instead of one of our own."""
        self._loop = loop

    def offer(self, works: Sequence[Work]) -> None:
        for work in works:
            if not work.lane.admit(work):
                continue
            if work.lane.spec.is_async:
                self._arrived.append(work)
                self._begin_soon()
            elif not self._shelve(work):
                self._enqueue(work)

    # -- threads --------------------------------------------------------------------------------------------------------------

    def _enqueue(self, work: Work) -> None:
        """Every queued work has a thread that will come for it. An idle one is taken off the count here, not when it wakes, or
        two works would reckon with the same thread and one of them wait behind a body."""
        with self._lock:
            if self._idle:
                self._idle -= 1
            elif not self._over.is_set():
                thread = threading.Thread(target=self._serve, name=f"{self._name}-step-{len(self._threads) + 1}", daemon=True)
                try:
                    thread.start()
                    self._threads.append(thread)
                except RuntimeError as error:
                    self._owed += 1
                    log.warning("a step waits for a thread: %s", error)
            self._ready.put(work)

    def _serve(self) -> None:
        while (work := self._ready.get()) is not None:
            uncommitted = 0
            while work is not None:
                self._set_quick(work.lane.quick)
                work, uncommitted = self._turn(work, uncommitted)
                if work is None:
                    work = self._leave()

    def _leave(self) -> Work | None:
        """Before this thread waits for works: one more look at the shelf, together with those who put something there."""
        with self._lock:
            work = self._from_shelf()
            if work is None:
                self._quick_threads -= self._here.quick
                self._here.quick = False
                if self._owed:
                    self._owed -= 1  # one of those in the queue is ours
                else:
                    self._idle += 1
            return work

    def _turn(self, work: Work, uncommitted: int) -> tuple[Work | None, int]:
        """Run a body and see to it that what came of it is committed, perhaps with what follows. In: how many bodies this thread
        has run whose results still wait for that. What it does next, and how many there are then."""
        committer = self._committer
        following = self._run(work)
        if committer.leading:  # the leader takes what we just submitted along
            return self._next(following), 0
        if committer.quick:
            following = self._next(following)
            if following is not None and following.lane.quick and uncommitted < IN_A_ROW:
                self._look_after()
                return following, uncommitted + 1
        elif following is not None:  # lead ourselves, and let another thread run what follows meanwhile
            self._enqueue(following)
            following = None
        self._here.committing = True
        try:
            committer.flush()
        finally:
            self._here.committing = False
        return self._next(following), 0

    # -- the shelf ------------------------------------------------------------------------------------------------------------

    def _shelve(self, work: Work) -> bool:
        """Leave a quick work to a thread that is at work already. False: it should have one of its own."""
        if not work.lane.quick:
            return False
        if self._here.committing:
            if not self._committer.quick and (self._shelf or self._committer.waiting):
                return False  # this thread goes on committing, and that takes longer than a waking
            self._shelf.append(work)  # we look there when the commit is over
        else:
            if not self._committer.quick or self._doubtful:
                return False
            with self._lock:
                if not self._quick_threads:
                    return False
                self._shelf.append(work)
        self._look_after()
        return True

    def _next(self, following: Work | None) -> Work | None:
        """What this thread does next: the shelf's first has waited longer than what follows in a lane."""
        shelved = self._from_shelf()
        if shelved is None:
            return following
        if following is not None:
            if following.lane.quick:
                self._shelf.append(following)
            else:
                self._enqueue(following)
        return shelved

    def _from_shelf(self) -> Work | None:
        try:
            return self._shelf.popleft()
        except IndexError:
            return None

    def _set_quick(self, quick: bool) -> None:
        """Of this thread's next body. Before a slow one, what somebody has just put on the shelf gets threads of its own."""
        if quick is self._here.quick:
            return
        with self._lock:
            self._quick_threads += 1 if quick else -1
            self._here.quick = quick
        if not quick:
            self._clear_shelf()

    def _clear_shelf(self) -> None:
        while (work := self._from_shelf()) is not None:
            self._enqueue(work)

    def _look_after(self) -> None:
        """Something waits for a quick body to end."""
        if self._watcher is None:
            with self._lock:
                if self._watcher is None:
                    watcher = threading.Thread(target=self._watch, name=f"{self._name}-shelf", daemon=True)
                    try:
                        watcher.start()
                        self._watcher = watcher
                    except RuntimeError as error:
                        log.warning("quick steps are not watched over: %s", error)
        if not self._waiting.is_set():
            self._waiting.set()

    def _watch(self) -> None:
        """What waits for a body that was expected to be quick, and is not, waits no longer than twice PATIENCE."""
        while True:
            self._waiting.wait()
            if self._over.is_set():
                return
            self._waiting.clear()
            first = self._first_on_shelf()
            self._over.wait(PATIENCE)
            try:
                if first is not None and self._first_on_shelf() is first:
                    self._doubtful = True
                    self._clear_shelf()
                self._committer.flush()
            except Exception:
                log.exception("what waits for a quick step could not be seen to")
            if self._shelf or self._committer.waiting:
                self._waiting.set()

    def _first_on_shelf(self) -> Work | None:
        try:
            return self._shelf[0]
        except IndexError:
            return None

    # -- bodies ---------------------------------------------------------------------------------------------------------------

    def _run(self, work: Work) -> Work | None:
        clock = self._clock
        began = work.began = clock.monotonic()
        self._active[id(work)] = work
        try:
            self._body.run(work)
        finally:
            del self._active[id(work)]
        if self._doubtful and self._here.quick:
            self._doubtful = False
        return work.lane.finish(clock.monotonic() - began)  # type: ignore[no-any-return]

    def event_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                loop = asyncio.new_event_loop()
                thread = threading.Thread(target=loop.run_forever, name=f"{self._name}-loop", daemon=True)
                try:
                    thread.start()
                except BaseException:
                    loop.close()
                    raise
                self._loop, self._own_loop_thread = loop, thread
            return self._loop

    def _begin_soon(self) -> None:
        try:
            loop = self.event_loop()
        except RuntimeError as error:
            log.warning("a step waits for a thread: %s", error)  # it begins together with the next that comes
        else:
            loop.call_soon_threadsafe(self._begin_arrived)

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
            except asyncio.CancelledError:
                self._go_on_without(following.lane.finish(self._clock.monotonic() - began))
                raise
            finally:
                del self._active[id(following)]
            following = following.lane.finish(self._clock.monotonic() - began)

    def _go_on_without(self, following: Work | None) -> None:
        """A task was cancelled; what was to follow in it has done nothing to deserve that."""
        if following is not None and not self._over.is_set():
            self._arrived.append(following)
            asyncio.get_running_loop().call_soon(self._begin_arrived)

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
            owed = min(self._owed, len(works))
            self._owed -= owed
            self._idle += len(works) - owed  # their threads wait on
        while (work := self._from_shelf()) is not None:
            work.lane.retract()
            works.append(work)
        lanes = {id(work.lane): work.lane for work in [*works, *self._active.values()]}
        for lane in lanes.values():
            works.extend(lane.withdraw())
        return works

    def stop(self) -> None:
        self._over.set()
        self._waiting.set()
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
