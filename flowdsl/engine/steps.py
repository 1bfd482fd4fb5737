"""A row's life between claim and commit: open, call, finish; or fail. What differs from kind to kind is its duty's."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from flowdsl.engine.auto_resume import AutoResume
from flowdsl.engine.awaiting import carry_out, carry_out_async, refuse_awaitable, refuse_unawaited
from flowdsl.engine.core import Core
from flowdsl.engine.deletion_duty import DeletionDuty
from flowdsl.engine.duty import Duty, Opened
from flowdsl.engine.event_duty import EventDuty
from flowdsl.engine.hook_duty import HookDuty
from flowdsl.engine.lane import Lane
from flowdsl.engine.moving_duties import CallbackDuty, StepDuty, TimeoutDuty
from flowdsl.engine.results import Results, fields
from flowdsl.engine.sentence import short_name
from flowdsl.engine.work import Work
from flowdsl.errors import FlowError, TimeLimitExceededError
from flowdsl.model.change import DropRow, FailRow
from flowdsl.model.failure import Failure
from flowdsl.model.pending import PendingRow, RowKind

log = logging.getLogger("flowdsl.steps")
MAX_ERROR_TEXT = 2000
NEWER_CODE = timedelta(seconds=1)
"""For how long a run whose object only newer code can read is left to that before it may be met here again."""
TRIED_FOR_EVER = (RowKind.HOOK, RowKind.DELETION, RowKind.EVENT)
"""Kinds of row that no number of failures ends."""


class Steps:
    """The body that executors run."""

    def __init__(self, core: Core, auto_resume: AutoResume) -> None:
        self._core = core
        self._results = results = Results(core, self._fail)
        self._duties: Mapping[RowKind, Duty] = {
            RowKind.STEP: StepDuty(core, results, auto_resume),
            RowKind.TIMEOUT: TimeoutDuty(core, results, auto_resume),
            RowKind.CALLBACK: CallbackDuty(core, results, auto_resume),
            RowKind.HOOK: HookDuty(core, results),
            RowKind.DELETION: DeletionDuty(core, results),
            RowKind.EVENT: EventDuty(core, results),
        }

    # -- before the body ------------------------------------------------------------------------------------------------------

    def admit(self, work: Work) -> bool:
        """Whether a claimed row still asks for its body; if not, what has to happen instead is submitted."""
        if not self._duties[work.lane.kind].admit(work):
            return False
        limit = work.lane.options.pause_after_err_count
        if work.lapses and limit and work.failures >= limit and not self._has_waited(work, limit):
            self._fail(work, FlowError(f"the worker was lost {work.lapses} times while it held this run."), count=False)
            return False
        return True

    def _has_waited(self, work: Work, limit: int) -> bool:
        """Of what is tried for ever, whether it has been let wait for each claim that was lost beyond the limit."""
        return work.lane.kind in TRIED_FOR_EVER and work.attempts > work.lapses - limit

    def drop_row(self, lane: Lane, row: PendingRow, owner: str) -> None:
        """Remove a row whose run is gone."""
        change = DropRow(change_id=self._core.ids(), row_id=row.row_id, owner=owner, delivery=row.delivery, version=row.version)
        self._core.committer.submit(change, lambda _: self._core.close_lane(lane), lambda _: self._core.close_lane(lane))

    # -- the body -------------------------------------------------------------------------------------------------------------

    def run(self, work: Work) -> None:
        duty, opened = self._duties[work.lane.kind], None
        try:
            opened = duty.open(work)
            answer = work.lane.spec.fn(opened.run, *opened.more)
            refuse_awaitable(answer, f"{duty.what} {work.lane.spec.name}")
            self._check_time(work, duty)
            carry_out(duty.finish(work, opened, answer), self._core.complete)
            _undo(opened)  # a skip stores nothing
        except BaseException as error:  # whatever a body raises is its own failure, never the worker's
            _undo(opened)
            self._fail(work, error)

    async def run_async(self, work: Work) -> None:
        duty = self._duties[work.lane.kind]
        try:
            opened = duty.open(work)
            answer = await self._in_time(work, duty, opened)
            refuse_unawaited(answer, f"{duty.what} {work.lane.spec.name}")
            self._check_time(work, duty)  # a body that never yielded could not be interrupted
            await carry_out_async(duty.finish(work, opened, answer))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            ends = task is not None and task.cancelling()
            if ends and not self._core.accepting:
                raise  # the engine is going: the row is given back with the rest
            self._fail(work, FlowError("the step was cancelled from within."))
            if ends:
                self._core.commit_soon()
                raise
        except BaseException as error:
            self._fail(work, error)
        self._core.commit_soon()

    async def _in_time(self, work: Work, duty: Duty, opened: Opened) -> Any:
        limit = work.lane.options.time_limit
        timer = asyncio.timeout(None if limit is None else limit.total_seconds())
        try:
            async with timer:
                return await work.lane.spec.fn(opened.run, *opened.more)
        except TimeoutError:
            if not timer.expired():
                raise
            raise self._too_late(work, duty) from None

    def _check_time(self, work: Work, duty: Duty) -> None:
        limit = work.lane.options.time_limit
        if limit is not None and self._core.clock.monotonic() - work.began > limit.total_seconds():
            raise self._too_late(work, duty)

    def _too_late(self, work: Work, duty: Duty) -> TimeLimitExceededError:
        return TimeLimitExceededError(
            f"{duty.what} {short_name(work.lane.spec.name)} ran longer than its time_limit of {work.lane.options.time_limit}."
        )

    # -- failure --------------------------------------------------------------------------------------------------------------

    def _fail(self, work: Work, error: BaseException, *, count: bool = True) -> None:
        core, lane, duty = self._core, work.lane, self._duties[work.lane.kind]
        if not lane.workflow.codec.upcasters.knows(work.record.payload):
            core.release(work, NEWER_CODE)
            return
        failures = work.failures + (1 if count else 0)
        text = describe(error)
        limit = lane.options.pause_after_err_count
        lane.metrics.errors.inc()
        final = isinstance(error, lane.options.pause_on)
        move = duty.give_up(work, failures, text, final=final) if final or (limit and failures >= limit) else None
        log.log(
            logging.WARNING if move is not None else logging.INFO,
            "%s %s of %s/%s failed (attempt %d), %s: %s%s",
            duty.what,
            short_name(lane.spec.name),
            work.record.workflow,
            work.record.foreign_id,
            failures,
            "its run is paused" if move is not None else "it will be tried again",
            type(error).__name__,  # its text may hold data of the object: it is in `flowdsl show`
            place_of(error, lane.spec.place.file),
            extra=fields(work, attempt=failures),
            exc_info=error if log.isEnabledFor(logging.DEBUG) else None,
        )
        if move is not None:
            self._results.submit_move(work, move, None)
            return
        delay = lane.options.retry.wait_after(error, failures, core.rng)
        lane.metrics.retries.inc()
        change_id = core.ids()
        failure = Failure(lane.spec.name, text, failures)
        told = () if lane.kind is RowKind.HOOK else core.hooks.of_failure(work.record.workflow, change_id, failure)
        change = FailRow(
            change_id=change_id,
            **work.claim,
            error=text,
            delay=delay,
            side_rows=told,
        )
        lane.expect(core.clock.monotonic() + delay.total_seconds())
        self._results.submit(work, change, lambda result: self._results.given_back(work, result))


def describe(error: BaseException) -> str:
    """An error as it is stored: type and text, bounded, without what no database holds. Whatever a user's class does, a failed
    attempt has to be stored, or its row stays in our hands."""
    try:
        text = str(error)
    except BaseException as broken:
        text = f"(its text raised {type(broken).__name__})"
    whole = f"{type(error).__name__}: {text}"[:MAX_ERROR_TEXT]
    return whole.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()[:MAX_ERROR_TEXT]


def place_of(error: BaseException, file: str) -> str:
    """Where in a file an error came from, as the end of a log line: the innermost of its calls there. Empty: nowhere there."""
    place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename == file:
            place = f" at {Path(file).name}:{line} in {frame.f_code.co_name}"
    return place


def _undo(opened: Opened | None) -> None:
    """What the body wrote with its session is not to be stored."""
    if opened is None:
        return
    try:
        opened.run.extras.close()
    except Exception:
        log.exception("undoing what a failed step had written failed: the database does it when the connection ends")
