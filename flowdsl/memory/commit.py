"""How the memory store applies changes."""

from __future__ import annotations

import bisect
from datetime import datetime
from types import MappingProxyType

from msgspec.structs import replace

from flowdsl.memory.tables import Row, Tables
from flowdsl.model.change import (
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
from flowdsl.model.item import Item, ItemKey, NewItem
from flowdsl.model.limits import unfit
from flowdsl.model.pending import NewRow, RowKind
from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState, may_move

LOST = CommitResult(CommitOutcome.LOST)
APPLIED = CommitResult(CommitOutcome.APPLIED)
STOPPING = (RunState.PAUSED, RunState.CANCELLED)
UNDER_WAY = (RunState.INITIATED, RunState.RUNNING)


class Commit:
    """One call of `commit`: all its changes happen at one moment, under the store's lock."""

    def __init__(self, tables: Tables, now: datetime, woken: set[tuple[str, str]]) -> None:
        self._t = tables
        self._now = now
        self._woken = woken
        """(namespace, topic) of rows that anybody may claim now."""

    def apply(self, change: Change) -> CommitResult:
        problem = unfit(change)
        if problem is not None:
            return CommitResult(CommitOutcome.REFUSED, Refusal.BAD_DATA, detail=problem)
        match change:
            case MoveRun():
                return self.move(change)
            case StartRun():
                return self.start(change)
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
                return self.put(change)

    # -- runs -----------------------------------------------------------------------------------------------------------------

    def start(self, change: StartRun) -> CommitResult:
        t, now = self._t, self._now
        mine = t.runs.get(change.run_id)
        if mine is not None:
            if t.history[change.run_id][0].change_id == change.change_id:
                return CommitResult(CommitOutcome.ALREADY_APPLIED, state=RunState.INITIATED, at=mine.created_at)
            return CommitResult(CommitOutcome.REFUSED, Refusal.BAD_DATA, detail="a run of this run_id exists")
        taken = self._taken(change.namespace, change.items)
        if taken is not None:
            return taken
        key = (change.namespace, change.workflow, change.foreign_id)
        if key in t.active:
            return CommitResult(CommitOutcome.REFUSED, Refusal.IN_PROGRESS, run_id=t.active[key])
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
        self._put_items(change.namespace, change.items)
        self._set_step_row(record, change.row)
        for row in change.side_rows:
            self._add_side_row(record, row)
        return CommitResult(CommitOutcome.APPLIED, state=RunState.INITIATED, at=now)

    def move(self, change: MoveRun) -> CommitResult:
        t, now = self._t, self._now
        record = t.runs.get(change.run_id)
        if record is None:
            return CommitResult(CommitOutcome.REFUSED, Refusal.NOT_FOUND)
        if record.version != change.version:
            return self._already(change, record)
        if record.state.finished and not may_move(record.state, change.to_state):
            return CommitResult(CommitOutcome.REFUSED, Refusal.FINISHED)
        step_row = t.rows.get(change.run_id)
        if change.unless_claimed and step_row is not None and step_row.owner is not None:
            return CommitResult(CommitOutcome.REFUSED, Refusal.CLAIMED)
        taken = self._taken(change.namespace, change.items)
        if taken is not None:
            return taken
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
        self._log(change, after, record.status, record.state, reason, actor)
        for key in change.drop_items:
            t.items[change.namespace, key.kind].pop(key.key, None)
        self._put_items(change.namespace, change.items)
        if change.settle is not None and change.settle in t.rows:
            t.remove(t.rows[change.settle])
        self._turn_timeouts(change, record, after)
        self._set_step_row(after, None if state.stopped else change.row)
        for row in change.side_rows:
            if not (state.finished and row.kind is RowKind.TIMEOUT):
                self._add_side_row(after, row)
        return CommitResult(CommitOutcome.APPLIED, state=state, at=now)

    def _already(self, change: MoveRun, record: RunRecord) -> CommitResult:
        """The version is not the expected one: was that us?"""
        history = self._t.history[change.run_id]
        if change.version < len(history):
            row = history[change.version]
            if row.change_id == change.change_id:
                return CommitResult(CommitOutcome.ALREADY_APPLIED, state=row.to_state, at=row.at)
        return CommitResult(CommitOutcome.REFUSED, Refusal.FINISHED) if record.state.finished else LOST

    def _turn_timeouts(self, change: MoveRun, before: RunRecord, after: RunRecord) -> None:
        t = self._t
        if change.run_id not in t.side:
            return
        for row in t.side_rows(change.run_id, RowKind.TIMEOUT):
            if change.new_visit or after.state.finished:
                t.remove(row)
            elif after.state is RunState.PAUSED and row.suspended is None and row.due_at is not None:
                row.suspended = row.due_at - self._now
                row.due_at = None
                t.disown(row)
                t.enqueue(row)
            elif before.state is RunState.PAUSED and row.suspended is not None:
                row.due_at = self._now + row.suspended
                row.suspended = None
                self._release(row)

    def request(self, change: RequestControl) -> CommitResult:
        t = self._t
        record = t.runs.get(change.run_id)
        if record is None:
            return CommitResult(CommitOutcome.REFUSED, Refusal.NOT_FOUND)
        if record.state.finished:
            return CommitResult(CommitOutcome.REFUSED, Refusal.FINISHED)
        row = t.rows.get(change.run_id)
        if row is None or row.owner is None:
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

    def _set_step_row(self, record: RunRecord, new: NewRow | None) -> None:
        t = self._t
        row = t.rows.get(record.run_id)
        if new is None:
            if row is not None:
                t.remove(row)
            if record.state in UNDER_WAY:
                t.bare[record.namespace, record.workflow, record.status].add(record.run_id)
            return
        if row is None:
            row = Row(record.namespace, record.workflow, new.row_id, record.run_id, new.kind, new.receiver)
            t.rows[new.row_id] = row
        else:
            t.disown(row)
            row.ticket = -1
        self._fill(row, record, new)

    def _add_side_row(self, record: RunRecord, new: NewRow) -> None:
        t = self._t
        old = t.rows.get(new.row_id)
        if old is not None:
            t.remove(old)
        row = Row(record.namespace, record.workflow, new.row_id, record.run_id, new.kind, new.receiver)
        t.rows[new.row_id] = row
        t.side.setdefault(record.run_id, set()).add(new.row_id)
        self._fill(row, record, new)
        if new.kind is RowKind.TIMEOUT and record.state is RunState.PAUSED and row.due_at is not None:
            row.suspended = row.due_at - self._now
            row.due_at = None
            row.ticket = -1

    def _fill(self, row: Row, record: RunRecord, new: NewRow) -> None:
        now = self._now
        row.topic = new.topic
        row.version = record.version
        row.visit = record.visit
        row.due_at = None if new.delay is None else now + new.delay if new.delay else now
        row.created_at = now
        row.priority = new.priority
        row.payload = new.payload
        row.delivery = row.attempts = row.lapses = 0
        row.last_error = None
        row.suspended = None
        if new.owner is not None:
            self._t.own(row, new.owner)
        else:
            self._release(row)

    def _release(self, row: Row) -> None:
        """Anybody may claim the row once it is due."""
        self._t.enqueue(row)
        if row.due_at is not None:
            self._woken.add((row.namespace, row.topic))

    def _claimed(self, change: FailRow | ReleaseRow | ParkRow | DropRow) -> Row | None:
        row = self._t.rows.get(change.row_id)
        if row is None or row.owner != change.owner or row.delivery != change.delivery:
            return None
        return row

    def _given_back(self, row: Row) -> CommitResult:
        record = self._t.runs.get(row.run_id)
        request = record.requested if record is not None else None
        return APPLIED if request is None else CommitResult(CommitOutcome.APPLIED, requested=request)

    def fail(self, change: FailRow) -> CommitResult:
        row = self._claimed(change)
        if row is None:
            return LOST
        result = self._given_back(row)
        self._t.disown(row)
        row.attempts += 1
        row.last_error = change.error
        row.due_at = self._now if result.requested is not None else self._now + change.delay
        self._release(row)
        return result

    def release(self, change: ReleaseRow) -> CommitResult:
        row = self._claimed(change)
        if row is None:
            return LOST
        self._t.disown(row)
        row.delivery = max(0, row.delivery - 1)
        self._release(row)
        return self._given_back(row)

    def park(self, change: ParkRow) -> CommitResult:
        row = self._claimed(change)
        if row is None:
            return LOST
        self._t.disown(row)
        row.due_at = None
        row.ticket = -1
        return self._given_back(row)

    def drop(self, change: DropRow) -> CommitResult:
        t, row = self._t, self._claimed(change)
        if row is None:
            return LOST
        t.remove(row)
        record = t.runs.get(row.run_id)
        if row.kind is RowKind.STEP and record is not None and record.state in UNDER_WAY:
            t.bare[record.namespace, record.workflow, record.status].add(record.run_id)
        return APPLIED

    # -- items ----------------------------------------------------------------------------------------------------------------

    def put(self, change: PutItems) -> CommitResult:
        taken = self._taken(change.namespace, change.items, change.drop)
        if taken is not None:
            return taken
        for key in change.drop:
            self._t.items[change.namespace, key.kind].pop(key.key, None)
        self._put_items(change.namespace, change.items)
        return APPLIED

    def _taken(self, namespace: str, items: tuple[NewItem, ...], dropped: tuple[ItemKey, ...] = ()) -> CommitResult | None:
        for item in items:
            existing = self._t.items[namespace, item.kind].get(item.key)
            if existing is not None and not item.replace and ItemKey(item.kind, item.key) not in dropped:
                return CommitResult(CommitOutcome.REFUSED, Refusal.KEY_TAKEN, detail=item.key, item=existing.body)
        return None

    def _put_items(self, namespace: str, items: tuple[NewItem, ...]) -> None:
        for item in items:
            due = None if item.delay is None else self._now + item.delay
            self._t.put_item(
                Item(namespace=namespace, kind=str(item.kind), key=item.key, body=item.body, due_at=due, created_at=self._now)
            )
