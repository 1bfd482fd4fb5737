"""A step's life between claim and commit: decode, call, judge the answer, submit the change, follow it up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from datetime import timedelta
from enum import Enum
from functools import partial
from inspect import isawaitable
from typing import Any

from msgspec.structs import replace

from flowdsl.dsl.run import Run
from flowdsl.engine.auto_resume import AutoResume
from flowdsl.engine.auto_resumer import pause_mark
from flowdsl.engine.control import request_move
from flowdsl.engine.core import Core
from flowdsl.engine.error_pause import error_pause_reason
from flowdsl.engine.lane import Lane
from flowdsl.engine.metrics import SkipReason
from flowdsl.engine.work import Work
from flowdsl.errors import (
    FlowError,
    StepOutcomeError,
    StoreError,
    TimeLimitExceededError,
    UndeclaredDestinationError,
    UnusedOutcomeError,
)
from flowdsl.model.change import Change, CommitOutcome, CommitResult, DropRow, FailRow, MoveRun, ParkRow, Refusal
from flowdsl.model.history import Cause, Origin
from flowdsl.model.item import ItemKind, NewItem
from flowdsl.model.outcome import Outcome, OutcomeKind
from flowdsl.model.pending import PendingRow
from flowdsl.model.record import Payload, RunRecord
from flowdsl.model.run_state import RunState

log = logging.getLogger("flowdsl.steps")
MAX_ERROR_TEXT = 2000
STORE_RETRY = timedelta(seconds=1)


class Steps:
    """The body that executors run."""

    def __init__(self, core: Core, auto_resume: AutoResume) -> None:
        self._core, self._auto_resume = core, auto_resume

    # -- before the body ------------------------------------------------------------------------------------------------------

    def admit(self, work: Work, version: int) -> bool:
        """Whether a claimed row still asks for its body; if not, what has to happen instead is submitted."""
        core, record, lane = self._core, work.record, work.lane
        if record.version != version or record.state.stopped or record.status != lane.spec.from_key:
            lane.metrics.skipped(SkipReason.STOPPED if record.state.stopped else SkipReason.LOWER_VERSION)
            self.drop(work)
            return False
        if record.requested is not None:
            change = request_move(core, record, record.requested)
            self._submit(work, change, partial(self._moved, work, change, None))
            return False
        limit = lane.options.pause_after_err_count
        if work.lapses and limit and work.failures >= limit:
            self._fail(work, FlowError(f"the worker was lost {work.lapses} times while it held this run."), count=False)
            return False
        return True

    def drop(self, work: Work) -> None:
        """Remove a row that nothing needs any more."""
        self._drop(work.lane, work.row_id, work.owner, work.delivery)

    def drop_row(self, lane: Lane, row: PendingRow, owner: str) -> None:
        """The same for a row whose run is gone."""
        self._drop(lane, row.row_id, owner, row.delivery)

    def _drop(self, lane: Lane, row_id: str, owner: str, delivery: int) -> None:
        change = DropRow(change_id=self._core.ids(), row_id=row_id, owner=owner, delivery=delivery)
        self._core.committer.submit(change, lambda _: self._core.close_lane(lane), lambda _: self._core.close_lane(lane))

    # -- the body -------------------------------------------------------------------------------------------------------------

    def run(self, work: Work) -> None:
        try:
            run, leftover = self._open(work)
            answer = work.lane.spec.fn(run)
            if isawaitable(answer):
                _discard(answer)
                raise StepOutcomeError(
                    f"step {work.lane.spec.name} is a `def` that returned an awaitable.", remedy="Declare it `async def`."
                )
            self._check_time(work)
            self._finish(work, run, leftover, answer)
        except BaseException as error:  # whatever a body raises is its own failure, never the worker's
            self._fail(work, error)

    async def run_async(self, work: Work) -> None:
        limit = work.lane.options.time_limit
        try:
            run, leftover = self._open(work)
            timer = asyncio.timeout(None if limit is None else limit.total_seconds())
            try:
                async with timer:
                    answer = await work.lane.spec.fn(run)
            except TimeoutError:
                if not timer.expired():
                    raise
                raise self._too_late(work) from None
            self._check_time(work)  # a body that never yielded could not be interrupted
            self._finish(work, run, leftover, answer)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise  # the engine is going: the row is given back with the rest
            self._fail(work, FlowError("the step was cancelled from within."))
        except BaseException as error:
            self._fail(work, error)
        self._core.commit_soon()

    def _open(self, work: Work) -> tuple[Run[Any, Any], Any]:
        lane, record = work.lane, work.record
        obj, leftover = lane.workflow.codec.decode(record.payload)
        shown = record if record.state is not RunState.INITIATED else replace(record, state=RunState.RUNNING)
        return Run(shown, obj, lane.spec.from_, work.failures + 1), leftover

    def _check_time(self, work: Work) -> None:
        limit = work.lane.options.time_limit
        if limit is not None and self._core.clock.monotonic() - work.began > limit.total_seconds():
            raise self._too_late(work)

    def _too_late(self, work: Work) -> TimeLimitExceededError:
        return TimeLimitExceededError(
            f"step {work.lane.spec.name} ran longer than its time_limit of {work.lane.options.time_limit}."
        )

    # -- the answer -----------------------------------------------------------------------------------------------------------

    def _finish(self, work: Work, run: Run[Any, Any], leftover: Any, answer: object) -> None:
        lane = work.lane
        key, outcome = judge(lane, run, answer)
        if outcome is not None and outcome.kind is OutcomeKind.SKIP:
            lane.metrics.skipped(SkipReason.SKIPPED)
            park = ParkRow(change_id=self._core.ids(), row_id=work.row_id, owner=work.owner, delivery=work.delivery)
            self._submit(work, park, partial(self._given_back, work))
            return
        payload = None
        if run.object is not None or work.record.payload is not None:
            payload = lane.workflow.codec.encode(run.object, leftover)
        change = self._move(work, key, outcome, payload)
        self._submit(work, change, partial(self._moved, work, change, payload))

    def _move(self, work: Work, key: str, outcome: Outcome | None, payload: Payload | None) -> MoveRun:
        core, lane, record = self._core, work.lane, work.record
        kind = outcome.kind if outcome is not None else None
        cause, row, state = Cause.STEP, None, RunState.RUNNING
        if kind is OutcomeKind.PAUSE:
            state = RunState.PAUSED
        elif kind is OutcomeKind.CANCEL:
            state = RunState.CANCELLED
        elif kind is OutcomeKind.REPEAT:
            cause = Cause.REPEAT
            row = core.step_row(record.workflow, record.run_id, key, priority=record.priority, handoff=False)
        elif key in lane.terminal:
            state = RunState.COMPLETED
        else:
            row = core.step_row(record.workflow, record.run_id, key, priority=record.priority)
        return MoveRun(
            change_id=core.ids(),
            namespace=record.namespace,
            workflow=record.workflow,
            run_id=record.run_id,
            version=record.version,
            from_status=record.status,
            from_state=record.state,
            to_status=key,
            to_state=state,
            origin=Origin(
                cause=cause,
                name=lane.spec.name,
                actor=work.owner,
                reason=outcome.reason or None if outcome is not None else None,
                attempt=work.failures + 1,
            ),
            payload=payload,
            row=row,
            new_visit=kind is None,
            new_task=kind is None or kind is OutcomeKind.REPEAT,
            auto_resumes=0 if kind is None else record.auto_resumes,
        )

    # -- failure --------------------------------------------------------------------------------------------------------------

    def _fail(self, work: Work, error: BaseException, *, count: bool = True) -> None:
        core, lane = self._core, work.lane
        failures = work.failures + (1 if count else 0)
        text = describe(error)
        limit = lane.options.pause_after_err_count
        lane.metrics.errors.inc()
        exhausted = bool(limit) and failures >= limit
        log.log(
            logging.WARNING if exhausted else logging.INFO,
            "step %s of %s/%s failed (attempt %d), %s: %s",
            lane.spec.name,
            work.record.workflow,
            work.record.foreign_id,
            failures,
            "its run is paused" if exhausted else "it will be tried again",
            type(error).__name__,  # its text may hold data of the object: it is in `flowdsl show`
            extra=fields(work, attempt=failures),
            exc_info=error if log.isEnabledFor(logging.DEBUG) else None,
        )
        if exhausted:
            move = self._pause_move(work, failures, text)
            self._submit(work, move, partial(self._moved, work, move, None))
            return
        delay = lane.options.retry.delay(failures, core.rng)
        lane.metrics.retries.inc()
        change: Change = FailRow(
            change_id=core.ids(), row_id=work.row_id, owner=work.owner, delivery=work.delivery, error=text, delay=delay
        )
        lane.expect(core.clock.monotonic() + delay.total_seconds())
        self._submit(work, change, partial(self._given_back, work))

    def _pause_move(self, work: Work, failures: int, text: str) -> MoveRun:
        record = work.record
        items: tuple[NewItem, ...] = ()
        wait = self._auto_resume.wait(record.auto_resumes)
        if wait is not None:
            body = pause_mark(record.version + 1, work.owner)
            items = (NewItem(kind=ItemKind.AUTO_RESUME, key=record.run_id, body=body, delay=wait, replace=True),)
        return MoveRun(
            change_id=self._core.ids(),
            namespace=record.namespace,
            workflow=record.workflow,
            run_id=record.run_id,
            version=record.version,
            from_status=record.status,
            from_state=record.state,
            to_status=record.status,
            to_state=RunState.PAUSED,
            origin=Origin(
                cause=Cause.ERRORS,
                name=work.lane.spec.name,
                actor=work.owner,
                reason=error_pause_reason(f"step {work.lane.spec.name}", failures),
                attempt=failures,
                error=text,
            ),
            items=items,
            auto_resumes=record.auto_resumes,
        )

    # -- after the commit -----------------------------------------------------------------------------------------------------

    def _submit(self, work: Work, change: Change, done: Any) -> None:
        self._core.committer.submit(change, done, partial(self._unanswered, work, change, done))

    def _unanswered(self, work: Work, change: Change, done: Any, error: StoreError) -> None:
        """The store could not answer: the change is tried again while the claim is ours; afterwards it is somebody else's row."""
        core = self._core
        if work.owner != core.owner:
            if isinstance(change, MoveRun):
                core.not_committed(change.row)
            core.close(work)
            return
        core.delayed.call(STORE_RETRY, partial(self._again, work, change, done))

    def _again(self, work: Work, change: Change, done: Any) -> None:
        self._submit(work, change, done)
        self._core.commit_soon()

    def _moved(self, work: Work, change: MoveRun, payload: Payload | None, result: CommitResult) -> None:
        core, lane, record = self._core, work.lane, work.record
        if work.began >= 0:
            lane.metrics.latency.observe(core.clock.monotonic() - work.began)
        if not result.applied:
            core.not_committed(change.row)
            if result.refusal is Refusal.BAD_DATA or result.refusal is Refusal.KEY_TAKEN:
                self._fail(work, FlowError(f"the store refused the result: {result.detail}"))
                core.commit_soon()
                return
            lane.metrics.skipped(SkipReason.STOPPED if result.refusal is Refusal.FINISHED else SkipReason.LOWER_VERSION)
            log.info("the result of step %s came too late: the run had moved on", lane.spec.name, extra=fields(work))
            core.close(work)
            return
        after = moved_record(record, change, payload, result)
        core.metrics.moved(record.workflow, record.state, after.state)
        core.close(work)
        core.committed(change.row, after)
        if after.state is change.to_state:
            core.waiter.notify(after)
        else:
            core.waiter.refresh(after.run_id)  # a request was applied: whose, and why, is in the store

    def _given_back(self, work: Work, result: CommitResult) -> None:
        core = self._core
        core.close(work)
        if result.outcome is CommitOutcome.APPLIED and result.requested is not None:
            change = request_move(core, work.record, result.requested, unless_claimed=True)
            core.committer.submit(change, partial(self._requested, change, work.record), _left_to_the_row)
            core.commit_soon()
        elif work.lane.next_look() is not None:
            core.wake(())

    def _requested(self, change: MoveRun, record: RunRecord, result: CommitResult) -> None:
        if result.applied:
            self._core.metrics.moved(record.workflow, record.state, change.to_state)
            self._core.waiter.notify(moved_record(record, change, None, result))


def _left_to_the_row(_: StoreError) -> None:
    """The request still stands at the run and its row is due: the next claim applies it."""


def judge(lane: Lane, run: Run[Any, Any], answer: object) -> tuple[str, Outcome | None]:
    """The status to go to and the outcome to apply. Raises StepOutcomeError when the declaration does not allow the answer."""
    spec, made = lane.spec, run.made
    if isinstance(answer, Outcome):
        if made != answer:
            raise UnusedOutcomeError(
                f"step {spec.name} returned an outcome that this attempt did not make last.",
                remedy="Return what run.pause(...) and the like answered.",
            )
        return spec.from_key, answer
    if made is not None:
        raise UnusedOutcomeError(
            f"step {spec.name} called run.{made.kind.value}() and returned something else.",
            remedy=f"Write `return run.{made.kind.value}(...)`.",
        )
    if answer is None:
        if len(spec.to_keys) == 1:
            return spec.to_keys[0], None
        raise StepOutcomeError(
            f"step {spec.name} returned None but has {len(spec.to_keys)} destinations.",
            remedy=f"Return one of {', '.join(map(str, spec.to))}.",
        )
    try:
        return lane.destinations[answer], None
    except (KeyError, TypeError):
        raise UndeclaredDestinationError(
            f"step {spec.name} returned {_shown(answer)}, which is not among its destinations.",
            remedy=f"Return one of {', '.join(map(str, spec.to))}, or add it to `to=`.",
        ) from None


def _shown(answer: object) -> str:
    """What a step returned, as an error may say it: errors are stored and logged, and the object must not be."""
    return repr(answer) if isinstance(answer, Enum) else f"a value of type {type(answer).__name__}"


def moved_record(record: RunRecord, change: MoveRun, payload: Payload | None, result: CommitResult) -> RunRecord:
    """The run as an applied MoveRun left it."""
    state = result.state if result.state is not None else change.to_state
    return replace(
        record,
        status=change.to_status,
        state=state,
        version=change.version + 1,
        visit=record.visit + (1 if change.new_visit else 0),
        task_version=change.version + 1 if change.new_task else record.task_version,
        payload=payload if payload is not None else record.payload,
        updated_at=result.at if result.at is not None else record.updated_at,
        change_id=change.change_id,
        reason=change.origin.reason if state in (RunState.PAUSED, RunState.CANCELLED) else None,
        actor=change.origin.actor if state in (RunState.PAUSED, RunState.CANCELLED) else None,
        last_error=change.origin.error,
        auto_resumes=change.auto_resumes,
        requested=None,
    )


def describe(error: BaseException) -> str:
    """An error as it is stored: type and text, bounded."""
    return f"{type(error).__name__}: {error}"[:MAX_ERROR_TEXT]


def fields(work: Work, *, attempt: int | None = None) -> dict[str, object]:
    """What a log line about a run carries: ids, never the object."""
    record = work.record
    return {
        "workflow": record.workflow,
        "run_id": record.run_id,
        "foreign_id": record.foreign_id,
        "status": record.status,
        "attempt": attempt if attempt is not None else work.failures + 1,
    }


def _discard(answer: Awaitable[Any]) -> None:
    close = getattr(answer, "close", None)
    if close is not None:
        close()
