"""A wave: changes of one transaction that have nothing in common: lock the runs, look, decide each change by its own condition, write in batches.

The locks are taken in the order of the run ids and before any row's, so two groups wait for each other but do not deadlock; what was
decided under the locks is what the writes find, and they compare the version all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
from flowdsl.model.item import NewItem
from flowdsl.model.pending import NOW, NewRow, RowKind
from flowdsl.model.record import ControlRequest
from flowdsl.model.run_state import RunState, may_move
from flowdsl_sql.database import after, to_datetime
from flowdsl_sql.rows import STATES, control_request, json_or_none
from flowdsl_sql.writer import Look, RowLook, Writer

APPLIED, ALREADY, LOST, REFUSED = (
    CommitOutcome.APPLIED,
    CommitOutcome.ALREADY_APPLIED,
    CommitOutcome.LOST,
    CommitOutcome.REFUSED,
)
DONE = CommitResult(APPLIED)
TOO_LATE = CommitResult(LOST)
RowChange = FailRow | ReleaseRow | ParkRow | DropRow
PAUSED, RUNNING, CANCELLED = RunState.PAUSED, RunState.RUNNING, RunState.CANCELLED
TIMEOUT = RowKind.TIMEOUT
START_TRIES = 5


def waves(changes: Sequence[Change]) -> list[list[Change]]:
    """The changes in order, cut wherever one touches what an earlier one of the same wave touches."""
    cut: list[list[Change]] = []
    seen: set[object] = set()
    wave: list[Change] = []
    for change in changes:
        keys = _touched(change)
        if not seen.isdisjoint(keys):
            cut.append(wave)
            wave, seen = [], set()
        seen.update(keys)
        wave.append(change)
    cut.append(wave)
    return cut


def _touched(change: Change) -> list[object]:
    match change:
        case MoveRun():
            keys: list[object] = [change.run_id]
            if change.settle is not None:
                keys.append(change.settle)
            for row in change.side_rows:
                keys.append(row.row_id)
        case StartRun():
            keys = [change.run_id, (change.namespace, change.workflow, change.foreign_id)]
        case RequestControl():
            return [change.run_id]
        case PutItems():
            keys = [(change.namespace, item.kind, item.key, "") for item in change.drop]
            keys.extend((change.namespace, item.kind, item.key, "") for item in change.items)
            return keys
        case _:
            return [change.row_id]
    if change.items:
        keys.extend((change.namespace, item.kind, item.key, "") for item in change.items)
    if isinstance(change, MoveRun) and change.drop_items:
        keys.extend((change.namespace, item.kind, item.key, "") for item in change.drop_items)
    return keys


class Wave:
    """Changes that have nothing in common."""

    def __init__(self, writer: Writer, wakes: set[tuple[str, str]]) -> None:
        self._writer = writer
        self._wakes = wakes
        self._now = 0
        self._runs: dict[str, Look] = {}
        self._rows: dict[str, RowLook] = {}
        self._results: dict[str, CommitResult] = {}
        self._moves: list[tuple[Any, ...]] = []
        self._history: list[tuple[Any, ...]] = []
        self._put: list[tuple[Any, ...]] = []
        self._drop: list[str] = []
        self._timers: dict[str, list[str]] = {}

    def apply(self, changes: Sequence[Change]) -> list[CommitResult]:
        """Decide and write; the results in order."""
        moves: list[tuple[int, MoveRun]] = []
        starts: list[tuple[int, StartRun]] = []
        controls: list[tuple[int, RequestControl]] = []
        row_changes: list[tuple[int, RowChange]] = []
        puts: list[tuple[int, PutItems]] = []
        runs: list[str] = []
        rows: list[str] = []
        for index, change in enumerate(changes):
            if isinstance(change, MoveRun):
                moves.append((index, change))
                runs.append(change.run_id)
                if change.unless_claimed:
                    rows.append(change.run_id)
            elif isinstance(change, StartRun):
                starts.append((index, change))
                runs.append(change.run_id)
            elif isinstance(change, RequestControl):
                controls.append((index, change))
                runs.append(change.run_id)
                rows.append(change.run_id)
            elif isinstance(change, PutItems):
                puts.append((index, change))
            else:
                row_changes.append((index, change))
                rows.append(change.row_id)
                runs.append(change.row_id)  # a step row's id is its run's: a request cannot be left while the claim is given up
        writer = self._writer
        runs.sort()
        self._now, found = writer.look(runs)
        self._runs = dict(found)
        self._rows = dict(writer.look_rows(sorted(rows))) if rows else {}
        results: list[CommitResult] = [TOO_LATE] * len(changes)
        if moves:
            self._decide_moves(moves, results)
        if starts:
            self._start(starts, results)
        for index, request in controls:
            results[index] = self._request(request)
        self._write()
        if row_changes:
            self._change_rows(row_changes, results)
        for index, put in puts:
            refused = self._put_items(put.namespace, put.change_id, put.items)
            if refused is None:
                self._replace_items(put.namespace, put.change_id, put.items)
                for key in put.drop:
                    writer.drop_item(put.namespace, key.kind, key.key)
            results[index] = refused or DONE
        return results

    # -- moves ----------------------------------------------------------------------------------------------------------------

    def _decide_moves(self, moves: Sequence[tuple[int, MoveRun]], results: list[CommitResult]) -> None:
        late: list[tuple[int, MoveRun]] = []
        for index, move in moves:
            run = self._runs.get(move.run_id)
            if run is None:
                results[index] = CommitResult(REFUSED, Refusal.NOT_FOUND)
            elif run.version != move.version:
                late.append((index, move))
            elif run.finished is not None and not may_move(STATES[run.state], move.to_state):
                results[index] = CommitResult(REFUSED, Refusal.FINISHED)
            elif move.unless_claimed and (row := self._rows.get(move.run_id)) is not None and row.owner is not None:
                results[index] = CommitResult(REFUSED, Refusal.CLAIMED)
            else:
                refused = self._put_items(move.namespace, move.change_id, move.items) if move.items else None
                if refused is None and move.items:
                    self._replace_items(move.namespace, move.change_id, move.items)
                results[index] = refused or self._move(move, run)
        if late:
            earlier = self._writer.earlier([move.run_id for _, move in late], [move.change_id for _, move in late])
            for index, move in late:
                known = earlier.get(move.change_id)
                if known is not None:
                    results[index] = CommitResult(ALREADY, state=STATES[known[0]], at=to_datetime(known[1]))

    def _move(self, move: MoveRun, run: Look) -> CommitResult:
        now, origin, run_id = self._now, move.origin, move.run_id
        state, reason, actor = move.to_state, origin.reason, origin.actor
        if run.requested_state is not None and move.honour_request and state is RUNNING:
            state, reason, actor = STATES[run.requested_state], run.requested_reason, run.requested_actor or ""
        finished = None
        if state.finished:
            finished = now if run.finished is None else run.finished
        visit = run.visit + 1 if move.new_visit else run.visit
        version = move.version + 1
        timers = run.timers
        if timers:
            if state.finished or move.new_visit:
                self._timers.setdefault("drop", []).append(run_id)
                timers = 0
            elif state is PAUSED:
                self._timers.setdefault("suspend", []).append(run_id)
            elif run.state == PAUSED:
                self._timers.setdefault("restore", []).append(run_id)
        if move.row is not None and not state.stopped:
            self._add_row(move.row, move.namespace, move.workflow, run_id, version, visit)
        else:
            self._drop.append(run_id)
        if move.settle is not None:
            self._drop.append(move.settle)
        for row in move.side_rows:
            if row.kind is TIMEOUT:
                if state.finished:
                    continue
                timers = 1
            self._add_row(row, move.namespace, move.workflow, run_id, version, visit, suspended=state is PAUSED)
        for key in move.drop_items:
            self._writer.drop_item(move.namespace, key.kind, key.key)
        stopped = state is PAUSED or state is CANCELLED
        payload = move.payload
        self._moves.append(
            (
                move.to_status,
                int(state),
                visit,
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
        self._history.append(
            (
                run_id,
                version,
                move.from_status,
                move.to_status,
                int(move.from_state),
                int(state),
                origin.cause.value,
                origin.name,
                actor,
                reason,
                origin.error,
                origin.attempt,
                move.change_id,
                now,
            )
        )
        return CommitResult(APPLIED, state=state, at=to_datetime(now))

    def _add_row(
        self, row: NewRow, namespace: str, workflow: str, run_id: str, version: int, visit: int, *, suspended: bool = False
    ) -> None:
        now, delay = self._now, row.delay
        due = None if delay is None else now if delay is NOW else after(now, delay)
        remaining, owner = None, row.owner
        if suspended and row.kind is TIMEOUT and due is not None:
            due, remaining, owner = None, max(0, due - now), None
        self._put.append(
            (
                row.row_id,
                namespace,
                workflow,
                row.topic,
                int(row.kind),
                row.receiver,
                run_id,
                version,
                visit,
                due,
                remaining,
                now,
                row.priority,
                owner,
                0 if owner is None else 1,
                0,
                0,
                None,
                row.payload,
                None,
            )
        )
        if owner is None and due is not None:
            self._wakes.add((namespace, row.topic))

    def _write(self) -> None:
        """Runs first, then their rows."""
        writer = self._writer
        if self._moves:
            self._moves.sort(key=_run_id_of_move)
            writer.move_runs(self._moves)
        if self._history:
            writer.insert_history(self._history)
        for what, run_ids in self._timers.items():
            if what == "drop":
                writer.drop_timers(run_ids)
            elif what == "suspend":
                writer.suspend_timers(run_ids, self._now)
            else:
                writer.restore_timers(run_ids, self._now)
        if self._drop:
            writer.drop_rows(sorted(self._drop))
        if self._put:
            self._put.sort(key=_row_id)
            writer.put_rows(self._put)

    # -- starts ---------------------------------------------------------------------------------------------------------------

    def _start(self, starts: Sequence[tuple[int, StartRun]], results: list[CommitResult]) -> None:
        left: list[tuple[int, StartRun]] = []
        known: list[tuple[int, StartRun]] = []
        for index, start in starts:
            run = self._runs.get(start.run_id)
            if run is not None:
                known.append((index, start))
                continue
            refused = self._put_items(start.namespace, start.change_id, start.items) if start.items else None
            if refused is None:
                left.append((index, start))
            else:
                results[index] = refused
        if known:
            earlier = self._writer.earlier([start.run_id for _, start in known], [start.change_id for _, start in known])
            for index, start in known:
                found = earlier.get(start.change_id)
                if found is not None:
                    results[index] = CommitResult(ALREADY, state=STATES[found[0]], at=to_datetime(found[1]))
        for _ in range(START_TRIES):
            if left:
                left = self._insert(left, results)
        for index, start in left:
            self._take_items_back(start.namespace, start.items)
            results[index] = TOO_LATE

    def _insert(self, starts: Sequence[tuple[int, StartRun]], results: list[CommitResult]) -> list[tuple[int, StartRun]]:
        """Insert runs; those that met an unfinished run which then ended are to be tried again."""
        inserted = self._writer.insert_runs([self._run_of(start) for _, start in sorted(starts, key=_run_id_of_start)])
        again: list[tuple[int, StartRun]] = []
        for index, start in starts:
            if start.run_id in inserted:
                results[index] = self._started(start)
                continue
            other = self._writer.unfinished(start.namespace, start.workflow, start.foreign_id)
            if other is None:
                again.append((index, start))
                continue
            self._take_items_back(start.namespace, start.items)
            results[index] = CommitResult(REFUSED, Refusal.IN_PROGRESS, run_id=other)
        return again

    def _run_of(self, start: StartRun) -> tuple[Any, ...]:
        payload = start.payload
        return (
            start.run_id,
            start.namespace,
            start.workflow,
            start.foreign_id,
            start.status,
            int(RunState.INITIATED),
            1,
            1,
            None if payload is None else payload.data,
            None if payload is None else payload.content_type,
            None if payload is None else payload.schema_version,
            self._now,
            self._now,
            None,
            start.change_id,
            0,
            1 if any(row.kind is TIMEOUT for row in start.side_rows) else 0,
            json_or_none(start.metadata),
            json_or_none(start.tags),
            start.parent_run_id,
            start.priority,
        )

    def _started(self, start: StartRun) -> CommitResult:
        origin = start.origin
        if start.items:
            self._replace_items(start.namespace, start.change_id, start.items)
        if start.row is not None:
            self._add_row(start.row, start.namespace, start.workflow, start.run_id, 1, 1)
        for row in start.side_rows:
            self._add_row(row, start.namespace, start.workflow, start.run_id, 1, 1)
        self._history.append(
            (
                start.run_id,
                1,
                None,
                start.status,
                int(RunState.UNKNOWN),
                int(RunState.INITIATED),
                origin.cause.value,
                origin.name,
                origin.actor,
                origin.reason,
                origin.error,
                origin.attempt,
                start.change_id,
                self._now,
            )
        )
        return CommitResult(APPLIED, state=RunState.INITIATED, at=to_datetime(self._now))

    # -- requests, claims, items ----------------------------------------------------------------------------------------------

    def _request(self, change: RequestControl) -> CommitResult:
        run, row, request = self._runs.get(change.run_id), self._rows.get(change.run_id), change.request
        if run is None:
            return CommitResult(REFUSED, Refusal.NOT_FOUND)
        if run.finished is not None:
            return CommitResult(REFUSED, Refusal.FINISHED)
        if row is None or row.owner is None:
            return CommitResult(REFUSED, Refusal.NOT_CLAIMED)
        if run.requested_state != CANCELLED or request.state is CANCELLED:
            self._writer.request(change.run_id, int(request.state), request.reason, request.actor)
        return DONE

    def _change_rows(self, changes: Sequence[tuple[int, RowChange]], results: list[CommitResult]) -> None:
        fails: list[tuple[Any, ...]] = []
        releases: list[tuple[Any, ...]] = []
        parks: list[tuple[Any, ...]] = []
        drops: list[str] = []
        for index, change in changes:
            row, run = self._rows.get(change.row_id), self._runs.get(change.row_id)
            request: ControlRequest | None = None
            if run is not None:
                request = control_request(run.requested_state, run.requested_reason, run.requested_actor)
            if row is None or row.owner != change.owner or row.delivery != change.delivery:
                if row is not None and row.mark == change.change_id:
                    results[index] = CommitResult(ALREADY, requested=request)
                continue
            if isinstance(change, FailRow):
                due = self._now if request is not None else after(self._now, change.delay)
                fails.append((change.error, due, change.change_id, change.row_id))
            elif isinstance(change, ReleaseRow):
                releases.append((change.change_id, change.row_id))
            elif isinstance(change, ParkRow):
                parks.append((change.change_id, change.row_id))
            else:
                drops.append(change.row_id)
                results[index] = DONE
                continue
            if not isinstance(change, ParkRow):
                self._wakes.add((row.namespace, row.topic))
            results[index] = DONE if request is None else CommitResult(APPLIED, requested=request)
        writer = self._writer
        writer.fail_rows(fails)
        writer.release_rows(releases)
        writer.park_rows(parks)
        if drops:
            writer.drop_rows(drops)

    def _put_items(self, namespace: str, change_id: str, items: Sequence[NewItem]) -> CommitResult | None:
        """Insert a change's items that may not replace others; when a key is taken, none of them, and the refusal."""
        inserted: list[NewItem] = []
        for item in items:
            if item.replace:
                continue
            if self._writer.insert_item(self._item_row(namespace, change_id, item)):
                inserted.append(item)
                continue
            self._take_items_back(namespace, inserted)
            found = self._writer.item(namespace, item.kind, item.key)
            if found is not None and found[1] == change_id:
                return CommitResult(ALREADY)
            return CommitResult(REFUSED, Refusal.KEY_TAKEN, detail=item.key, item=None if found is None else found[0])
        return None

    def _replace_items(self, namespace: str, change_id: str, items: Sequence[NewItem]) -> None:
        for item in items:
            if item.replace:
                self._writer.replace_item(self._item_row(namespace, change_id, item))

    def _item_row(self, namespace: str, change_id: str, item: NewItem) -> tuple[Any, ...]:
        due = None if item.delay is None else after(self._now, item.delay)
        return (namespace, item.kind, item.key, item.body, due, self._now, change_id)

    def _take_items_back(self, namespace: str, items: Sequence[NewItem]) -> None:
        for item in items:
            if not item.replace:
                self._writer.drop_item(namespace, item.kind, item.key)


def _run_id_of_move(row: tuple[Any, ...]) -> str:
    run_id: str = row[-2]
    return run_id


def _row_id(row: tuple[Any, ...]) -> str:
    row_id: str = row[0]
    return row_id


def _run_id_of_start(entry: tuple[int, StartRun]) -> str:
    return entry[1].run_id
