"""I3: every transition is committed once, along the graph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from flowdsl.model.history import Cause, HistoryRow
from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState
from flowdsl.testing.simulation.evidence import Evidence
from flowdsl.testing.simulation.invariants.states import BODIES, ERASED, STAYS
from flowdsl.testing.simulation.invariants.violation import Violation
from flowdsl.testing.simulation.journal import Answer, Execution, Kind
from flowdsl.testing.simulation.workload import Door, Flow, Mover, Step, Timer

MOVERS: dict[Cause, type[Mover]] = {Cause.STEP: Step, Cause.TIMEOUT: Timer, Cause.CALLBACK: Door}
KINDS = {Cause.STEP: Kind.STEP, Cause.TIMEOUT: Kind.TIMEOUT, Cause.CALLBACK: Kind.CALLBACK}


def committed_once(evidence: Evidence) -> Iterator[Violation]:
    """I3, committed once: versions are unique and without a gap from 1; each begins where the one before ended; every change of
    status is an edge of the graph; behind every transition is an execution that answered so; and what the executions did to the
    object is in it exactly once, in order."""
    seen: dict[str, str] = {}
    for run_id, rows in evidence.histories.items():
        for row in rows:
            if row.change_id in seen:
                yield Violation("I3", f"one change made two versions, this and one of {seen[row.change_id]}", run_id)
            seen[row.change_id] = run_id
        if [row.version for row in rows] != list(range(1, len(rows) + 1)):
            yield Violation("I3", f"its versions are {[row.version for row in rows]}", run_id)
            continue
        record = evidence.runs[run_id]
        yield from _chain(record, rows)
        yield from _graph(evidence, record, rows)
        yield from _answers(evidence, record, rows)
        yield from _trail(evidence, record, rows)


def _chain(record: RunRecord, rows: Sequence[HistoryRow]) -> Iterator[Violation]:
    for before, after in pairwise(rows):
        if (after.from_status, after.from_state) != (before.to_status, before.to_state):
            yield Violation("I3", f"version {after.version} does not begin where {before.version} ended", record.run_id)
        if after.at < before.at:
            yield Violation("I3", f"version {after.version} is older than {before.version}", record.run_id)
    last = rows[-1]
    if (record.version, record.status, record.state) != (last.version, last.to_status, last.to_state):
        here = f"{record.state.name} in {record.status}, version {record.version}"
        yield Violation("I3", f"it is {here}, and its history ends elsewhere", record.run_id)
    if record.change_id != last.change_id:
        yield Violation("I3", "its last change is not its history's", record.run_id)


def _graph(evidence: Evidence, record: RunRecord, rows: Sequence[HistoryRow]) -> Iterator[Violation]:
    flow = evidence.workload.flow(record.workflow)
    edges = flow.edges()
    for row in rows:
        if not _allowed(flow, row):
            what = f"v{row.version}: {row.cause} may not lead from {row.from_status} to {row.to_status}"
            yield Violation("I3", what, record.run_id)
        if row.to_state is RunState.COMPLETED and row.to_status in edges:
            yield Violation("I3", f"v{row.version}: it is complete in {row.to_status}, which has a way out", record.run_id)
        if row.to_state is RunState.RUNNING and row.to_status not in edges:
            yield Violation("I3", f"v{row.version}: it is under way in {row.to_status}, where everything ends", record.run_id)


def _allowed(flow: Flow, row: HistoryRow) -> bool:
    if row.cause is Cause.TRIGGER:
        return row.version == 1 and row.from_status is None and row.to_status in flow.edges()
    if row.cause in STAYS:
        return row.to_status == row.from_status
    mover = MOVERS.get(row.cause)
    if mover is None:
        return False
    stopped = row.to_status == row.from_status and row.to_state in (RunState.PAUSED, RunState.CANCELLED)
    edges = flow.edges(mover).get(row.from_status or "", frozenset())
    return bool(edges) and (stopped or row.to_status in edges)


def _answers(evidence: Evidence, record: RunRecord, rows: Sequence[HistoryRow]) -> Iterator[Violation]:
    for row in rows:
        if row.cause in BODIES and not any(_said(one, row) for one in _on_version(evidence, record.run_id, row.version - 1)):
            yield Violation("I3", f"nothing answered what made version {row.version}", record.run_id)


def _on_version(evidence: Evidence, run_id: str, version: int) -> list[Execution]:
    others = [one for one in evidence.others.get(run_id, ()) if one.version == version and one.kind is not Kind.HOOK]
    return [*evidence.steps.get((run_id, version), ()), *others]


def _said(execution: Execution, row: HistoryRow) -> bool:
    if execution.status != row.from_status or execution.kind is not KINDS.get(row.cause, execution.kind):
        return False
    if row.cause is Cause.REPEAT:
        return execution.answer is Answer.REPEAT
    if execution.answer is Answer.STATUS:
        return execution.to == row.to_status
    wanted = {Answer.PAUSE: RunState.PAUSED, Answer.CANCEL: RunState.CANCELLED}.get(execution.answer)
    # a pause of the step's own may have become a cancel that somebody had asked for
    return wanted is row.to_state or (wanted is RunState.PAUSED and row.to_state is RunState.CANCELLED)


def _trail(evidence: Evidence, record: RunRecord, rows: Sequence[HistoryRow]) -> Iterator[Violation]:
    left = _bare(evidence.trail(record))
    expected = trail_of(rows)
    if left != expected and record.state not in ERASED:
        yield Violation("I3", f"its object says {left}, its history {expected}", record.run_id)
    for version in range(1, len(rows) + 1):
        for execution in _on_version(evidence, record.run_id, version):
            if _bare(execution.trail) != trail_of(rows[:version]):
                yield Violation("I3", f"version {version} was handed over with an object of another", record.run_id)


def _bare(trail: Sequence[str]) -> list[str]:
    return [entry.partition("!")[0] for entry in trail]


def trail_of(rows: Sequence[HistoryRow]) -> list[str]:
    """What committed executions have left in the object, by the history."""
    return [f"{row.from_status}@{row.version - 1}" for row in rows if row.cause in BODIES]
