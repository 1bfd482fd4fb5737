"""I7 for timeouts: never early, never of another visit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from flowdsl.model.history import Cause, HistoryRow
from flowdsl.model.run_state import RunState
from flowdsl.testing.simulation.evidence import Evidence
from flowdsl.testing.simulation.invariants.states import BODIES
from flowdsl.testing.simulation.invariants.violation import Violation
from flowdsl.testing.simulation.journal import Execution, Kind


def timers_on_time(evidence: Evidence) -> Iterator[Violation]:
    """I7, timeouts: none begins before the run has been in its status for as long as it says, by the store's clock and without
    the time for which the run was paused; so none of an earlier run, an earlier visit or another status ever begins."""
    for run_id, executions in evidence.others.items():
        flow = evidence.workload.flow(executions[0].workflow)
        rows = evidence.histories.get(run_id, ())
        for one in executions:
            if one.kind is not Kind.TIMEOUT or one.version > len(rows):
                continue
            timer = flow.timer_of(one.status)
            if timer is None:
                yield Violation("I7", f"a timeout began in {one.status}, which has none", run_id)
                continue
            there = stayed(rows[: one.version], one.began_at)
            if there < timer.after:
                yield Violation("I7", f"a timeout of {timer.after} began after {there}", run_id)
        yield from _retries(evidence, run_id, executions)


def stayed(rows: Sequence[HistoryRow], until: datetime) -> timedelta:
    """How long the run has been in the status of its last version, without its pauses."""
    entered = max(index for index, row in enumerate(rows) if _entry(row))
    visit = rows[entered:]
    paused = sum((after.at - before.at for before, after in pairwise(visit) if before.to_state is RunState.PAUSED), timedelta(0))
    return until - visit[0].at - paused


def _entry(row: HistoryRow) -> bool:
    return row.cause is Cause.TRIGGER or (row.cause in BODIES and row.to_status != row.from_status)


def _retries(evidence: Evidence, run_id: str, executions: Sequence[Execution]) -> Iterator[Violation]:
    """A run leaves a status along one timeout only."""
    rows = evidence.histories.get(run_id, ())
    for row in rows:
        if row.cause is Cause.TIMEOUT and not any(
            one.kind is Kind.TIMEOUT and one.version == row.version - 1 for one in executions
        ):
            yield Violation("I7", f"version {row.version} says that a timeout made it, and none began", run_id)
