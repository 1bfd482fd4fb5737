"""How the memory store applies changes."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from datetime import datetime
from types import MappingProxyType

from msgspec.structs import replace

from flowdsl.memory.clashes import clashes
from flowdsl.memory.items import Items
from flowdsl.memory.rows import UNDER_WAY, Rows
from flowdsl.memory.tables import Row, Tables
from flowdsl.model.change import (
    AddRow,
    Change,
    CommitOutcome,
    CommitResult,
    DropRow,
    FailRow,
    MoveRun,
    ParkRow,
    PutItems,
    Refusal,
    ReleaseRow,
    RequestControl,
    StartRun,
)
from flowdsl.model.history import HistoryRow
from flowdsl.model.limits import unfit
from flowdsl.model.pending import MOVERS, RowKind
from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState, may_move

LOST = CommitResult(CommitOutcome.LOST)
APPLIED = CommitResult(CommitOutcome.APPLIED)
STOPPING = (RunState.PAUSED, RunState.CANCELLED)


class Commit:
    """One call of `commit`: all its changes happen at one moment, under the store's lock."""

    def __init__(self, tables: Tables, now: datetime, woken: set[tuple[str, str]]) -> None:
        self._t = tables
        self._now = now
        self._rows = Rows(tables, now, woken)
        self._items = Items(tables, now)

    def apply(self, change: Change) -> CommitResult:
        problem = unfit(change)
        if problem is not None:
            return CommitResult(CommitOutcome.REFUSED, Refusal.BAD_DATA, detail=problem)
        match change:
            case MoveRun():
                return self.move(change)
            case StartRun():
                return self.start(change)
            case AddRow():
                return self.add(change)
            case FailRow():
                return self.fail(change)
            case ReleaseRow():
                return self.release(change)
            case ParkRow():
                return self.park(change)
            case DropRow():
                return self.drop(change)
            case RequestControl():
                return self.request(change)
            case PutItems():
                return self._items.put(change)

    def together(self, changes: Sequence[Change]) -> list[CommitResult]:
        """All of these or none."""
        answers = [self._answer(change) for change in changes]
        for place, clash in clashes(changes).items():
            answers[place] = answers[place] or clash
        if all(answer is None for answer in answers):
            return [self.apply(change) for change in changes]
        if all(answer is not None and answer.outcome is CommitOutcome.ALREADY_APPLIED for answer in answers):
            return [answer for answer in answers if answer is not None]
        return [LOST if answer is None else answer for answer in answers]

    def _answer(self, change: Change) -> CommitResult | None:
        """Why the change cannot be applied; None: it can."""
        problem = unfit(change)
        if problem is not None:
            return CommitResult(CommitOutcome.REFUSED, Refusal.BAD_DATA, detail=problem)
        if isinstance(change, StartRun):
            return self._no_start(change)
        return self._no_move(change) if isinstance(change, MoveRun) else None

    # -- runs -----------------------------------------------------------------------------------------------------------------

    def _no_start(self, change: StartRun) -> CommitResult | None:
        t = self._t
        mine = t.runs.get(change.run_id)
        if mine is not None:
            if t.history[change.run_id][0].change_id == change.change_id:
                return CommitResult(CommitOutcome.ALREADY_APPLIED, state=RunState.INITIATED, at=mine.created_at)
            return CommitResult(CommitOutcome.REFUSED, Refusal.BAD_DATA, detail="a run of this run_id exists")
        if (taken := self._items.taken(change.namespace, change.items)) is not None:
            return taken
        key = (change.namespace, change.workflow, change.foreign_id)
        if key in t.active:
            return CommitResult(CommitOutcome.REFUSED, Refusal.IN_PROGRESS, run_id=t.active[key])
        return None

    def start(self, change: StartRun) -> CommitResult:
        refusal = self._no_start(change)
        if refusal is not None:
            return refusal
        t, now = self._t, self._now
        key = (change.namespace, change.workflow, change.foreign_id)
        record = RunRecord(
            namespace=change.namespace,
            workflow=change.workflow,
            run_id=change.run_id,
            foreign_id=change.foreign_id,
            status=change.status,
            state=RunState.INITIATED,
            version=1,
            payload=change.payload,
            created_at=now,
            updated_at=now,
            change_id=change.change_id,
            metadata=MappingProxyType(dict(change.metadata)),
            tags=change.tags,
            parent_run_id=change.parent_run_id,
            priority=change.priority,
        )
        t.runs[change.run_id] = record
        t.active[key] = t.last[key] = change.run_id
        listing, entry = t.listing[change.namespace], (now, change.run_id)
        if listing and entry < listing[-1]:
            bisect.insort(listing, entry)
        else:
            listing.append(entry)
        t.history[change.run_id] = []
        self._log(change, record, None, RunState.UNKNOWN, record.reason)
        self._items.add(change)
        self._rows.set_step_row(record, change.row)
        for row in change.side_rows:
            self._rows.add_beside(record, row)
        return CommitResult(CommitOutcome.APPLIED, state=RunState.INITIATED, at=now)

    def _no_move(self, change: MoveRun) -> CommitResult | None:
        t = self._t
        record = t.runs.get(change.run_id)
        if record is None:
            return CommitResult(CommitOutcome.REFUSED, Refusal.NOT_FOUND)
        if record.version != change.version:
            return self._already(change, record)
        if record.state.finished and not may_move(record.state, change.to_state):
            return CommitResult(CommitOutcome.REFUSED, Refusal.FINISHED)
        rows, run_id = self._rows, change.run_id
        if (change.unless_claimed and rows.stepping(run_id)) or (change.unless_moving and rows.moving(run_id)):
            return CommitResult(CommitOutcome.REFUSED, Refusal.CLAIMED)
        return self._items.taken(change.namespace, change.items)

    def move(self, change: MoveRun) -> CommitResult:
        refusal = self._no_move(change)
        if refusal is not None:
            return refusal
        t, now = self._t, self._now
        record = t.runs[change.run_id]
        state, reason, actor = change.to_state, change.origin.reason, change.origin.actor
        request = record.requested
        if request is not None and change.honour_request and state in (RunState.RUNNING, RunState.PAUSED):
            state, reason, actor = request.state, request.reason, request.actor
        stopping = state in STOPPING
        after = replace(
            record,
            status=change.to_status,
            state=state,
            version=record.version + 1,
            visit=record.visit + 1 if change.new_visit else record.visit,
            task_version=record.version + 1 if change.new_task else record.task_version,
            payload=change.payload if change.payload is not None else record.payload,
            updated_at=now,
            change_id=change.change_id,
            reason=reason if stopping else None,
            actor=actor if stopping else None,
            last_error=change.origin.error,
            auto_resumes=change.auto_resumes,
            requested=None,
        )
        t.runs[change.run_id] = after
        if record.state in UNDER_WAY:
            t.bare[record.namespace, record.workflow, record.status].discard(record.run_id)
        if state.finished and not record.state.finished:
            del t.active[record.namespace, record.workflow, record.foreign_id]
            t.ended[record.namespace, record.workflow][record.run_id] = now
        self._log(change, after, record.status, record.state, reason, actor)
        if change.erase:  # what this very change says is in the history by now
            after = self._erase(change, after)
        for key in change.drop_items:
            t.drop_item(change.namespace, key.kind, key.key)
        self._items.add(change)
        if change.settle is not None and change.settle in t.rows:
            t.remove(t.rows[change.settle])
        self._rows.turn(change.new_visit, record, after)
        self._rows.set_step_row(after, None if state.stopped else change.row)
        for row in change.side_rows:
            if row.only_in not in (None, state) or (state.finished and row.kind is RowKind.TIMEOUT):
                continue
            self._rows.add_beside(after, row)
        return CommitResult(CommitOutcome.APPLIED, state=state, at=now)

    def _erase(self, change: MoveRun, after: RunRecord) -> RunRecord:
        """What the run, its history and its rows say of its data is gone."""
        t = self._t
        erased = t.runs[after.run_id] = replace(after, payload=change.payload, last_error=None, reason=None)
        t.history[after.run_id] = [replace(row, reason=None, error=None) for row in t.history[after.run_id]]
        for row_id in list(t.side.get(after.run_id, ())):
            row = t.rows[row_id]
            row.payload = row.last_error = None
            if row.kind is RowKind.CALLBACK:
                t.remove(row)
        return erased

    def _already(self, change: MoveRun, record: RunRecord) -> CommitResult:
        """The version is not the expected one: was that us?"""
        history = self._t.history[change.run_id]
        if change.version < len(history):
            row = history[change.version]
            if row.change_id == change.change_id:
                return CommitResult(CommitOutcome.ALREADY_APPLIED, state=row.to_state, at=row.at)
        return CommitResult(CommitOutcome.REFUSED, Refusal.FINISHED) if record.state.finished else LOST

    def add(self, change: AddRow) -> CommitResult:
        t = self._t
        record = t.runs.get(change.run_id)
        if record is None:
            return CommitResult(CommitOutcome.REFUSED, Refusal.NOT_FOUND)
        row_id = change.row.row_id
        if row_id in t.side.get(change.run_id, ()):
            return CommitResult(CommitOutcome.ALREADY_APPLIED)
        if record.state.finished:
            return CommitResult(CommitOutcome.REFUSED, Refusal.FINISHED)
        if record.version != change.version:
            return LOST
        former = t.rows.get(change.instead_of) if change.instead_of is not None else None
        if change.instead_of is not None and (former is None or former.run_id != change.run_id or former.owner is not None):
            return LOST
        if (taken := self._items.taken(change.namespace, change.items)) is not None:
            return taken
        self._items.add(change)
        if former is not None:
            t.remove(former)
        self._rows.add_beside(record, change.row)
        return APPLIED

    def request(self, change: RequestControl) -> CommitResult:
        t = self._t
        record = t.runs.get(change.run_id)
        if record is None:
            return CommitResult(CommitOutcome.REFUSED, Refusal.NOT_FOUND)
        if record.state.finished:
            return CommitResult(CommitOutcome.REFUSED, Refusal.FINISHED)
        if not self._rows.moving(change.run_id):
            return CommitResult(CommitOutcome.REFUSED, Refusal.NOT_CLAIMED)
        waiting = record.requested
        if waiting is None or waiting.state is RunState.PAUSED or change.request.state is RunState.CANCELLED:
            t.runs[change.run_id] = replace(record, requested=change.request)
        return APPLIED

    def _log(
        self,
        change: StartRun | MoveRun,
        after: RunRecord,
        from_status: str | None,
        from_state: RunState,
        reason: str | None,
        actor: str | None = None,
    ) -> None:
        origin = change.origin
        self._t.history[after.run_id].append(
            HistoryRow(
                run_id=after.run_id,
                version=after.version,
                from_status=from_status,
                to_status=after.status,
                from_state=from_state,
                to_state=after.state,
                cause=origin.cause,
                name=origin.name,
                actor=actor if actor is not None else origin.actor,
                reason=reason,
                error=origin.error,
                attempt=origin.attempt,
                change_id=change.change_id,
                at=self._now,
            )
        )

    # -- rows -----------------------------------------------------------------------------------------------------------------

    def _claimed(self, change: FailRow | ReleaseRow | ParkRow | DropRow) -> Row | None:
        row = self._t.rows.get(change.row_id)
        if row is None or row.owner != change.owner or row.delivery != change.delivery:
            return None
        if change.version is not None and row.version != change.version:
            return None
        return row

    def _lost(self, change: FailRow | ReleaseRow | ParkRow | DropRow) -> CommitResult:
        """The claim does not stand any more: was that us?"""
        row = self._t.rows.get(change.row_id)
        if row is None or row.mark != change.change_id:
            return LOST
        return self._given_back(row, CommitOutcome.ALREADY_APPLIED)

    def _given_back(self, row: Row, outcome: CommitOutcome = CommitOutcome.APPLIED) -> CommitResult:
        record = self._t.runs.get(row.run_id)
        return CommitResult(outcome, requested=record.requested if record is not None else None)

    def _requested(self, change: ParkRow | DropRow, row: Row) -> CommitResult | None:
        record = self._t.runs.get(row.run_id)
        if not change.unless_requested or record is None or record.requested is None:
            return None
        return CommitResult(CommitOutcome.REFUSED, Refusal.REQUESTED, requested=record.requested)

    def _give_up(self, row: Row, change: FailRow | ReleaseRow | ParkRow) -> None:
        self._t.disown(row)
        row.mark = change.change_id

    def fail(self, change: FailRow) -> CommitResult:
        row = self._claimed(change)
        if row is None:
            return self._lost(change)
        result = self._given_back(row)
        self._give_up(row, change)
        row.attempts += 1
        record = self._t.runs.get(row.run_id)
        erased = record is not None and record.state is RunState.DATA_DELETED
        row.last_error = None if erased else change.error
        hastened = result.requested is not None and row.kind in MOVERS
        row.due_at = self._now if hastened else self._now + change.delay
        self._rows.release(row)
        if record is not None:
            for new in change.side_rows:
                self._rows.add_beside(record, replace(new, payload=None) if erased else new)
        return result

    def release(self, change: ReleaseRow) -> CommitResult:
        row = self._claimed(change)
        if row is None:
            return self._lost(change)
        self._give_up(row, change)
        if change.delay is not None:
            row.due_at = self._now + change.delay
        self._rows.release(row)
        return self._given_back(row)

    def park(self, change: ParkRow) -> CommitResult:
        row = self._claimed(change)
        if row is None:
            return self._lost(change)
        if (requested := self._requested(change, row)) is not None:
            return requested
        self._give_up(row, change)
        row.due_at = None
        row.ticket = -1
        return self._given_back(row)

    def drop(self, change: DropRow) -> CommitResult:
        t, row = self._t, self._claimed(change)
        if row is None:
            return LOST
        if (requested := self._requested(change, row)) is not None:
            return requested
        t.remove(row)
        record = t.runs.get(row.run_id)
        if row.kind is RowKind.STEP and record is not None and record.state in UNDER_WAY:
            t.bare[record.namespace, record.workflow, record.status].add(record.run_id)
        return self._given_back(row)
