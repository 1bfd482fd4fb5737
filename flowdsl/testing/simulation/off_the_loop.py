"""Letting another process act while an `async def` body of this one is in the middle of itself."""

from __future__ import annotations

import asyncio
from asyncio import events, tasks
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def off_the_loop() -> Generator[None]:
    """As if no event loop ran in this thread: in production the other process has a thread, and a loop, of its own. Uses what
    asyncio has for makers of event loops."""
    loop = events._get_running_loop()
    if loop is None:
        yield
        return
    task = asyncio.current_task(loop)
    if task is not None:
        tasks._leave_task(loop, task)
    events._set_running_loop(None)
    try:
        yield
    finally:
        events._set_running_loop(loop)
        if task is not None:
            tasks._enter_task(loop, task)
