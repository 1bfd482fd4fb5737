"""Schedules from outside, for coroutines."""

from __future__ import annotations

import asyncio
import builtins
from datetime import datetime
from functools import partial
from typing import Any

from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.handle import AioRunHandle
from flowdsl.engine.schedules import Schedules
from flowdsl.model.schedule import JournalEntry, Schedule

Named = Workflow[Any, Any] | str


class AioSchedules:
    """`engine.aio.schedules`: see Schedules for what each verb does."""

    def __init__(self, schedules: Schedules) -> None:
        self._schedules = schedules

    async def list(self, workflow: Named | None = None, **options: Any) -> builtins.list[Schedule]:
        return await asyncio.to_thread(partial(self._schedules.list, workflow, **options))

    async def get(self, workflow: Named, name: str) -> Schedule:
        return await asyncio.to_thread(self._schedules.get, workflow, name)

    async def journal(self, workflow: Named, name: str) -> builtins.list[JournalEntry]:
        return await asyncio.to_thread(self._schedules.journal, workflow, name)

    async def preview(self, workflow: Named, name: str, **options: Any) -> builtins.list[datetime]:
        return await asyncio.to_thread(partial(self._schedules.preview, workflow, name, **options))

    async def create(self, workflow: Workflow[Any, Any], name: str, spec: str, obj: object = None, **options: Any) -> Schedule:
        return await asyncio.to_thread(partial(self._schedules.create, workflow, name, spec, obj, **options))

    async def pause(self, workflow: Named, name: str, reason: str, **options: Any) -> Schedule:
        return await asyncio.to_thread(partial(self._schedules.pause, workflow, name, reason, **options))

    async def resume(self, workflow: Named, name: str, **options: Any) -> Schedule:
        return await asyncio.to_thread(partial(self._schedules.resume, workflow, name, **options))

    async def delete(self, workflow: Named, name: str, **options: Any) -> Schedule:
        return await asyncio.to_thread(partial(self._schedules.delete, workflow, name, **options))

    async def trigger(self, workflow: Named, name: str, **options: Any) -> AioRunHandle[Any, Any] | None:
        handle = await asyncio.to_thread(partial(self._schedules.trigger, workflow, name, **options))
        return None if handle is None else handle.aio
