"""The turns of runs in an operation on many: looked at together, committed together, and alone where that did not do."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import Future
from typing import NamedTuple

from flowdsl.engine.control import Draft
from flowdsl.engine.core import Core
from flowdsl.engine.error_pause import paused_by_errors
from flowdsl.engine.moving import moved_record
from flowdsl.engine.repair import Repair, Rows, refuse_claimed, step_row
from flowdsl.errors import ConfigurationError, PayloadError, RunError, RunNotFoundError, StoreError
from flowdsl.model.bulk import STATES, BulkOrder, BulkVerb
from flowdsl.model.change import CommitResult, MoveRun
from flowdsl.model.condition import Subject
from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState
from flowdsl.model.where import Where


class Turn(NamedTuple):
    """One run had its turn."""

    run: RunRecord
    """As it was found."""
    what: str
    """done, waiting, refused or passed: the report counts by these names."""
    why: str = ""


class Turns:
    """A turn is an ordinary change of one run, by compare-and-set, with the reason and the operation's id in the run's history;
    whether the run is still meant is asked of the very version that is changed. In: `doubtful`, runs that may have had their turn
    from a process whose progress was not stored."""

    def __init__(self, core: Core, order: BulkOrder, where: Where, doubtful: Collection[str]) -> None:
        self._core = core
        self._order = order
        self._where = where
        self._doubtful = frozenset(doubtful)
        self._name = f"bulk {order.operation}"
        self._repair = Repair(core, self._name, self._guard)

    def meant(self, records: Sequence[RunRecord]) -> list[str]:
        """The ids of those that are meant."""
        rows = self._rows([record.run_id for record in records]) if self._where.reads_rows else {}
        return [record.run_id for record in records if self._is_meant(record, rows)]

    def take(self, run_ids: Sequence[str], *, dry_run: bool) -> list[Turn]:
        """Give these runs their turn, or tell what it would come to; runs that are gone have none. Raises StoreError."""
        found = self._core.store.lookup(run_ids)
        rows = self._rows(run_ids) if self._where.reads_rows or self._order.verb in _LOOK_AT_ROWS else {}
        draft = self._draft(rows)
        turns: dict[str, Turn] = {}
        drafted: list[tuple[RunRecord, MoveRun]] = []
        for record in found.values():
            try:
                self._guard(record, rows)
                change = draft(record, False)
                if dry_run and not self._order.force and self._order.verb in _LOOK_AT_ROWS:
                    refuse_claimed(record, step_row(self._core, record, rows))
            except Exception as error:
                turns[record.run_id] = _outcome(record, error)
                continue
            if dry_run:
                turns[record.run_id] = Turn(record, "done")
            elif isinstance(change, MoveRun):
                drafted.append((record, change))
        for (record, change), result in zip(drafted, self._committed([change for _, change in drafted]), strict=True):
            turns[record.run_id] = self._applied(record, change, result) or self._alone(record)
        return [turns[run_id] for run_id in run_ids if run_id in turns]

    def _committed(self, changes: Sequence[MoveRun]) -> list[CommitResult]:
        """The answers to all of them, committed together. Raises StoreError when there is none to one of them."""
        committer = self._core.committer
        answers: list[Future[CommitResult]] = [Future() for _ in changes]
        for change, answer in zip(changes, answers, strict=True):
            committer.submit(change, answer.set_result, answer.set_exception)
        committer.flush(lambda: all(answer.done() for answer in answers))
        if committer.waiting:
            self._core.commit_soon()
        errors = [error for answer in answers if (error := answer.exception()) is not None]
        if errors:
            raise errors[0]
        return [answer.result() for answer in answers]

    def _applied(self, record: RunRecord, change: MoveRun, result: CommitResult) -> Turn | None:
        core = self._core
        if not result.applied:
            return None
        after = moved_record(record, change, change.payload, result)
        core.metrics.moved(record.workflow, record.state, after.state)
        core.committed(change.row, after)
        core.waiter.refresh(record.run_id)
        if change.row is not None:
            core.wake([change.row.topic])
        return Turn(record, "done")

    def _alone(self, record: RunRecord) -> Turn:
        """A step of the run is being executed, or somebody else was first: the verb for one run knows what to do."""
        try:
            after = self._repair.until_applied(record.run_id, self._draft(None))
        except Exception as error:
            return _outcome(record, error)
        return Turn(record, "waiting" if after.requested is not None else "done")

    def _draft(self, rows: Rows | None) -> Draft:
        repair, order = self._repair, self._order
        match order.verb:
            case BulkVerb.RETRY:
                return repair.retrying(order.reason, order.actor, handoff=False, rows=rows)
            case BulkVerb.MOVE:
                return repair.moving(order.to_status or "", order.reason, order.actor, force=order.force, handoff=False)
            case BulkVerb.PAUSE:
                return repair.stopping(RunState.PAUSED, order.reason, order.actor)
            case BulkVerb.RESUME:
                return repair.resuming(order.actor, order.reason, handoff=False)
            case BulkVerb.CANCEL:
                return repair.stopping(RunState.CANCELLED, order.reason, order.actor, force=order.force)
            case BulkVerb.DELETE:
                return repair.deleting(order.reason, order.actor)

    # -- whether it is meant --------------------------------------------------------------------------------------------------

    def _guard(self, record: RunRecord, rows: Rows | None = None) -> None:
        if record.run_id in self._doubtful and self._had_its_turn(record):
            raise _DoneBeforeError
        if rows is None:
            rows = self._rows([record.run_id]) if self._where.reads_rows else {}
        if not self._is_meant(record, rows):
            raise _NotMeantError

    def _is_meant(self, record: RunRecord, rows: Rows) -> bool:
        if record.state not in STATES[self._order.verb]:
            return False
        if self._order.verb is BulkVerb.PAUSE and record.state is RunState.PAUSED and not paused_by_errors(record):
            return False
        return self._where.holds(Subject(record, rows.get(record.run_id), self._order.at))

    def _rows(self, run_ids: Sequence[str]) -> Rows:
        return {row.run_id: row for row in self._core.store.rows(run_ids) if row.row_id == row.run_id}

    def _had_its_turn(self, record: RunRecord) -> bool:
        """Whether this operation has changed the run already, or left a request at it."""
        request, order = record.requested, self._order
        if request is not None and (request.reason, request.actor) == (order.reason, order.actor):
            return True
        return any(row.name == self._name for row in self._core.store.history(record.run_id))


_LOOK_AT_ROWS = (BulkVerb.RETRY, BulkVerb.MOVE)


class _NotMeantError(Exception):
    """The run is no longer meant."""


class _DoneBeforeError(Exception):
    """The run has had its turn, by a process whose progress was not stored."""


def _outcome(record: RunRecord, error: Exception) -> Turn:
    """The turn of a run that was left as it is. Raises what is not the run's own doing."""
    if isinstance(error, _NotMeantError | RunNotFoundError):
        return Turn(record, "passed")
    if isinstance(error, _DoneBeforeError):
        return Turn(record, "done")
    if isinstance(error, StoreError) or not isinstance(error, RunError | ConfigurationError | PayloadError):
        raise error
    why = str(error).removesuffix(error.remedy or "").replace(record.run_id, "RUN").strip()
    return Turn(record, "refused", why)
