"""Pause, resume and cancel from outside a step."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from concurrent.futures import Future

from msgspec.structs import replace

from flowdsl.engine.committer import INTERRUPTS
from flowdsl.engine.core import Core
from flowdsl.engine.error_pause import paused_by_errors
from flowdsl.errors import BadDataError, ConflictError, IllegalMoveError, RunNotFoundError, StoreError
from flowdsl.model.change import Change, CommitResult, MoveRun, Refusal, RequestControl
from flowdsl.model.history import Cause, Origin
from flowdsl.model.item import ItemKey, ItemKind
from flowdsl.model.pending import NewRow, RowKind
from flowdsl.model.record import ControlRequest, RunRecord
from flowdsl.model.run_state import RunState, may_move
from flowdsl.naming import deletion_topic

Draft = Callable[[RunRecord, bool], Change]
"""Makes the change of a run as it is now. In: whether the store has refused one because a step, timeout or kept callback of the
run is being executed.
Raises IllegalMoveError."""
TRIES = 50
"""A run that changes between fifty looks and fifty writes is changed by something that will not stop."""


def default_actor() -> str:
    """Who acts when nobody is named: the user of this process."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return f"uid-{os.getuid()}" if hasattr(os, "getuid") else "unknown"


def control_move(
    core: Core,
    record: RunRecord,
    state: RunState,
    reason: str | None,
    actor: str,
    *,
    cause: Cause = Cause.CONTROL,
    name: str = "",
    row: NewRow | None = None,
    settle: str | None = None,
    side_rows: tuple[NewRow, ...] = (),
    unless_claimed: bool = False,
    unless_moving: bool = False,
    drop_items: tuple[ItemKey, ...] = (),
    auto_resumes: int = 0,
    honour_request: bool = False,
) -> MoveRun:
    """The change that puts a run into a state and leaves status and object alone."""
    return MoveRun(
        change_id=core.ids(),
        namespace=record.namespace,
        workflow=record.workflow,
        run_id=record.run_id,
        version=record.version,
        from_status=record.status,
        from_state=record.state,
        to_status=record.status,
        to_state=state,
        origin=Origin(cause=cause, name=name, actor=actor, reason=reason),
        row=row,
        settle=settle,
        side_rows=side_rows,
        drop_items=drop_items,
        auto_resumes=auto_resumes,
        unless_claimed=unless_claimed,
        unless_moving=unless_moving,
        honour_request=honour_request,
    )


def request_move(
    core: Core,
    record: RunRecord,
    request: ControlRequest,
    *,
    settle: str | None = None,
    side_rows: tuple[NewRow, ...] = (),
    unless_claimed: bool = False,
    unless_moving: bool = False,
) -> MoveRun:
    """The change that applies a request which waited for a function, or what has taken its place meanwhile: a cancel, say."""
    return control_move(
        core,
        record,
        request.state,
        request.reason,
        request.actor,
        settle=settle,
        side_rows=side_rows,
        unless_claimed=unless_claimed,
        unless_moving=unless_moving,
        honour_request=True,
    )


class Control:
    """The verbs. Each returns the run as it is afterwards; a pause or cancel of a run whose step, timeout or kept callback is
    being executed is left as a request (`record.requested`) that the commit of that applies."""

    def __init__(self, core: Core, name: str = "", guard: Callable[[RunRecord], None] | None = None) -> None:
        self._core = core
        self._name = name
        """Of the operation that these changes are part of, for the history."""
        self._guard = guard
        """Raises for a run that is to be left alone; asked of each version that a change is computed from."""

    def pause(self, run_id: str, reason: str, actor: str | None = None) -> RunRecord:
        return self.until_applied(run_id, self.stopping(RunState.PAUSED, reason, actor))

    def cancel(self, run_id: str, reason: str, actor: str | None = None, *, force: bool = False) -> RunRecord:
        return self.until_applied(run_id, self.stopping(RunState.CANCELLED, reason, actor, force=force))

    def resume(self, run_id: str, actor: str | None = None, reason: str | None = None) -> RunRecord:
        return self.until_applied(run_id, self.resuming(actor, reason))

    def delete_data(self, run_id: str, reason: str, actor: str | None = None) -> RunRecord:
        """Ask for the data of a finished run to be erased; a worker of its workflow does it. Raises IllegalMoveError."""
        return self.until_applied(run_id, self.deleting(reason, actor))

    # -- the changes that they make -------------------------------------------------------------------------------------------

    def stopping(self, state: RunState, reason: str, actor: str | None, *, force: bool = False) -> Draft:
        """Of a pause or cancel."""
        core, who = self._core, actor or default_actor()

        def draft(record: RunRecord, claimed: bool) -> Change:
            self.allow(record, state)
            if claimed:
                request = ControlRequest(state, reason, who)
                return RequestControl(change_id=core.ids(), run_id=record.run_id, request=request)
            return control_move(
                core,
                record,
                state,
                reason,
                who,
                name=self._name,
                unless_moving=not force,
                drop_items=(ItemKey(ItemKind.AUTO_RESUME, record.run_id),) if record.state is RunState.PAUSED else (),
                # A cancel that still waits for a function whose worker is gone is not undone by a pause.
                honour_request=state is RunState.PAUSED,
            )

        return draft

    def resuming(self, actor: str | None, reason: str | None, *, handoff: bool = True) -> Draft:
        core, who = self._core, actor or default_actor()

        def draft(record: RunRecord, claimed: bool) -> Change:
            self.allow(record, RunState.RUNNING)
            row = core.step_row(record.workflow, record.run_id, record.status, priority=record.priority, handoff=handoff)
            drop = (ItemKey(ItemKind.AUTO_RESUME, record.run_id),)
            return control_move(core, record, RunState.RUNNING, reason, who, name=self._name, row=row, drop_items=drop)

        return draft

    def deleting(self, reason: str, actor: str | None) -> Draft:
        core, who = self._core, actor or default_actor()

        def draft(record: RunRecord, claimed: bool) -> Change:
            self.allow(record, RunState.REQUESTED_DATA_DELETED)
            row = NewRow(
                row_id=f"{record.run_id}:{record.version + 1}:delete",
                topic=deletion_topic(record.workflow),
                kind=RowKind.DELETION,
                payload=who.encode(),
            )
            state, cause = RunState.REQUESTED_DATA_DELETED, Cause.DELETION
            return replace(control_move(core, record, state, reason, who, cause=cause, name=self._name), side_rows=(row,))

        return draft

    # -- what they have in common ---------------------------------------------------------------------------------------------

    def allow(self, record: RunRecord, state: RunState) -> None:
        """Raises IllegalMoveError when the run cannot be put into the state from outside."""
        resuming = state is RunState.RUNNING
        if state is RunState.PAUSED and paused_by_errors(record):
            return  # taken over: it is not resumed by itself any more
        if may_move(record.state, state) and record.state is not state and (not resuming or record.state is RunState.PAUSED):
            return
        what, remedy = f"{record.state.label.lower()} and cannot become {state.label.lower()}", None
        if record.state is state:
            what = f"{state.label.lower()} already"
        if state is RunState.REQUESTED_DATA_DELETED:
            if not record.state.finished:
                what, remedy = f"{record.state.label.lower()}, so its data is needed still", "Cancel it first."
            else:
                what, remedy = "about to have its data erased", "It is asked for already."
        elif record.state.finished and record.state is not state:
            remedy = "A finished run stays as it is; flowdsl restart, or handle.restart(), starts a new one like it."
        elif resuming:
            remedy = "Only a paused run can be resumed."
        raise IllegalMoveError(
            f"run {record.run_id} is {what}.",
            run_id=record.run_id,
            workflow=record.workflow,
            foreign_id=record.foreign_id,
            remedy=remedy,
        )

    def until_applied(self, run_id: str, draft: Draft) -> RunRecord:
        """Carry out a change of the run as it is now, again and again while others are first; the run as it is afterwards. Raises
        what the draft raises, RunNotFoundError, ConflictError, BadDataError, StoreError."""
        core, claimed = self._core, False
        for _ in range(TRIES):
            record = core.store.lookup([run_id]).get(run_id)
            if record is None:
                raise RunNotFoundError(f"there is no run {run_id}.", run_id=run_id)
            if self._guard is not None:
                self._guard(record)
            change = draft(record, claimed)
            row = change.row if isinstance(change, MoveRun) else None
            try:
                result = commit_one(core, change)
                after = core.store.lookup([run_id]).get(run_id, record) if result.applied else record
            except (StoreError, *INTERRUPTS):
                core.abandon(row, record.version + 1)
                raise
            claimed = result.refusal is Refusal.CLAIMED
            if result.applied:
                if isinstance(change, MoveRun):
                    core.metrics.moved(record.workflow, record.state, after.state)
                    core.committed(row, after)
                    core.publish_soon()
                core.waiter.notify(after)
                return after
            core.not_committed(row)
            if result.refusal is Refusal.NOT_FOUND:
                raise RunNotFoundError(f"there is no run {run_id}.", run_id=run_id)
            if result.refusal is Refusal.BAD_DATA:
                raise BadDataError(f"the store cannot hold this: {result.detail}.")
        raise ConflictError(f"run {run_id} kept changing; nothing was stored.", run_id=run_id, remedy="Try again.")


def commit_one(core: Core, change: Change) -> CommitResult:
    """Commit a change with whatever else is ready and wait for its result. Raises StoreError."""
    answer: Future[CommitResult] = Future()
    core.committer.submit(change, answer.set_result, answer.set_exception)
    core.committer.flush(answer.done)
    if core.committer.waiting:
        core.commit_soon()  # ours is done and we led: the rest is not ours to wait for
    return answer.result()
