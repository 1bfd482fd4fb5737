"""A wave: changes of one transaction that have nothing in common. Lock the runs, look, decide each by its own condition, write.

The locks are taken in the order of the run ids and before any row's, so two groups wait for each other but do not deadlock. What
was decided under the locks is what the writes find; they compare the version all the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

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
from flowdsl.model.pending import MOVERS, NewRow
from flowdsl.model.run_state import RunState
from flowdsl_sql import results
from flowdsl_sql.beside import BIT_OF, in_hand
from flowdsl_sql.database import after
from flowdsl_sql.draft import Draft
from flowdsl_sql.moves import decide_moves
from flowdsl_sql.rows import control_request
from flowdsl_sql.starts import decide_starts
from flowdsl_sql.writer import Look, RowLook, Writer

RowChange = FailRow | ReleaseRow | ParkRow | DropRow
PAUSED, CANCELLED, DATA_DELETED = RunState.PAUSED, RunState.CANCELLED, RunState.DATA_DELETED


def waves(changes: Sequence[Change], followers: Mapping[str, str] | None = None) -> list[list[Change]]:
    """The changes in order, cut wherever one touches what an earlier one of the same wave touches. In: the runs that rows follow,
    by row id, as far as they are known."""
    cut: list[list[Change]] = []
    seen: set[object] = set()
    wave: list[Change] = []
    for change in changes:
        keys = _touched(change)
        if followers and isinstance(change, RowChange) and change.row_id in followers:
            keys.append(followers[change.row_id])
        if not seen.isdisjoint(keys):
            cut.append(wave)
            wave, seen = [], set()
        seen.update(keys)
        wave.append(change)
    cut.append(wave)
    return cut


def _touched(change: Change) -> list[object]:
    keys: list[object]
    if isinstance(change, MoveRun):
        keys = [change.run_id]
        if change.settle is not None:
            keys.append(change.settle)
        for row in change.side_rows:
            keys.append(row.row_id)
        for key in change.drop_items:
            keys.append((change.namespace, str(key.kind), key.key, ""))
    elif isinstance(change, StartRun):
        keys = [change.run_id, (change.namespace, change.workflow, change.foreign_id)]
        for row in change.side_rows:
            keys.append(row.row_id)
    elif isinstance(change, AddRow):
        keys = [change.run_id, change.row.row_id]
        if change.instead_of is not None:
            keys.append(change.instead_of)
    elif isinstance(change, RequestControl):
        return [change.run_id]
    elif isinstance(change, PutItems):
        keys = [(change.namespace, str(key.kind), key.key, "") for key in change.drop]
    else:
        keys = [change.row_id]
        if isinstance(change, FailRow):
            keys += [row.row_id for row in change.side_rows]
        return keys
    for item in change.items:
        keys.append((change.namespace, str(item.kind), item.key, ""))
    return keys


def apply_wave(writer: Writer, changes: Sequence[Change], wakes: set[tuple[str, str]]) -> list[CommitResult]:
    """Decide and write; the answers in order."""
    moves: list[tuple[int, MoveRun]] = []
    starts: list[tuple[int, StartRun]] = []
    added: list[tuple[int, AddRow]] = []
    controls: list[tuple[int, RequestControl]] = []
    row_changes: list[tuple[int, RowChange]] = []
    puts: list[tuple[int, PutItems]] = []
    run_ids: list[str] = []
    row_ids: list[str] = []
    watched: list[str] = []
    for index, change in enumerate(changes):
        if isinstance(change, MoveRun):
            moves.append((index, change))
            run_ids.append(change.run_id)
            if change.unless_claimed or change.unless_moving:
                row_ids.append(change.run_id)
            if change.unless_moving:
                watched.append(change.run_id)
        elif isinstance(change, StartRun):
            starts.append((index, change))
            run_ids.append(change.run_id)
        elif isinstance(change, AddRow):
            added.append((index, change))
            run_ids.append(change.run_id)
            row_ids.append(change.row.row_id)
            if change.instead_of is not None:
                row_ids.append(change.instead_of)
        elif isinstance(change, RequestControl):
            controls.append((index, change))
            run_ids.append(change.run_id)
            row_ids.append(change.run_id)
            watched.append(change.run_id)
        elif isinstance(change, PutItems):
            puts.append((index, change))
        else:
            row_changes.append((index, change))
            row_ids.append(change.row_id)
            run_ids.append(change.row_id)  # a step row has its run's id: no request may be left while its claim is given up
    run_ids.sort()
    now, runs = writer.look(run_ids)
    rows = writer.look_rows(sorted(row_ids)) if row_ids else {}
    busy = {run_id for run_id in watched if (row := rows.get(run_id)) is not None and row.owner is not None}
    if followed := sorted(run_id for run_id in watched if run_id in runs and runs[run_id].timers):
        busy |= in_hand(writer.session, followed)
    if moves and row_changes:
        moved = {move.run_id for _, move in moves}
        followers = {row_id: row.run_id for row_id, row in rows.items() if row.run_id in moved and row.run_id != row_id}
        if followers:  # what becomes of a row beside depends on its run's move: the one that came first is first
            return [answer for part in waves(changes, followers) for answer in apply_wave(writer, part, wakes)]
    draft = Draft(writer, now, wakes)
    answers: list[CommitResult] = [results.LOST] * len(changes)
    if moves:
        decide_moves(draft, moves, runs, rows, busy, answers)
        draft.write_moves()
    if starts:
        decide_starts(draft, starts, runs, answers)
    for index, addition in added:
        answers[index] = _add(draft, addition, runs.get(addition.run_id), rows)
    for index, request in controls:
        answers[index] = _request(writer, request, runs.get(request.run_id), busy)
    draft.write()
    if row_changes:
        _RowChanges(draft, {**runs, **_runs_of_side_rows(writer, rows)}, rows).apply(row_changes, answers)
        draft.write_rows()
    for index, put in puts:
        taken = draft.insert_items(put.namespace, put.change_id, put.items, put.drop)
        if taken is None:
            draft.finish_items(put.namespace, put.change_id, put.items, put.drop, due_only=put.drop_due_only)
        answers[index] = results.DONE if taken is None else results.key_taken(taken)
    return answers


def _add(draft: Draft, change: AddRow, run: Look | None, rows: dict[str, RowLook]) -> CommitResult:
    if run is None:
        return results.NOT_FOUND
    if change.row.row_id in rows:
        return results.DONE_BEFORE
    if run.finished is not None:
        return results.FINISHED
    if run.version != change.version:
        return results.LOST
    if change.instead_of is not None:
        former = rows.get(change.instead_of)
        if former is None or former.run_id != change.run_id or former.owner is not None:
            return results.LOST
    taken = draft.insert_items(change.namespace, change.change_id, change.items) if change.items else None
    if taken is not None:
        return results.key_taken(taken)
    if change.items:
        draft.finish_items(change.namespace, change.change_id, change.items, ())
    if change.instead_of is not None:
        draft.drops.append(change.instead_of)
    row, suspended = change.row, run.state == PAUSED
    draft.add_row(row, change.namespace, change.workflow, change.run_id, run.version, run.visit, suspended=suspended)
    bits = run.timers | BIT_OF.get(row.kind, 0)
    if bits != run.timers:
        draft.writer.note_followers(change.run_id, bits)
    return results.DONE


def _request(writer: Writer, change: RequestControl, run: Look | None, busy: Collection[str]) -> CommitResult:
    request = change.request
    if run is None:
        return results.NOT_FOUND
    if run.finished is not None:
        return results.FINISHED
    if change.run_id not in busy:
        return results.NOT_CLAIMED
    if run.requested_state != CANCELLED or request.state is CANCELLED:
        writer.request(change.run_id, int(request.state), request.reason, request.actor)
    return results.DONE


def _runs_of_side_rows(writer: Writer, rows: dict[str, RowLook]) -> dict[str, Look]:
    """The runs of rows that are no step rows, by row id; not locked, for no claim of a step is given up with them."""
    beside = {row_id: row.run_id for row_id, row in rows.items() if row.run_id != row_id}
    if not beside:
        return {}
    found = writer.peek(sorted(set(beside.values())))
    return {row_id: found[run_id] for row_id, run_id in beside.items() if run_id in found}


def _without_payload(rows: Sequence[NewRow]) -> list[NewRow]:
    return [replace(row, payload=None) for row in rows]


class _RowChanges:
    """FailRow, ReleaseRow, ParkRow and DropRow, each fenced by its claim."""

    def __init__(self, draft: Draft, runs: dict[str, Look], rows: dict[str, RowLook]) -> None:
        self._draft = draft
        self._runs = runs
        self._rows = rows
        self._fails: list[tuple[Any, ...]] = []
        self._releases: list[tuple[Any, ...]] = []
        self._parks: list[tuple[Any, ...]] = []
        self._drops: list[str] = []

    def apply(self, changes: Sequence[tuple[int, RowChange]], answers: list[CommitResult]) -> None:
        for index, change in changes:
            answers[index] = self._decide(change)
        writer = self._draft.writer
        writer.fail_rows(self._fails)
        writer.release_rows(self._releases)
        writer.park_rows(self._parks)
        if self._drops:
            writer.drop_rows(self._drops)

    def _decide(self, change: RowChange) -> CommitResult:
        due: int | None
        row, run, draft = self._rows.get(change.row_id), self._runs.get(change.row_id), self._draft
        if row is None:
            return results.LOST
        waiting = None
        if run is not None:
            waiting = control_request(run.requested_state, run.requested_reason, run.requested_actor)
        same = row.owner == change.owner and row.delivery == change.delivery
        if not same or change.version not in (None, row.version):
            return (
                CommitResult(CommitOutcome.ALREADY_APPLIED, requested=waiting) if row.mark == change.change_id else results.LOST
            )
        if isinstance(change, ParkRow | DropRow) and change.unless_requested and waiting is not None:
            return CommitResult(CommitOutcome.REFUSED, Refusal.REQUESTED, requested=waiting)
        if isinstance(change, FailRow):
            hastened = waiting is not None and row.kind in MOVERS
            due = draft.now if hastened else after(draft.now, change.delay)
            erased = run is not None and run.state == DATA_DELETED
            self._fails.append((None if erased else change.error, due, change.change_id, change.row_id))
            if run is not None:
                for told in _without_payload(change.side_rows) if erased else change.side_rows:
                    draft.add_row(told, row.namespace, row.workflow, row.run_id, run.version, run.visit)
        elif isinstance(change, ReleaseRow):
            due = None if change.delay is None else after(draft.now, change.delay)
            self._releases.append((due, change.change_id, change.row_id))
        elif isinstance(change, ParkRow):
            self._parks.append((change.change_id, change.row_id))
        else:
            self._drops.append(change.row_id)
        if isinstance(change, (FailRow, ReleaseRow)):
            draft.wakes.add((row.namespace, row.topic))
        return results.DONE if waiting is None else CommitResult(CommitOutcome.APPLIED, requested=waiting)
