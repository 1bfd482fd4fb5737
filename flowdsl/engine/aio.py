"""The engine's verbs for coroutines. They forward and repeat no default."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from enum import Enum
from functools import partial
from types import TracebackType
from typing import Any, Protocol, Self, TypedDict, TypeVar, Unpack

from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.aio_bulk import AioBulk
from flowdsl.engine.aio_schedules import AioSchedules
from flowdsl.engine.awaiting import in_thread
from flowdsl.engine.callbacks import CallbackOptions
from flowdsl.engine.dead_letters import AioDeadLetters
from flowdsl.engine.handle import AioRunHandle, RunHandle
from flowdsl.engine.hook_replay import HookReplay
from flowdsl.engine.trigger_options import AioTriggerOptions
from flowdsl.model.callback_result import CallbackResult
from flowdsl.model.fleet import Fleet
from flowdsl.model.query import Page

ObjectT = TypeVar("ObjectT")
StatusT = TypeVar("StatusT", bound=Enum)


class BlockingEngine(Protocol):
    """What is forwarded to."""

    works: bool

    @property
    def trigger(self) -> Any: ...
    @property
    def trigger_many(self) -> Any: ...
    @property
    def callback(self) -> Any: ...
    @property
    def replay_hook(self) -> Any: ...
    @property
    def handle(self) -> Any: ...
    @property
    def latest(self) -> Any: ...
    @property
    def runs(self) -> Any: ...
    @property
    def fleet(self) -> Any: ...
    @property
    def bulk(self) -> Any: ...
    @property
    def dead_letters(self) -> Any: ...
    @property
    def schedules(self) -> Any: ...
    @property
    def _joining(self) -> Any: ...
    def _start(self, loop: Any) -> None: ...
    def _stop(self, drain: timedelta | None) -> bool: ...


class AioEngine:
    """`engine.aio`: see Engine for what each verb does."""

    def __init__(self, engine: BlockingEngine) -> None:
        self._engine = engine
        self.dead_letters = AioDeadLetters(engine.dead_letters)
        self.schedules = AioSchedules(engine.schedules)

    @property
    def bulk(self) -> AioBulk:
        """Verbs on many runs at once."""
        return AioBulk(self._engine.bulk)

    async def start(self) -> None:
        """Begin to work on runs; `async def` steps run on the calling loop."""
        loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._engine._start, loop)

    async def stop(self, drain: timedelta | None = None) -> bool:
        """Drain, then stop and close."""
        return await asyncio.to_thread(self._engine._stop, drain)

    async def __aenter__(self) -> Self:
        if self._engine.works:
            await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()

    async def trigger(
        self,
        workflow: Workflow[ObjectT, StatusT],
        foreign_id: str,
        obj: ObjectT | None = None,
        **options: Unpack[AioTriggerOptions[StatusT]],
    ) -> AioRunHandle[ObjectT, StatusT]:
        """As Engine.trigger; `session` may be an AsyncSession."""
        session: Any = options.get("session")
        if hasattr(session, "run_sync"):
            join = await asyncio.to_thread(partial(self._engine._joining, workflow, foreign_id, obj, options))
            joined: RunHandle[ObjectT, StatusT] = await session.run_sync(join)
            return joined.aio
        handle: RunHandle[ObjectT, StatusT] = await asyncio.to_thread(
            partial(self._engine.trigger, workflow, foreign_id, obj, **options)
        )
        return handle.aio

    async def trigger_many(
        self, workflow: Workflow[ObjectT, StatusT], entries: Iterable[tuple[str, ObjectT]], **options: Any
    ) -> list[AioRunHandle[ObjectT, StatusT]]:
        handles: list[RunHandle[ObjectT, StatusT]] = await asyncio.to_thread(
            self._engine.trigger_many, workflow, entries, **options
        )
        return [handle.aio for handle in handles]

    async def callback(
        self,
        workflow: Workflow[ObjectT, StatusT],
        foreign_id: str,
        status: StatusT,
        payload: object = b"",
        **options: Unpack[CallbackOptions],
    ) -> CallbackResult:
        """As Engine.callback; where this engine runs no steps, an `async def` callback runs on the calling loop."""
        call = partial(self._engine.callback, workflow, foreign_id, status, payload, **options)
        result: CallbackResult = await in_thread(call)
        return result

    async def replay_hook(
        self,
        workflow: Workflow[Any, Any],
        name: str,
        *,
        since: datetime | None = None,
        seen: Callable[[HookReplay], object] | None = None,
    ) -> HookReplay:
        """As Engine.replay_hook; `seen` is called in another thread."""
        told: HookReplay = await in_thread(partial(self._engine.replay_hook, workflow, name, since=since, seen=seen))
        return told

    async def handle(self, run_id: str) -> AioRunHandle[Any, Any]:
        handle: RunHandle[Any, Any] = await asyncio.to_thread(self._engine.handle, run_id)
        return handle.aio

    async def latest(self, workflow: Workflow[ObjectT, StatusT], foreign_id: str) -> AioRunHandle[ObjectT, StatusT]:
        handle: RunHandle[ObjectT, StatusT] = await asyncio.to_thread(self._engine.latest, workflow, foreign_id)
        return handle.aio

    async def runs(self, workflow: Workflow[Any, Any] | str | None = None, **filters: Unpack[RunFilters]) -> Page:
        page: Page = await asyncio.to_thread(partial(self._engine.runs, workflow, **filters))
        return page

    async def fleet(self) -> Fleet:
        fleet: Fleet = await asyncio.to_thread(self._engine.fleet)
        return fleet


class RunFilters(TypedDict, total=False):
    """The filters of Engine.runs."""

    foreign_ids: Iterable[str]
    statuses: Iterable[Enum | str]
    states: Iterable[Any]
    created_after: Any
    created_before: Any
    order: Any
    limit: int
    after: Any
