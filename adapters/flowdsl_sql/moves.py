"""Deciding what a MoveRun does, with the run's row locked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from flowdsl.model.change import CommitOutcome, CommitResult, MoveRun
from flowdsl.model.run_state import RunState, may_move
from flowdsl_sql import results
from flowdsl_sql.beside import TIMEOUTS
from flowdsl_sql.database import to_datetime
from flowdsl_sql.draft import TIMEOUT, Draft
from flowdsl_sql.rows import STATES
from flowdsl_sql.writer import Look, RowLook

PAUSED, RUNNING, CANCELLED = RunState.PAUSED, RunState.RUNNING, RunState.CANCELLED
APPLIED = CommitOutcome.APPLIED


def decide_moves(
    draft: Draft,
    moves: Sequence[tuple[int, MoveRun]],
    runs: Mapping[str, Look],
    rows: Mapping[str, RowLook],
    busy: Collection[str],
    answers: list[CommitResult],
) -> None:
    """Answer each move at its index and draft what it writes. In: which runs of those that are not to be moved then have a step,
    timeout or kept callback in somebody's hands."""
    late: list[tuple[int, MoveRun]] = []
    at = to_datetime(draft.now)
    for index, move in moves:
        run = runs.get(move.run_id)
        if run is None:
            answers[index] = results.NOT_FOUND
        elif run.version != move.version:
            late.append((index, move))
        elif run.finished is not None and not may_move(STATES[run.state], move.to_state):
            answers[index] = results.FINISHED
        elif (move.unless_moving and move.run_id in busy) or (move.unless_claimed and _held(rows.get(move.run_id))):
            answers[index] = results.CLAIMED
        else:
            taken = draft.insert_items(move.namespace, move.change_id, move.items) if move.items else None
            if taken is not None:
                answers[index] = results.key_taken(taken)
                continue
            if move.items or move.drop_items:
                draft.finish_items(move.namespace, move.change_id, move.items, move.drop_items)
            answers[index] = CommitResult(APPLIED, state=_move(draft, move, run), at=at)
    if late:
        known = draft.writer.earlier([move.run_id for _, move in late], [move.change_id for _, move in late])
        for index, move in late:
            mine = known.get(move.change_id)
            if mine is not None:
                answers[index] = results.earlier(*mine)
            elif runs[move.run_id].finished is not None:
                answers[index] = results.FINISHED
            else:
                answers[index] = results.LOST


def _held(row: RowLook | None) -> bool:
    return row is not None and row.owner is not None


def _move(draft: Draft, move: MoveRun, run: Look) -> RunState:
    """Draft the move; the state that the run gets."""
    now, origin, run_id = draft.now, move.origin, move.run_id
    state, reason, actor = move.to_state, origin.reason, origin.actor
    if run.requested_state is not None and move.honour_request and (state is RUNNING or state is PAUSED):
        state, reason, actor = STATES[run.requested_state], run.requested_reason, run.requested_actor or ""
    finished = None
    if state.finished:
        finished = now if run.finished is None else run.finished
    visit = run.visit + 1 if move.new_visit else run.visit
    version = move.version + 1
    timers = draft.beside.turn(move, run, state) if run.timers or move.erase else 0
    if move.row is not None and not state.stopped:
        draft.add_row(move.row, move.namespace, move.workflow, run_id, version, visit)
    else:
        draft.drops.append(run_id)
    if move.settle is not None:
        draft.drops.append(move.settle)
    for row in move.side_rows:
        if row.only_in is not None and row.only_in is not state:
            continue
        if row.kind is TIMEOUT:
            if state.finished:
                continue
            timers |= TIMEOUTS
        draft.add_row(row, move.namespace, move.workflow, run_id, version, visit, suspended=state is PAUSED)
    stopped = state is PAUSED or state is CANCELLED
    payload = move.payload
    draft.moves.append(
        (
            move.to_status,
            int(state),
            visit,
            version if move.new_task else None,
            None if payload is None else payload.data,
            None if payload is None else payload.content_type,
            None if payload is None else payload.schema_version,
            now,
            finished,
            move.change_id,
            reason if stopped else None,
            actor if stopped else None,
            origin.error,
            move.auto_resumes,
            timers,
            run_id,
            move.version,
        )
    )
    draft.log(
        run_id, version, (run.status, run.state), (move.to_status, int(state)), origin, move.change_id, reason=reason, actor=actor
    )
    return state
