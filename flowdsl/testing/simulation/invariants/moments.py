"""I7, I10 and I11: nothing is early, and some time after the last fault everything is as it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from flowdsl.model.history import Cause, HistoryRow
from flowdsl.model.item import ItemKind
from flowdsl.testing.simulation.evidence import Evidence
from flowdsl.testing.simulation.invariants.executions import lost
from flowdsl.testing.simulation.invariants.states import BODIES, FINISHED
from flowdsl.testing.simulation.invariants.violation import Violation
from flowdsl.testing.simulation.journal import Answer
from flowdsl.testing.simulation.workload import Workload


def never_early(evidence: Evidence) -> Iterator[Violation]:
    """I7, never early: by the store's clock no step begins before its lag is over, no failed attempt is repeated before its wait
    is over (unless the claim was lost with its instance), and no run resumes by itself before its time or too often."""
    for (run_id, version), executions in evidence.steps.items():
        rows = evidence.histories.get(run_id, ())
        step = evidence.workload.flow(executions[0].workflow).step_of(executions[0].status)
        if step is None or version > len(rows):
            continue
        resumed = rows[version - 1].cause in (Cause.CONTROL, Cause.AUTO_RESUME, Cause.SWEEP)
        for execution in executions:
            if not resumed and execution.began_at < rows[version - 1].at + step.lag:
                yield Violation("I7", f"version {version} was worked on before its lag of {step.lag} was over", run_id)
        for before, after in pairwise(executions):
            kept = not (lost(evidence, before) or lost(evidence, after))
            failed_at = before.ended_at if before.answer is Answer.RAISED else None
            if kept and failed_at is not None and after.began_at < failed_at + step.backoff:
                yield Violation("I7", f"version {version} was tried again before its wait of {step.backoff} was over", run_id)
    for run_id, rows in evidence.histories.items():
        yield from _resumes(evidence.workload, run_id, rows)


def _resumes(workload: Workload, run_id: str, rows: Sequence[HistoryRow]) -> Iterator[Violation]:
    times = 0
    for before, after in pairwise(rows):
        if after.cause is Cause.CONTROL or (after.cause in BODIES and after.to_status != after.from_status):
            times = 0  # a transition and a person's resume give it new tries
        if after.cause is Cause.AUTO_RESUME:
            times += 1
            if workload.auto_resume is None or after.at < before.at + workload.auto_resume:
                yield Violation("I7", f"version {after.version} resumed too early", run_id)
            if times > workload.auto_resumes:
                yield Violation("I7", f"version {after.version} is automatic resume number {times}", run_id)


def recovers(evidence: Evidence) -> Iterator[Violation]:
    """I10, recovery without a human: some time after the last fault nothing is left to do; and no loop of the library let an
    error pass that it should have dealt with."""
    if evidence.recovery is None:
        yield Violation("I10", "long after the last fault there is still something to do")
    for what in evidence.journal.accidents:
        yield Violation("I10", what)


def back_to_baseline(evidence: Evidence) -> Iterator[Violation]:
    """I11, back to the baseline: when nothing is left to do, processes hold nothing, and the store has no row of a run that has
    ended and no item that nothing waits for."""
    for what in evidence.leftovers:
        yield Violation("I11", what)
    for run_id, rows in evidence.rows.items():
        record = evidence.runs[run_id]
        if rows and record.state in FINISHED:
            yield Violation("I11", f"{len(rows)} rows are left of it", run_id)
    for item in evidence.items:
        if item.kind == ItemKind.AUTO_RESUME:
            yield Violation("I11", "an automatic resume is stored that nothing waits for", item.key)
