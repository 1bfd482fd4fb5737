"""Verbs on many runs at once, for coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from typing import Any, Unpack

from flowdsl.engine.bulk import Bulk, BulkOptions, ForcibleOptions
from flowdsl.engine.bulk_operation import BulkOperation
from flowdsl.model.bulk import BulkReport, BulkVerb, OperationEntry
from flowdsl.model.query import Page


class AioBulk:
    """`engine.aio.bulk`: see Bulk for what each verb does. A verb that is cancelled stops after the turn that is under way; what
    was done stays done, and `go_on` goes on with it."""

    def __init__(self, bulk: Bulk) -> None:
        self._bulk = bulk

    async def retry(self, where: str, *, reason: str, **options: Unpack[BulkOptions]) -> BulkReport:
        return await _carried_out(partial(self._bulk.begin, BulkVerb.RETRY, where, reason=reason, **options), options)

    async def move(self, where: str, *, to: Enum | str, reason: str, **options: Unpack[ForcibleOptions]) -> BulkReport:
        begin = partial(self._bulk.begin, BulkVerb.MOVE, where, reason=reason, to=to, **options)
        return await _carried_out(begin, options)

    async def pause(self, where: str, *, reason: str, **options: Unpack[BulkOptions]) -> BulkReport:
        return await _carried_out(partial(self._bulk.begin, BulkVerb.PAUSE, where, reason=reason, **options), options)

    async def resume(self, where: str, *, reason: str, **options: Unpack[BulkOptions]) -> BulkReport:
        return await _carried_out(partial(self._bulk.begin, BulkVerb.RESUME, where, reason=reason, **options), options)

    async def cancel(self, where: str, *, reason: str, **options: Unpack[ForcibleOptions]) -> BulkReport:
        begin = partial(self._bulk.begin, BulkVerb.CANCEL, where, reason=reason, **options)
        return await _carried_out(begin, options)

    async def delete(self, where: str, *, reason: str, **options: Unpack[BulkOptions]) -> BulkReport:
        return await _carried_out(partial(self._bulk.begin, BulkVerb.DELETE, where, reason=reason, **options), options)

    async def go_on(self, operation: str, **options: Unpack[BulkOptions]) -> BulkReport:
        return await _carried_out(partial(self._bulk.begin_again, operation, **options), options)

    async def select(self, where: str, **options: Any) -> Page:
        return await asyncio.to_thread(partial(self._bulk.select, where, **options))

    async def audit(self, **options: Any) -> Sequence[OperationEntry]:
        return await asyncio.to_thread(partial(self._bulk.audit, **options))


async def _carried_out(begin: Callable[[], BulkOperation], options: BulkOptions) -> BulkReport:
    operation = await asyncio.to_thread(begin)
    try:
        return await asyncio.to_thread(operation.run, options.get("progress"))
    except asyncio.CancelledError:
        operation.stop()
        raise
