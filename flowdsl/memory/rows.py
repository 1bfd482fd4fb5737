"""The rows of runs in the memory store: how they come, wait and go with their run."""

from __future__ import annotations

from datetime import datetime, timedelta

from flowdsl.memory.tables import Row, Tables
from flowdsl.model.pending import NewRow, RowKind
from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState

UNDER_WAY = (RunState.INITIATED, RunState.RUNNING)
SUSPENDED_BY_PAUSE = (RowKind.TIMEOUT, RowKind.CALLBACK)
ZERO = timedelta(0)


class Rows:
    """In: the tables, the moment of the commit, and where to note (namespace, topic) of rows that anybody may claim now."""

    def __init__(self, tables: Tables, now: datetime, woken: set[tuple[str, str]]) -> None:
        self._t = tables
        self._now = now
        self._woken = woken

    def set_step_row(self, record: RunRecord, new: NewRow | None) -> None:
        """The run's step row is this one from now on; None: it has none."""
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

    def add_beside(self, record: RunRecord, new: NewRow) -> None:
        """A row beside the step row, in place of one of the same id."""
        t = self._t
        old = t.rows.get(new.row_id)
        if old is not None:
            t.remove(old)
        row = Row(record.namespace, record.workflow, new.row_id, record.run_id, new.kind, new.receiver)
        t.rows[new.row_id] = row
        t.side.setdefault(record.run_id, set()).add(new.row_id)
        self._fill(row, record, new)
        if new.kind in SUSPENDED_BY_PAUSE and record.state is RunState.PAUSED and row.due_at is not None:
            self._suspend(row)

    def _fill(self, row: Row, record: RunRecord, new: NewRow) -> None:
        now = self._now
        row.topic = new.topic
        row.version = record.version
        row.visit = record.visit
        row.due_at = new.due_at or (None if new.delay is None else now + new.delay if new.delay else now)
        row.created_at = now
        row.priority = new.priority
        row.payload = new.payload
        row.delivery = row.attempts = row.lapses = 0
        row.last_error = row.mark = None
        row.suspended = None
        if new.owner is not None:
            self._t.own(row, new.owner)
        else:
            self.release(row)

    def stepping(self, run_id: str) -> bool:
        """Whether an owner holds the run's step row."""
        row = self._t.rows.get(run_id)
        return row is not None and row.owner is not None

    def moving(self, run_id: str) -> bool:
        """Whether an owner holds any row whose function may move the run."""
        beside = (row for kind in SUSPENDED_BY_PAUSE for row in self._t.side_rows(run_id, kind))
        return self.stepping(run_id) or any(row.owner is not None for row in beside)

    def release(self, row: Row) -> None:
        """Anybody may claim the row once it is due."""
        self._t.enqueue(row)
        if row.due_at is not None:
            self._woken.add((row.namespace, row.topic))

    def turn(self, new_visit: bool, before: RunRecord, after: RunRecord) -> None:
        """Timeouts and kept callbacks follow their run: an arrival, a pause, a resume, the end."""
        t = self._t
        if after.run_id not in t.side:
            return
        for row in t.side_rows(after.run_id, RowKind.TIMEOUT):
            if new_visit or after.state.finished:
                t.remove(row)
        for row in t.side_rows(after.run_id, RowKind.CALLBACK):
            if after.state.finished:
                if not before.state.finished:
                    self._wait_until(row, self._now)
            elif new_visit:
                self._wait_until(row, self._now if row.receiver == after.status else None)
        for row in (*t.side_rows(after.run_id, RowKind.TIMEOUT), *t.side_rows(after.run_id, RowKind.CALLBACK)):
            if after.state is RunState.PAUSED and row.suspended is None and row.due_at is not None:
                self._suspend(row)
            elif before.state is RunState.PAUSED and after.state is not RunState.PAUSED and row.suspended is not None:
                self._wait_until(row, self._now + row.suspended)

    def _wait_until(self, row: Row, due: datetime | None) -> None:
        """Nobody's any more, with a clean slate."""
        self._t.disown(row)
        row.due_at, row.suspended = due, None
        row.attempts = row.lapses = 0
        self.release(row)

    def _suspend(self, row: Row) -> None:
        if row.due_at is not None:
            row.suspended = max(row.due_at - self._now, ZERO)
        self._t.disown(row)
        row.due_at = None
        row.ticket = -1
