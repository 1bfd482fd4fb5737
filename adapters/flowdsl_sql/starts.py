"""Deciding what a StartRun does: the database's unique key decides about the foreign id, in the statement that inserts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowdsl.model.change import CommitOutcome, CommitResult, StartRun
from flowdsl.model.run_state import RunState
from flowdsl_sql import results
from flowdsl_sql.database import to_datetime
from flowdsl_sql.draft import TIMEOUT, Draft
from flowdsl_sql.rows import json_or_none
from flowdsl_sql.writer import Look

START_TRIES = 5
"""How often the unfinished run that was in the way may have ended by the time it is looked at."""
INITIATED, UNKNOWN = RunState.INITIATED, RunState.UNKNOWN


def decide_starts(
    draft: Draft, starts: Sequence[tuple[int, StartRun]], runs: Mapping[str, Look], answers: list[CommitResult]
) -> None:
    """Answer each start at its index; runs are inserted at once, the rest is drafted."""
    left: list[tuple[int, StartRun]] = []
    known: list[tuple[int, StartRun]] = []
    for index, start in starts:
        if start.run_id in runs:
            known.append((index, start))
            continue
        taken = draft.insert_items(start.namespace, start.change_id, start.items) if start.items else None
        if taken is None:
            left.append((index, start))
        else:
            answers[index] = results.key_taken(taken)
    if known:
        before = draft.writer.earlier([start.run_id for _, start in known], [start.change_id for _, start in known])
        for index, start in known:
            mine = before.get(start.change_id)
            answers[index] = results.bad_data("a run of this run_id exists") if mine is None else results.earlier(*mine)
    for _ in range(START_TRIES):
        if left:
            left = _insert(draft, left, answers)
    for _, start in left:  # answered LOST: the foreign id changes hands faster than can be seen
        draft.take_items_back(start.namespace, start.items)


def _insert(draft: Draft, starts: Sequence[tuple[int, StartRun]], answers: list[CommitResult]) -> list[tuple[int, StartRun]]:
    """Insert runs; those that met an unfinished run which then ended are to be tried again."""
    writer = draft.writer
    at = to_datetime(draft.now)
    inserted = writer.insert_runs([_row(start, draft.now) for _, start in sorted(starts, key=_run_id)])
    again: list[tuple[int, StartRun]] = []
    for index, start in starts:
        if start.run_id in inserted:
            _started(draft, start)
            answers[index] = CommitResult(CommitOutcome.APPLIED, state=INITIATED, at=at)
            continue
        other = writer.unfinished(start.namespace, start.workflow, start.foreign_id)
        if other is None:
            again.append((index, start))
            continue
        draft.take_items_back(start.namespace, start.items)
        answers[index] = results.in_progress(other)
    return again


def _row(start: StartRun, now: int) -> tuple[Any, ...]:
    """In the order of `writer.RUN_COLUMNS`."""
    payload = start.payload
    return (
        start.run_id,
        start.namespace,
        start.workflow,
        start.foreign_id,
        start.status,
        int(INITIATED),
        1,
        1,
        1,
        None if payload is None else payload.data,
        None if payload is None else payload.content_type,
        None if payload is None else payload.schema_version,
        now,
        now,
        None,
        start.change_id,
        0,
        1 if any(row.kind is TIMEOUT for row in start.side_rows) else 0,
        json_or_none(start.metadata),
        json_or_none(start.tags),
        start.parent_run_id,
        start.priority,
    )


def _started(draft: Draft, start: StartRun) -> None:
    origin = start.origin
    if start.items:
        draft.finish_items(start.namespace, start.change_id, start.items, ())
    if start.row is not None:
        draft.add_row(start.row, start.namespace, start.workflow, start.run_id, 1, 1)
    for row in start.side_rows:
        draft.add_row(row, start.namespace, start.workflow, start.run_id, 1, 1)
    draft.log(
        start.run_id,
        1,
        (None, int(UNKNOWN)),
        (start.status, int(INITIATED)),
        origin,
        start.change_id,
        reason=origin.reason,
        actor=origin.actor,
    )


def _run_id(entry: tuple[int, StartRun]) -> str:
    return entry[1].run_id
