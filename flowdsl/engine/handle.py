"""Handles on one run: what is asked of it and done to it from outside."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from datetime import timedelta
from enum import Enum
from functools import partial
from typing import Generic, TypeVar, Unpack

import msgspec

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.awaiting import in_thread
from flowdsl.engine.callbacks import CallbackOptions, Callbacks
from flowdsl.engine.core import Core
from flowdsl.engine.explain import explain
from flowdsl.engine.loop_guard import refuse_on_loop
from flowdsl.engine.receipt import Receipt
from flowdsl.engine.repair import Repair
from flowdsl.engine.restart import restart
from flowdsl.engine.waiter import Wait
from flowdsl.errors import ConfigurationError, RunNotFoundError, WaitTimeoutError
from flowdsl.model.callback_result import CallbackResult
from flowdsl.model.explanation import Explanation
from flowdsl.model.history import HistoryRow
from flowdsl.model.item import ItemKind
from flowdsl.model.pending import PendingRow
from flowdsl.model.record import RunRecord

ObjectT = TypeVar("ObjectT")
StatusT = TypeVar("StatusT", bound=Enum)


class RunHandle(Generic[ObjectT, StatusT]):
    """A run, from outside. Its verbs block; `aio` has the same as coroutines."""

    def __init__(
        self, core: Core, workflow: Workflow[ObjectT, StatusT] | None, run_id: str, foreign_id: str, *, created: bool = False
    ) -> None:
        self._core = core
        self._workflow = workflow
        self._control = Repair(core)
        self.run_id = run_id
        self.foreign_id = foreign_id
        self.created = created
        """True on the handle that a trigger returned for a run it started itself; False where it found one."""

    @property
    def aio(self) -> AioRunHandle[ObjectT, StatusT]:
        """The same verbs as coroutines."""
        return AioRunHandle(self)

    @property
    def workflow(self) -> Workflow[ObjectT, StatusT] | None:
        """The run's workflow; None where its code is not at hand."""
        return self._workflow

    def wait(self, status: StatusT | None = None, timeout: timedelta | None = None) -> Run[ObjectT, StatusT]:
        """Block until the run has been in `status` (None: until it has ended) and return it as it is then.

        Returns at once when that has happened already. Raises RunEndedError when it cannot happen any more, WaitTimeoutError
        after `timeout` (None: never), RunNotFoundError.
        """
        refuse_on_loop("handle.wait", "handle.aio.wait")
        _check_timeout(timeout)
        seconds = None if timeout is None else timeout.total_seconds()
        wait = self._core.waiter.wait(self.run_id, self._key(status), seconds)
        try:
            record = wait.future.result(seconds)
        except FutureTimeoutError as error:
            self._core.waiter.cancel(wait)
            if not wait.future.cancelled():  # the answer came as we gave up
                return self._view(wait.future.result())
            found = self._core.store.lookup([self.run_id]).get(self.run_id)
            raise self._too_long(status, timeout, found) from error
        return self._view(record)

    def record(self) -> RunRecord:
        """The run as it is stored now. Raises RunNotFoundError."""
        refuse_on_loop("handle.record", "handle.aio.record")
        found = self._core.store.lookup([self.run_id]).get(self.run_id)
        if found is None:
            raise RunNotFoundError(f"there is no run {self.run_id}.", run_id=self.run_id)
        return found

    def run(self) -> Run[ObjectT, StatusT]:
        """The run as it is stored now, typed, with its object. Raises RunNotFoundError."""
        return self._view(self.record())

    def history(self) -> Sequence[HistoryRow]:
        """Every version of the run, with what made it and who."""
        refuse_on_loop("handle.history", "handle.aio.history")
        return self._core.store.history(self.run_id)

    def pending(self) -> Sequence[PendingRow]:
        """What waits to be done for the run."""
        refuse_on_loop("handle.pending", "handle.aio.pending")
        return self._core.store.rows([self.run_id])

    def explain(self) -> Explanation:
        """Why it is where it is, in sentences: `print(handle.explain())`. Raises RunNotFoundError."""
        refuse_on_loop("handle.explain", "handle.aio.explain")
        return explain(self._core, self.run_id)

    def pause(self, reason: str, actor: str | None = None) -> RunRecord:
        """Pause it. While a step is being executed the pause is stored as a request (`record.requested`) and applied by the
        step's commit. Raises IllegalMoveError, RunNotFoundError."""
        refuse_on_loop("handle.pause", "handle.aio.pause")
        return self._control.pause(self.run_id, reason, actor)

    def resume(self, actor: str | None = None) -> RunRecord:
        """Let a paused run go on. Raises IllegalMoveError, RunNotFoundError."""
        refuse_on_loop("handle.resume", "handle.aio.resume")
        return self._control.resume(self.run_id, actor)

    def cancel(self, reason: str, actor: str | None = None, *, force: bool = False) -> RunRecord:
        """End it. While a step is being executed the cancel waits for its commit, so that what the step did is not forgotten;
        `force=True` does not wait and discards the step's result. Raises IllegalMoveError, RunNotFoundError."""
        refuse_on_loop("handle.cancel", "handle.aio.cancel")
        return self._control.cancel(self.run_id, reason, actor, force=force)

    def callback(self, status: StatusT, payload: object = b"", **options: Unpack[CallbackOptions]) -> CallbackResult:
        """As engine.callback, for this run and no later one of its foreign id."""
        refuse_on_loop("handle.callback", "handle.aio.callback")
        callbacks, workflow = Callbacks(self._core), self._known_workflow()
        return callbacks.call(workflow, self.foreign_id, status, payload, run_id=self.run_id, **options)

    def retry(self, reason: str | None = None, actor: str | None = None) -> RunRecord:
        """Run the step of its status again, now: of a run that errors paused, one whose failed step waits for its next attempt,
        or one whose step answered skip. Failures and automatic resumes are counted from zero; the idempotency key stays.
        Raises IllegalMoveError (nothing failed, a person paused it, the step is being executed), RunNotFoundError."""
        refuse_on_loop("handle.retry", "handle.aio.retry")
        return self._control.retry(self.run_id, reason, actor)

    def move(self, status: StatusT, reason: str, actor: str | None = None, *, force: bool = False) -> RunRecord:
        """Put it into another status by hand, paused or not: it goes on from there, and a terminal status completes it. Its
        object stays. While a step is being executed this is refused; `force=True` discards the step's result.
        Raises IllegalMoveError, DefinitionError for what is no status, RunNotFoundError."""
        refuse_on_loop("handle.move", "handle.aio.move")
        return self._control.move(self.run_id, self._known_workflow().key(status), reason, actor, force=force)

    def restart(
        self,
        status: StatusT | None = None,
        obj: ObjectT | None = None,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
    ) -> RunHandle[ObjectT, StatusT]:
        """Start a finished run once more, as a new run whose `parent_run_id` is this one's id: from `status` (None: where this
        one began), with `obj` (None: the object that this one ended with), and its metadata, tags and priority.
        Raises IllegalMoveError (unfinished, or its data was deleted), DefinitionError for a status in which no run can begin,
        WorkflowInProgressError, RunNotFoundError."""
        refuse_on_loop("handle.restart", "handle.aio.restart")
        workflow = self._known_workflow()
        started = restart(self._core, workflow, self.run_id, status, obj, idempotency_key=idempotency_key, actor=actor)
        return RunHandle(self._core, workflow, started.run_id, self.foreign_id, created=started.created)

    def delete_data(self, reason: str, actor: str | None = None) -> RunRecord:
        """Have the data of a finished run erased: its object, or what the workflow's on_delete leaves of it, reasons and errors
        of its history, payloads and errors of what waits for it, its dead letters. Ids, statuses, times, metadata and tags stay.
        A worker does it soon; `receipt` says when. Raises IllegalMoveError for an unfinished run, RunNotFoundError."""
        refuse_on_loop("handle.delete_data", "handle.aio.delete_data")
        return self._control.delete_data(self.run_id, reason, actor)

    def receipt(self) -> Receipt | None:
        """What was erased of the run, and when; None: nothing yet."""
        refuse_on_loop("handle.receipt", "handle.aio.receipt")
        item = self._core.store.item(self._core.namespace, ItemKind.RECEIPT, self.run_id)
        return None if item is None else msgspec.json.decode(item.body, type=Receipt)

    def __repr__(self) -> str:
        return f"<RunHandle {self.foreign_id!r} {self.run_id}>"

    def _key(self, status: StatusT | None) -> str | None:
        if status is None:
            return None
        return self._known_workflow().key(status)

    def _known_workflow(self) -> Workflow[ObjectT, StatusT]:
        if self._workflow is None:
            raise ConfigurationError(
                f"the workflow of run {self.run_id} is not one of this engine's.", remedy="Name it when the engine is made."
            )
        return self._workflow

    def _view(self, record: RunRecord) -> Run[ObjectT, StatusT]:
        workflow = self._known_workflow()
        return Run(record, workflow.codec.decode(record.payload)[0], workflow.member(record.status))

    def _too_long(self, status: StatusT | None, timeout: timedelta | None, found: RunRecord | None = None) -> WaitTimeoutError:
        goal = "end" if status is None else f"reach {status!r}"
        where = ""
        if found is not None:
            why = found.reason or found.last_error
            where = f": it is {found.state.label.lower()} in {found.status!r}{f' ({why})' if why else ''}"
        by_hand = not self._core.waiter.threaded
        return WaitTimeoutError(
            f"the run did not {goal} within {timeout}{where}.",
            run_id=self.run_id,
            foreign_id=self.foreign_id,
            remedy="Nothing happens by itself in this engine: call engine.run_until_idle() first." if by_hand else None,
        )


def _check_timeout(timeout: object) -> None:
    """Raises ConfigurationError for what is no duration."""
    if timeout is not None and not isinstance(timeout, timedelta):
        raise ConfigurationError(
            f"timeout={timeout!r} is not a duration.", remedy=f"Write timeout=timedelta(seconds={timeout!r})."
        )


class AioRunHandle(Generic[ObjectT, StatusT]):
    """A run, from outside, for coroutines. See RunHandle for what each verb does."""

    def __init__(self, handle: RunHandle[ObjectT, StatusT]) -> None:
        self._handle = handle
        self.run_id = handle.run_id
        self.foreign_id = handle.foreign_id
        self.created = handle.created

    async def wait(self, status: StatusT | None = None, timeout: timedelta | None = None) -> Run[ObjectT, StatusT]:
        """As RunHandle.wait; takes no thread while it waits."""
        _check_timeout(timeout)
        handle = self._handle
        waiter = handle._core.waiter
        wait = Wait(handle.run_id, handle._key(status))
        seconds = None if timeout is None else timeout.total_seconds()
        timer = asyncio.timeout(seconds)
        try:
            async with timer:
                await asyncio.to_thread(waiter.begin, wait, seconds)
                record = await asyncio.wrap_future(wait.future)
        except TimeoutError as error:
            waiter.cancel(wait)
            if not timer.expired():
                raise
            if wait.future.cancelled():
                raise handle._too_long(status, timeout) from error
            record = wait.future.result()  # it came as we gave up
        except asyncio.CancelledError:
            waiter.cancel(wait)
            raise
        return handle._view(record)

    async def record(self) -> RunRecord:
        return await asyncio.to_thread(self._handle.record)

    async def run(self) -> Run[ObjectT, StatusT]:
        return await asyncio.to_thread(self._handle.run)

    async def history(self) -> Sequence[HistoryRow]:
        return await asyncio.to_thread(self._handle.history)

    async def pending(self) -> Sequence[PendingRow]:
        return await asyncio.to_thread(self._handle.pending)

    async def explain(self) -> Explanation:
        return await asyncio.to_thread(self._handle.explain)

    async def pause(self, reason: str, actor: str | None = None) -> RunRecord:
        return await asyncio.to_thread(self._handle.pause, reason, actor)

    async def resume(self, actor: str | None = None) -> RunRecord:
        return await asyncio.to_thread(self._handle.resume, actor)

    async def cancel(self, reason: str, actor: str | None = None, *, force: bool = False) -> RunRecord:
        return await asyncio.to_thread(lambda: self._handle.cancel(reason, actor, force=force))

    async def callback(self, status: StatusT, payload: object = b"", **options: Unpack[CallbackOptions]) -> CallbackResult:
        return await in_thread(partial(self._handle.callback, status, payload, **options))

    async def retry(self, reason: str | None = None, actor: str | None = None) -> RunRecord:
        return await asyncio.to_thread(self._handle.retry, reason, actor)

    async def move(self, status: StatusT, reason: str, actor: str | None = None, *, force: bool = False) -> RunRecord:
        return await asyncio.to_thread(lambda: self._handle.move(status, reason, actor, force=force))

    async def restart(
        self,
        status: StatusT | None = None,
        obj: ObjectT | None = None,
        *,
        idempotency_key: str | None = None,
        actor: str | None = None,
    ) -> AioRunHandle[ObjectT, StatusT]:
        handle = await asyncio.to_thread(lambda: self._handle.restart(status, obj, idempotency_key=idempotency_key, actor=actor))
        return handle.aio

    async def delete_data(self, reason: str, actor: str | None = None) -> RunRecord:
        return await asyncio.to_thread(self._handle.delete_data, reason, actor)

    async def receipt(self) -> Receipt | None:
        return await asyncio.to_thread(self._handle.receipt)
