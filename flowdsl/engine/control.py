"""Pause, resume and cancel from outside a step."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from concurrent.futures import Future

from msgspec.structs import replace

from flowdsl.engine.core import Core
from flowdsl.errors import BadDataError, ConflictError, IllegalMoveError, RunNotFoundError, StoreError
from flowdsl.model.change import Change, CommitResult, MoveRun, Refusal, RequestControl
from flowdsl.model.history import Cause, Origin
from flowdsl.model.item import ItemKey, ItemKind
from flowdsl.model.pending import NewRow, RowKind
from flowdsl.model.record import ControlRequest, RunRecord
from flowdsl.model.run_state import RunState, may_move
from flowdsl.naming import deletion_topic

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
    unless_claimed: bool = False,
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
        drop_items=drop_items,
        auto_resumes=auto_resumes,
        unless_claimed=unless_claimed,
        honour_request=honour_request,
    )


def request_move(core: Core, record: RunRecord, request: ControlRequest, *, unless_claimed: bool = False) -> MoveRun:
    """The change that applies a request which waited for a step, or what has taken its place meanwhile: a cancel, say."""
    return control_move(
        core,
        record,
        request.state,
        request.reason,
        request.actor,
        unless_claimed=unless_claimed,
        honour_request=True,
    )


class Control:
    """The verbs. Each returns the run as it is afterwards; a pause or cancel of a run whose step is being executed is left as a
    request (`record.requested`) that the step's commit applies."""

    def __init__(self, core: Core, name: str = "", guard: Callable[[RunRecord], None] | None = None) -> None:
        self._core = core
        self._name = name
        """Of the operation that these changes are part of, for the history."""
        self._guard = guard
        """Raises for a run that is to be left alone; asked of each version that a change is computed from."""

    def pause(self, run_id: str, reason: str, actor: str | None = None) -> RunRecord:
        return self._stop(run_id, RunState.PAUSED, reason, actor or default_actor(), force=False)

    def cancel(self, run_id: str, reason: str, actor: str | None = None, *, force: bool = False) -> RunRecord:
        return self._stop(run_id, RunState.CANCELLED, reason, actor or default_actor(), force=force)

    def resume(self, run_id: str, actor: str | None = None, reason: str | None = None) -> RunRecord:
        core = self._core

        def change(record: RunRecord) -> Change:
            self.allow(record, RunState.RUNNING)
            row = core.step_row(record.workflow, record.run_id, record.status, priority=record.priority)
            drop = (ItemKey(ItemKind.AUTO_RESUME, record.run_id),)
            return control_move(
                core, record, RunState.RUNNING, reason, actor or default_actor(), name=self._name, row=row, drop_items=drop
            )

        return self._until_applied(run_id, change)

    def delete_data(self, run_id: str, reason: str, actor: str | None = None) -> RunRecord:
        """Ask for the data of a finished run to be erased; a worker of its workflow does it. Raises IllegalMoveError."""
        core, who = self._core, actor or default_actor()

        def change(record: RunRecord) -> Change:
            self.allow(record, RunState.REQUESTED_DATA_DELETED)
            row = NewRow(
                row_id=f"{record.run_id}:{record.version + 1}:delete",
                topic=deletion_topic(record.workflow),
                kind=RowKind.DELETION,
                payload=who.encode(),
            )
            move = control_move(
                core,
                record,
                RunState.REQUESTED_DATA_DELETED,
                reason,
                who,
                cause=Cause.DELETION,
                name=self._name,
            )
            return replace(move, side_rows=(row,))

        return self._until_applied(run_id, change)

    def _stop(self, run_id: str, state: RunState, reason: str, actor: str, *, force: bool) -> RunRecord:
        core = self._core
        claimed = False

        def change(record: RunRecord) -> Change:
            self.allow(record, state)
            if claimed:
                request = ControlRequest(state, reason, actor)
                return RequestControl(change_id=core.ids(), run_id=run_id, request=request)
            drop = (ItemKey(ItemKind.AUTO_RESUME, run_id),) if record.state is RunState.PAUSED else ()
            # A cancel that still waits for a step whose worker is gone is not undone by a pause.
            honour = state is RunState.PAUSED
            return control_move(
                core,
                record,
                state,
                reason,
                actor,
                name=self._name,
                unless_claimed=not force,
                drop_items=drop,
                honour_request=honour,
            )

        def learn(result: CommitResult) -> None:
            nonlocal claimed
            claimed = result.refusal is Refusal.CLAIMED

        return self._until_applied(run_id, change, learn)

    def allow(self, record: RunRecord, state: RunState) -> None:
        """Raises IllegalMoveError when the run cannot be put into the state from outside."""
        resuming = state is RunState.RUNNING
        if may_move(record.state, state) and record.state is not state and (not resuming or record.state is RunState.PAUSED):
            return
        remedy = None
        if state is RunState.REQUESTED_DATA_DELETED:
            remedy = "Cancel it first." if not record.state.finished else "It is asked for already."
        elif record.state is state and not resuming:
            remedy = f"It is {state.label.lower()} already."
        elif record.state.finished:
            remedy = "A finished run stays as it is; trigger a new one."
        elif resuming:
            remedy = "Only a paused run can be resumed."
        raise IllegalMoveError(
            f"run {record.run_id} is {record.state.label.lower()} and cannot become {state.label.lower()}.",
            run_id=record.run_id,
            workflow=record.workflow,
            foreign_id=record.foreign_id,
            remedy=remedy,
        )

    def _until_applied(
        self, run_id: str, make: Callable[[RunRecord], Change], learn: Callable[[CommitResult], None] | None = None
    ) -> RunRecord:
        core = self._core
        for _ in range(TRIES):
            record = core.store.lookup([run_id]).get(run_id)
            if record is None:
                raise RunNotFoundError(f"there is no run {run_id}.", run_id=run_id)
            if self._guard is not None:
                self._guard(record)
            change = make(record)
            row = change.row if isinstance(change, MoveRun) else None
            try:
                result = commit_one(core, change)
                after = core.store.lookup([run_id]).get(run_id, record) if result.applied else record
            except StoreError:
                core.abandon(row)
                raise
            if learn is not None:
                learn(result)
            if result.applied:
                if isinstance(change, MoveRun):
                    core.metrics.moved(record.workflow, record.state, after.state)
                    core.committed(row, after)
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
