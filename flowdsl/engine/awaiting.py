"""Plans: pieces of the engine's work that may have to wait for what a user's `async def` answers. The same plan is carried out
by a thread or by a coroutine: it yields what is to be awaited and is sent the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextvars import ContextVar
from enum import Enum
from inspect import isawaitable
from typing import Any, TypeVar

from flowdsl.errors import StepOutcomeError

T = TypeVar("T")
Plan = Generator[Awaitable[Any], Any, T]


def settled(answer: Any) -> Plan[Any]:
    """The value of an answer that may be an awaitable."""
    if isawaitable(answer):
        answer = yield answer
    return answer


def carry_out(plan: Plan[T], complete: Callable[[Awaitable[Any]], Any]) -> T:
    """In: who waits for awaitables."""
    try:
        waiting = next(plan)
        while True:
            try:
                answer = complete(waiting)
            except BaseException as error:  # the plan decides what an error of the user's means
                waiting = plan.throw(error)
            else:
                waiting = plan.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result


async def carry_out_async(plan: Plan[T]) -> T:
    """The same on a running loop."""
    try:
        waiting = next(plan)
        while True:
            try:
                answer = await waiting
            except BaseException as error:
                waiting = plan.throw(error)
            else:
                waiting = plan.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result


def refuse_awaitable(answer: object, what: str) -> None:
    """Raise StepOutcomeError when a `def` answered an awaitable. In: what people call the function."""
    if _closed(answer):
        raise StepOutcomeError(
            f"{what} is a `def` that returned an awaitable.", remedy="Declare it `async def`, and await what it calls."
        )


def refuse_unawaited(answer: object, what: str) -> None:
    """Raise StepOutcomeError when an `async def`, itself awaited, answered what has to be awaited again."""
    if _closed(answer):
        raise StepOutcomeError(
            f"{what} returned a {type(answer).__name__}, which has to be awaited.", remedy="Write `return await ...`."
        )


def _closed(answer: object) -> bool:
    """Whether it is an awaitable. A coroutine is closed, so that Python does not warn as well that nobody awaited it."""
    if answer is None or isinstance(answer, Enum) or not isawaitable(answer):
        return False
    close = getattr(answer, "close", None)
    if close is not None:
        close()
    return True


def off_loop(call: Callable[[], None]) -> None:
    """Make a call whose end nobody waits for: here, or in a thread when this one's has a running loop, which must not wait."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        call()
        return
    loop.run_in_executor(None, call)


_callers_loop: ContextVar[asyncio.AbstractEventLoop | None] = ContextVar("flowdsl_callers_loop", default=None)


async def in_thread(call: Callable[[], T]) -> T:
    """Make a blocking call without blocking the loop; what `complete_here` has to wait for in it is awaited on the loop."""
    token = _callers_loop.set(asyncio.get_running_loop())
    try:
        return await asyncio.to_thread(call)
    finally:
        _callers_loop.reset(token)


def complete_here(waiting: Awaitable[Any]) -> Any:
    """For processes that run no steps: on the loop that waits for this call, or on one of its own in the calling thread."""

    async def wait() -> Any:
        return await waiting

    loop = _callers_loop.get()
    if loop is None or not loop.is_running():
        return asyncio.run(wait())
    return asyncio.run_coroutine_threadsafe(wait(), loop).result()
