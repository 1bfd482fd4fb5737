"""Calling users' functions beside the steps: in daemon threads, on the event loop, or, in tests, at once."""

from __future__ import annotations

import asyncio
import logging
import threading
from abc import abstractmethod
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, NamedTuple, Protocol

log = logging.getLogger("flowdsl.connector")
Loop = Callable[[], asyncio.AbstractEventLoop]


class EventCall(NamedTuple):
    """A call to be made. `done` is told of its end, by whatever thread it ended in: None, or what it raised."""

    call: Callable[[], Any]
    is_async: bool
    done: Callable[[BaseException | None], None]


class EventCalls(Protocol):
    """Makes calls. How many at once is the caller's affair."""

    @abstractmethod
    def start(self, call: EventCall) -> None:
        """Make it soon. It may have ended when this returns. Raises RuntimeError when it cannot be begun."""

    @abstractmethod
    def stop(self) -> None:
        """Make no more. Coroutines are cancelled, functions that still run are left to themselves."""


class InlineCalls:
    """Makes each call at once, in the caller's thread. In: the loop for coroutines, made at first use."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def start(self, call: EventCall) -> None:
        try:
            if call.is_async:
                self._loop().run_until_complete(call.call())
            else:
                call.call()
        except BaseException as error:  # whatever a user's function raises is its own failure
            call.done(error)
        else:
            call.done(None)

    def stop(self) -> None:
        """There is nothing that goes on."""


class ThreadCalls:
    """Daemon threads, made when all are busy; coroutines run on the engine's loop or the caller's."""

    def __init__(self, name: str, loop: Loop) -> None:
        self._name = name
        self._loop = loop
        self._ready: SimpleQueue[EventCall | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0
        self._threads = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._used: asyncio.AbstractEventLoop | None = None

    def start(self, call: EventCall) -> None:
        if call.is_async:
            self._used = self._loop()
            self._used.call_soon_threadsafe(self._begin, call)
            return
        with self._lock:
            if self._idle:
                self._idle -= 1  # here, not when it wakes: two calls must not reckon with one thread
            else:
                number = self._threads + 1
                threading.Thread(target=self._serve, name=f"{self._name}-call-{number}", daemon=True).start()
                self._threads = number
        self._ready.put(call)

    def stop(self) -> None:
        with self._lock:
            for _ in range(self._threads):
                self._ready.put(None)
        loop = self._used
        if loop is not None and self._tasks and not loop.is_closed():
            loop.call_soon_threadsafe(self._cancel)

    def _serve(self) -> None:
        while True:
            call = self._ready.get()
            if call is None:
                return
            raised: BaseException | None = None
            try:
                call.call()
            except BaseException as error:  # whatever a user's function raises is its own failure
                raised = error
            with self._lock:
                self._idle += 1  # before anybody hears of the end and starts the next
            call.done(raised)

    def _begin(self, call: EventCall) -> None:
        task = asyncio.get_running_loop().create_task(self._await(call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _await(self, call: EventCall) -> None:
        try:
            await call.call()
        except asyncio.CancelledError as error:
            call.done(error)
            raise
        except BaseException as error:
            call.done(error)
        else:
            call.done(None)

    def _cancel(self) -> None:
        for task in list(self._tasks):
            task.cancel()
