"""PostgreSQL: what nearly every group consists of, plain starts and plain moves, in one statement and one round trip.

A start or a move is plain when it brings no items, no rows beside its step row, and asks for no look before the leap. Whatever
its statement leaves out (another version, a waiting request, timers, a taken foreign id) is decided by the long way of `wave`,
which looks first; so there is one place for the answers, and this one only says what was done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flowdsl.model.change import Change, CommitOutcome, CommitResult, MoveRun, StartRun
from flowdsl.model.pending import NOW, NewRow, RowKind
from flowdsl.model.run_state import RunState
from flowdsl_sql.database import LAST, MICROSECOND, Database, Row, Session, to_datetime
from flowdsl_sql.notes import CHANNEL, notes
from flowdsl_sql.postgresql_writer import PLACE, literals, plain_literals
from flowdsl_sql.rows import json_or_none
from flowdsl_sql.writer import PENDING_COLUMNS, Columns, names

APPLIED = CommitOutcome.APPLIED
INITIATED, PAUSED, CANCELLED = RunState.INITIATED, RunState.PAUSED, RunState.CANCELLED

ROW_COLUMNS = (
    ("topic", "text"),
    ("receiver", "text"),
    ("delay", "bigint"),
    ("row_priority", "integer"),
    ("owner", "text"),
)
"""Of the step row; a null topic: there is none."""
NO_ROW = (None, None, None, None, None)
MOVES = (
    ("run_id", "text"),
    ("version", "bigint"),
    ("from_status", "text"),
    ("from_state", "smallint"),
    ("status", "text"),
    ("state", "smallint"),
    ("new_visit", "smallint"),
    ("new_task", "smallint"),
    ("payload", "bytea"),
    ("content_type", "text"),
    ("schema_version", "integer"),
    ("change_id", "text"),
    ("stop_reason", "text"),
    ("stop_actor", "text"),
    ("error", "text"),
    ("auto_resumes", "integer"),
    ("cause", "text"),
    ("name", "text"),
    ("actor", "text"),
    ("reason", "text"),
    ("attempt", "integer"),
    *ROW_COLUMNS,
)
STARTS = (
    ("run_id", "text"),
    ("namespace", "text"),
    ("workflow", "text"),
    ("foreign_id", "text"),
    ("status", "text"),
    ("payload", "bytea"),
    ("content_type", "text"),
    ("schema_version", "integer"),
    ("change_id", "text"),
    ("metadata", "text"),
    ("tags", "text"),
    ("parent_run_id", "text"),
    ("priority", "integer"),
    ("cause", "text"),
    ("name", "text"),
    ("actor", "text"),
    ("reason", "text"),
    ("attempt", "integer"),
    *ROW_COLUMNS,
)
FINISHED = ", ".join(str(int(state)) for state in RunState if state.finished)
DUE = f"CASE WHEN d.delay IS NOT NULL THEN LEAST(GREATEST(d.now + d.delay, 0), {LAST}) END"
NEW_ROW = (
    f"INSERT INTO flowdsl_pending ({names(PENDING_COLUMNS)})"
    f" SELECT d.run_id, d.namespace, d.workflow, d.topic, {int(RowKind.STEP)}, d.receiver, d.run_id, d.version, d.visit,"
    f" {DUE}, NULL, d.now, d.row_priority, d.owner, CASE WHEN d.owner IS NULL THEN 0 ELSE 1 END, 0, 0, NULL, NULL, NULL"
    " FROM done d WHERE d.topic IS NOT NULL ON CONFLICT (row_id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name, _ in PENDING_COLUMNS[1:])
)


def _given(columns: Columns, clock: str, *, one: bool) -> str:
    """In: whether there is one row, a value for each column: a fifth of the statement's time less than with arrays of one."""
    if one:
        given = f"(VALUES ({', '.join(f'%s::{kind}' for _, kind in columns)}))"
    else:
        given = f"unnest({', '.join(f'%s::{kind}[]' for _, kind in columns)})"
    return f"SELECT v.*, {clock} AS now FROM {given} AS v({names(columns)})"


def _moves(given: str) -> str:
    # COALESCE: written plainly, the conditions invite the planner to walk the index of unfinished runs, or that of states, for
    # each given row.
    return f"""
WITH given AS MATERIALIZED ({given}),
done AS (
  UPDATE flowdsl_run r SET version = r.version + 1, status = g.status, state = g.state, visit = r.visit + g.new_visit,
    task = CASE WHEN g.new_task = 1 THEN r.version + 1 ELSE r.task END, payload = COALESCE(g.payload, r.payload),
    content_type = COALESCE(g.content_type, r.content_type), schema_version = COALESCE(g.schema_version, r.schema_version),
    updated = g.now, finished = CASE WHEN g.state IN ({FINISHED}) THEN g.now END, change_id = g.change_id,
    reason = g.stop_reason, actor = g.stop_actor, last_error = g.error, auto_resumes = g.auto_resumes
  FROM given g {PLACE.format(table="flowdsl_run", row="g")}
  WHERE r.ctid = f.place AND r.version = g.version AND r.status = g.from_status AND COALESCE(r.state, 0) = g.from_state
    AND COALESCE(r.finished, 0) = 0 AND r.requested_state IS NULL AND r.timers = 0
  RETURNING r.run_id, r.namespace, r.workflow, r.version, r.visit, g.from_status, g.from_state, g.status, g.state, g.change_id,
    g.error, g.cause, g.name, g.actor, g.reason, g.attempt, g.topic, g.receiver, g.delay, g.row_priority, g.owner, g.now
),
logged AS (
  INSERT INTO flowdsl_history (run_id, version, from_status, to_status, from_state, to_state, cause, name, actor, reason, error,
    attempt, change_id, at)
  SELECT run_id, version, from_status, status, from_state, state, cause, name, actor, reason, error, attempt, change_id, now
  FROM done
),
dropped AS (DELETE FROM flowdsl_pending WHERE row_id = ANY(ARRAY(SELECT run_id FROM done WHERE topic IS NULL))),
put AS ({NEW_ROW})
SELECT d.run_id, d.now{{note}} FROM done d"""


def _starts(given: str) -> str:
    return f"""
WITH given AS MATERIALIZED ({given}),
inserted AS (
  INSERT INTO flowdsl_run (run_id, namespace, workflow, foreign_id, status, state, version, visit, task, payload, content_type,
    schema_version, created, updated, change_id, auto_resumes, timers, metadata, tags, parent_run_id, priority)
  SELECT run_id, namespace, workflow, foreign_id, status, {int(INITIATED)}, 1, 1, 1, payload, content_type, schema_version, now,
    now, change_id, 0, 0, metadata, tags, parent_run_id, priority FROM given
  ON CONFLICT DO NOTHING RETURNING run_id
),
done AS MATERIALIZED (SELECT g.*, 1 AS version, 1 AS visit FROM given g JOIN inserted i ON i.run_id = g.run_id),
logged AS (
  INSERT INTO flowdsl_history (run_id, version, from_status, to_status, from_state, to_state, cause, name, actor, reason, attempt,
    change_id, at)
  SELECT run_id, 1, NULL, status, {int(RunState.UNKNOWN)}, {int(INITIATED)}, cause, name, actor, reason, attempt, change_id, now
  FROM done
),
put AS ({NEW_ROW})
SELECT d.run_id, d.now{{note}} FROM done d"""


Texts = dict[tuple[bool, bool], str]
"""The forms of a statement: is there one row, is anybody told."""


class PlainCommit:
    """Commits groups of plain changes to one PostgreSQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        injected = database.clock is not None
        clock = "%s::bigint" if injected else f"(SELECT {database.dialect.now})"
        self._injected = injected
        note = f", pg_notify({CHANNEL}, %s)"  # the server makes one of equal ones

        def texts(write: Callable[[str], str], columns: Columns) -> Texts:
            return {
                (one, told): write(_given(columns, clock, one=one)).format(note=note if told else "")
                for one in (False, True)
                for told in (False, True)
            }

        self.move_runs = texts(_moves, MOVES)
        self.start_runs = texts(_starts, STARTS)

    def commit(self, changes: Sequence[Change]) -> tuple[dict[str, CommitResult], set[tuple[str, str]]] | None:
        """What was applied, by change id, and what to wake: namespaces and topics. None: not plain, and nothing was tried.

        The run of a change that is not in the answer was left as it was, or an earlier try of it had committed.
        """
        moves: list[MoveRun] = []
        starts: list[StartRun] = []
        run_ids: set[str] = set()
        wakes: set[tuple[str, str]] = set()
        for change in changes:
            if isinstance(change, MoveRun):
                if change.unless_claimed or change.unless_moving:
                    return None
                if change.items or change.drop_items or change.settle or change.erase:
                    return None
                if any(row.only_in is None or row.only_in is change.to_state for row in change.side_rows):
                    return None  # without a request, which its statement leaves out, the others are not wanted
                moves.append(change)
            elif isinstance(change, StartRun):
                if change.items or change.side_rows:
                    return None
                starts.append(change)
            else:
                return None
            if not _is_step_row(change.row, change.run_id):
                return None
            run_ids.add(change.run_id)
            if change.row is not None and change.row.owner is None and change.row.delay is not None:
                wakes.add((change.namespace, change.row.topic))
        if len(run_ids) < len(changes):
            return None
        moves.sort(key=_run_id)
        starts.sort(key=_run_id)

        told = notes(self._database.name, wakes)
        if len(told) > 1:
            return None
        note = told[0] if told else None
        answers: dict[str, CommitResult] = {}
        if moves:
            by_run = {move.run_id: move for move in moves}
            for row in self._execute(self.move_runs, MOVES, [_move(move) for move in moves], note):
                move = by_run[row[0]]
                answers[move.change_id] = CommitResult(APPLIED, state=move.to_state, at=to_datetime(row[1]))
        if starts:
            started = {start.run_id: start.change_id for start in starts}
            for row in self._execute(self.start_runs, STARTS, [_start(start) for start in starts], note):
                answers[started[row[0]]] = CommitResult(APPLIED, state=INITIATED, at=to_datetime(row[1]))
        return answers, wakes

    def _execute(self, texts: Texts, columns: Columns, rows: Sequence[Row], note: str | None) -> Sequence[Row]:
        one = len(rows) == 1
        parameters: list[Any] = plain_literals(rows[0]) if one else literals(rows, columns)
        if note is not None:
            parameters.append(note)

        def work(session: Session) -> Sequence[Row]:
            now = [session.now()] if self._injected else []
            return session.commit_alone(texts[one, note is not None], now + parameters)

        return self._database.read(work)


def _is_step_row(row: NewRow | None, run_id: str) -> bool:
    return row is None or (row.kind is RowKind.STEP and row.row_id == run_id and row.payload is None and row.due_at is None)


def _move(move: MoveRun) -> tuple[Any, ...]:
    """In the order of MOVES."""
    origin, state, payload = move.origin, move.to_state, move.payload
    stopped = state is PAUSED or state is CANCELLED
    return (
        move.run_id,
        move.version,
        move.from_status,
        int(move.from_state),
        move.to_status,
        int(state),
        1 if move.new_visit else 0,
        1 if move.new_task else 0,
        None if payload is None else payload.data,
        None if payload is None else payload.content_type,
        None if payload is None else payload.schema_version,
        move.change_id,
        origin.reason if stopped else None,
        origin.actor if stopped else None,
        origin.error,
        move.auto_resumes,
        origin.cause.value,
        origin.name,
        origin.actor,
        origin.reason,
        origin.attempt,
        *(NO_ROW if move.row is None or state.stopped else _row(move.row)),
    )


def _start(start: StartRun) -> tuple[Any, ...]:
    """In the order of STARTS."""
    origin, payload = start.origin, start.payload
    return (
        start.run_id,
        start.namespace,
        start.workflow,
        start.foreign_id,
        start.status,
        None if payload is None else payload.data,
        None if payload is None else payload.content_type,
        None if payload is None else payload.schema_version,
        start.change_id,
        json_or_none(start.metadata),
        json_or_none(start.tags),
        start.parent_run_id,
        start.priority,
        origin.cause.value,
        origin.name,
        origin.actor,
        origin.reason,
        origin.attempt,
        *(NO_ROW if start.row is None else _row(start.row)),
    )


def _row(row: NewRow) -> tuple[Any, ...]:
    """In the order of ROW_COLUMNS."""
    delay = row.delay
    return (
        row.topic,
        row.receiver,
        0 if delay is NOW else None if delay is None else delay // MICROSECOND,
        row.priority,
        row.owner,
    )


def _run_id(change: MoveRun | StartRun) -> str:
    return change.run_id
