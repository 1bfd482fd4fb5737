"""What becomes of the rows beside a step row when their run moves: timeouts and kept callbacks follow it, erased runs take the
data of all of them along."""

from __future__ import annotations

from collections.abc import Sequence

from flowdsl.model.change import MoveRun
from flowdsl.model.pending import RowKind
from flowdsl.model.run_state import RunState
from flowdsl_sql.database import Session
from flowdsl_sql.writer import Look

TIMEOUTS, CALLBACKS = 1, 2
"""Bits of a run's column `timers`: which rows it may have that follow it. An ordinary transition of a run without any looks for
none."""
BIT_OF = {RowKind.TIMEOUT: TIMEOUTS, RowKind.CALLBACK: CALLBACKS}
PAUSED = RunState.PAUSED

# The index is of kinds other than 0: SQLite wants to be told.
OF_TIMEOUTS = f"kind <> 0 AND kind = {int(RowKind.TIMEOUT)} AND run_id IN"
OF_CALLBACKS = f"kind <> 0 AND kind = {int(RowKind.CALLBACK)} AND run_id IN"
OF_FOLLOWERS = f"kind <> 0 AND kind IN ({int(RowKind.TIMEOUT)}, {int(RowKind.CALLBACK)}) AND run_id IN"
OF_ALL = "kind <> 0 AND run_id IN"
AFRESH = "owner = NULL, remaining = NULL, attempts = 0, lapses = 0"


def in_hand(session: Session, run_ids: Sequence[str]) -> set[str]:
    """The runs among these with a timeout or kept callback that an owner holds. Locks all of theirs, so that one which is being
    claimed at this moment is seen as claimed."""
    behind = f" ORDER BY row_id{session.dialect.for_update}"
    rows = session.among(f"SELECT run_id, owner FROM flowdsl_pending WHERE {OF_FOLLOWERS}", run_ids, behind=behind)
    return {row[0] for row in rows if row[1] is not None}


class Beside:
    """Collects what the moves of a wave mean for the rows beside, and writes it in a few statements."""

    def __init__(self) -> None:
        self._timeouts_to_drop: list[str] = []
        self._callbacks_to_park: list[str] = []
        self._arrivals: dict[str, list[str]] = {}
        self._ended: list[str] = []
        self._to_suspend: list[str] = []
        self._to_restore: list[str] = []
        self._to_erase: list[tuple[str, bool]] = []

    def turn(self, move: MoveRun, run: Look, state: RunState) -> int:
        """In: a move and the state that it gives the run. Returns the bits of what the run may still have."""
        left, run_id = run.timers, move.run_id
        if move.erase:
            self._to_erase.append((run_id, move.payload is not None))
        if not left:
            return 0
        if state.finished or move.new_visit:
            if left & TIMEOUTS:
                self._timeouts_to_drop.append(run_id)
            left &= ~TIMEOUTS
        if state.finished:
            if left & CALLBACKS and run.finished is None:
                self._ended.append(run_id)
            return 0
        if move.new_visit and left & CALLBACKS:
            self._callbacks_to_park.append(run_id)
            self._arrivals.setdefault(move.to_status, []).append(run_id)
        if state is PAUSED:
            self._to_suspend.append(run_id)
        elif run.state == PAUSED:
            self._to_restore.append(run_id)
        return left

    def write(self, session: Session, now: int, wakes: set[tuple[str, str]]) -> None:
        """After the runs were moved and before rows are added. `wakes` learns whose rows became due."""
        if self._timeouts_to_drop:
            session.later_among(f"DELETE FROM flowdsl_pending WHERE {OF_TIMEOUTS}", sorted(self._timeouts_to_drop))
        if self._callbacks_to_park:
            parked = f"UPDATE flowdsl_pending SET due = NULL, {AFRESH} WHERE {OF_CALLBACKS}"
            session.later_among(parked, sorted(self._callbacks_to_park))
        arrived = f"UPDATE flowdsl_pending SET due = ?, {AFRESH} WHERE receiver = ? AND {OF_CALLBACKS}"
        for status, run_ids in sorted(self._arrivals.items()):
            session.later_among(arrived, sorted(run_ids), (now, status))
        if self._ended:
            ended = f"UPDATE flowdsl_pending SET due = ?, {AFRESH} WHERE {OF_CALLBACKS}"
            session.later_among(ended, sorted(self._ended), (now,))
        if self._to_suspend:
            session.later_among(
                "UPDATE flowdsl_pending SET remaining = CASE WHEN due > ? THEN due - ? ELSE 0 END, owner = NULL, due = NULL"
                f" WHERE due IS NOT NULL AND {OF_FOLLOWERS}",
                sorted(self._to_suspend),
                (now, now),
            )
        if self._to_restore:
            restored = f"UPDATE flowdsl_pending SET due = ? + remaining, {AFRESH} WHERE remaining IS NOT NULL AND {OF_FOLLOWERS}"
            session.later_among(restored, sorted(self._to_restore), (now,))
        self._wake(session, wakes)
        self._erase(session)

    def _wake(self, session: Session, wakes: set[tuple[str, str]]) -> None:
        run_ids = [run_id for arrived in self._arrivals.values() for run_id in arrived] + self._ended + self._to_restore
        # so written that the index of what is due, all of it, does not look as good as that of the runs
        due = f"COALESCE(owner, '') = '' AND COALESCE(due, -1) >= 0 AND {OF_FOLLOWERS}"
        found = session.among(f"SELECT DISTINCT namespace, topic FROM flowdsl_pending WHERE {due}", sorted(set(run_ids)))
        wakes.update((row[0], row[1]) for row in found)

    def _erase(self, session: Session) -> None:
        if not self._to_erase:
            return
        run_ids = sorted(run_id for run_id, _ in self._to_erase)
        bare = sorted(run_id for run_id, scrubbed in self._to_erase if not scrubbed)
        # Whoever fails one of these rows has it locked while it adds others: those are there to be found when we have the lock.
        locked = f" ORDER BY row_id{session.dialect.for_update}"
        session.among("SELECT row_id FROM flowdsl_pending WHERE kind <> 0 AND run_id IN", run_ids, behind=locked)
        session.later_among(
            "UPDATE flowdsl_run SET payload = NULL, content_type = NULL, schema_version = NULL WHERE run_id IN", bare
        )
        session.later_among("UPDATE flowdsl_run SET reason = NULL, last_error = NULL WHERE run_id IN", run_ids)
        session.later_among("UPDATE flowdsl_history SET reason = NULL, error = NULL WHERE run_id IN", run_ids)
        session.later_among(f"DELETE FROM flowdsl_pending WHERE {OF_CALLBACKS}", run_ids)
        session.later_among(f"UPDATE flowdsl_pending SET payload = NULL, last_error = NULL WHERE {OF_ALL}", run_ids)
