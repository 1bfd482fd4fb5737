"""Plans: pieces of the engine's work that may have to wait for what a user's `async def` answers. The same plan is carried out
by a thread or by a coroutine: it yields what is to be awaited and is sent the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from inspect import isawaitable
from typing import Any, TypeVar

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


def complete_here(waiting: Awaitable[Any]) -> Any:
    """On a loop of its own, in the calling thread: for processes that run no steps."""

    async def wait() -> Any:
        return await waiting

    return asyncio.run(wait())
