"""I4: steps run at least once, and not more often than what went wrong explains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from flowdsl.model.history import Cause, HistoryRow
from flowdsl.model.run_state import RunState
from flowdsl.testing.simulation.evidence import Evidence
from flowdsl.testing.simulation.invariants.violation import Violation
from flowdsl.testing.simulation.journal import Answer, Execution


def at_least_once(evidence: Evidence) -> Iterator[Violation]:
    """I4, at least once and bounded: a version of a run is worked on again only after the execution before raised, or after its
    instance lost its claims; executions that are repeated carry one idempotency key, and different pieces of work different ones;
    what a step is told is what the store has; a run is paused for its errors after as many failures as its step allows."""
    for (run_id, version), executions in evidence.executions.items():
        rows = evidence.histories.get(run_id, ())
        if version > len(rows):
            yield Violation("I4", f"a step was given version {version}, which does not exist", run_id)
            continue
        row = rows[version - 1]
        for execution in executions:
            state = RunState.RUNNING if row.to_state is RunState.INITIATED else row.to_state
            if (execution.status, execution.state) != (row.to_status, state):
                yield Violation("I4", f"a step was told {execution.status}, {execution.state.name} of version {version}", run_id)
        for before, after in pairwise(executions):
            if not _explained(evidence, before, after):
                yield Violation("I4", f"version {version} was worked on again without a reason", run_id)
    yield from _keys(evidence)
    yield from _limits(evidence)


def _explained(evidence: Evidence, before: Execution, after: Execution) -> bool:
    """Also where the later of the two had lost its claim before it began, and did not know yet."""
    if before.answer is Answer.RAISED and before.ended is not None and before.ended < after.began:
        return True
    return lost(evidence, before) or lost(evidence, after)


def lost(evidence: Evidence, execution: Execution) -> bool:
    """Whether the instance of this execution has learnt since its beginning that its claims were lost."""
    return any(loss.node == execution.node and loss.when > execution.began for loss in evidence.journal.losses)


def _keys(evidence: Evidence) -> Iterator[Violation]:
    keys: dict[str, tuple[str, int]] = {}
    for (run_id, version), executions in evidence.executions.items():
        task = task_version(evidence.histories.get(run_id, ()), version)
        for execution in executions:
            known = keys.setdefault(execution.key, (run_id, task))
            if known != (run_id, task):
                yield Violation("I4", f"the idempotency key {execution.key} names two pieces of work", run_id)
    works: dict[tuple[str, int], str] = {}
    for key, work in keys.items():
        if works.setdefault(work, key) != key:
            yield Violation("I4", f"one piece of work has the idempotency keys {key} and {works[work]}", work[0])


def task_version(rows: Sequence[HistoryRow], version: int) -> int:
    """The version that brought the work of this one: pauses and resumes bring none."""
    for row in reversed(rows[:version]):
        stopped = row.to_state is RunState.PAUSED and row.to_status == row.from_status
        if row.cause is Cause.TRIGGER or row.cause is Cause.REPEAT or (row.cause is Cause.STEP and not stopped):
            return row.version
    return 1


def _limits(evidence: Evidence) -> Iterator[Violation]:
    for run_id, rows in evidence.histories.items():
        flow = evidence.workload.flow(evidence.runs[run_id].workflow)
        for row in rows:
            step = flow.step_of(row.from_status or "")
            if row.cause is not Cause.ERRORS or step is None:
                continue
            executions = evidence.executions.get((run_id, row.version - 1), ())
            failed = sum(execution.answer is Answer.RAISED for execution in executions)
            lost = len(evidence.journal.losses)
            if failed + lost < step.pause_after:
                yield Violation("I4", f"it was paused after {failed} failures, not {step.pause_after}", run_id)
    for (run_id, version), executions in evidence.executions.items():
        flow = evidence.workload.flow(executions[0].workflow)
        step = flow.step_of(executions[0].status)
        failed = sum(execution.answer is Answer.RAISED for execution in executions)
        lost = sum(loss.when > executions[0].began for loss in evidence.journal.losses)
        if step is not None and failed > step.pause_after + lost:
            yield Violation("I4", f"version {version} failed {failed} times and was not paused at {step.pause_after}", run_id)
