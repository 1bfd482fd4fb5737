"""I4: bodies run at least once, and not more often than what went wrong explains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from flowdsl.model.history import Cause, HistoryRow
from flowdsl.model.run_state import RunState
from flowdsl.testing.simulation.evidence import Evidence
from flowdsl.testing.simulation.invariants.states import BODIES
from flowdsl.testing.simulation.invariants.violation import Violation
from flowdsl.testing.simulation.journal import Answer, Execution, Kind


def at_least_once(evidence: Evidence) -> Iterator[Violation]:
    """I4, at least once and bounded: a version of a run is worked on again only after the execution before raised, or after its
    instance lost its claims; executions that are repeated carry one idempotency key, and different pieces of work different ones;
    what a body is told is what the store has; a run is paused for its errors after as many failures as its step allows."""
    for (run_id, version), executions in evidence.steps.items():
        rows = evidence.histories.get(run_id, ())
        yield from _told(executions, rows)
        for before, after in pairwise(executions):
            if not explained(evidence, before, after):
                yield Violation("I4", f"version {version} was worked on again without a reason", run_id)
    for run_id, executions in evidence.others.items():
        yield from _told([one for one in executions if one.kind is not Kind.HOOK], evidence.histories.get(run_id, ()))
    yield from _keys(evidence)
    yield from _limits(evidence)


def _told(executions: Sequence[Execution], rows: Sequence[HistoryRow]) -> Iterator[Violation]:
    for one in executions:
        if one.version > len(rows):
            yield Violation("I4", f"a {one.kind.value} was given version {one.version}, which does not exist", one.run_id)
            continue
        row = rows[one.version - 1]
        state = RunState.RUNNING if row.to_state is RunState.INITIATED and one.state is RunState.RUNNING else row.to_state
        if (one.status, one.state) != (row.to_status, state):
            what = f"a {one.kind.value} was told {one.status}, {one.state.name} of version {one.version}"
            yield Violation("I4", what, one.run_id)


def explained(evidence: Evidence, before: Execution, after: Execution) -> bool:
    """Whether there is a reason for the second. Also where the later of the two had lost its claim before it began, and did not
    know yet."""
    if before.answer is Answer.RAISED and before.ended is not None and before.ended < after.began:
        return True
    return lost(evidence, before) or lost(evidence, after)


def lost(evidence: Evidence, execution: Execution) -> bool:
    """Whether the claims of this execution's instance were lost after it began, and it has learnt that or ended since."""
    return any(loss.node == execution.node and loss.when > execution.began for loss in evidence.journal.losses)


def _keys(evidence: Evidence) -> Iterator[Violation]:
    """Of steps and timeouts: callbacks bring keys of their own."""
    keys: dict[str, tuple[str, int, Kind]] = {}
    works: dict[tuple[str, int, Kind], str] = {}
    for execution in evidence.journal.executions:
        if execution.kind not in (Kind.STEP, Kind.TIMEOUT):
            continue
        run_id = execution.run_id
        work = (run_id, task_version(evidence.histories.get(run_id, ()), execution.version), execution.kind)
        if keys.setdefault(execution.key, work) != work:
            yield Violation("I4", f"the idempotency key {execution.key} names two pieces of work", run_id)
        if works.setdefault(work, execution.key) != execution.key:
            yield Violation("I4", f"one piece of work has the idempotency keys {execution.key} and {works[work]}", run_id)


def task_version(rows: Sequence[HistoryRow], version: int) -> int:
    """The version that brought the work of this one: pauses and resumes bring none."""
    for row in reversed(rows[:version]):
        stopped = row.to_state is RunState.PAUSED and row.to_status == row.from_status
        if row.cause in (Cause.TRIGGER, Cause.REPEAT) or (row.cause in BODIES and not stopped):
            return row.version
    return 1


def _limits(evidence: Evidence) -> Iterator[Violation]:
    for run_id, rows in evidence.histories.items():
        flow = evidence.workload.flow(evidence.runs[run_id].workflow)
        if any(one.answer is Answer.RAISED for one in evidence.others.get(run_id, ()) if one.kind is not Kind.HOOK):
            continue  # it may have been another's failures
        for row in rows:
            step = flow.step_of(row.from_status or "")
            if row.cause is not Cause.ERRORS or step is None:
                continue
            executions = evidence.steps.get((run_id, row.version - 1), ())
            failed = sum(execution.answer is Answer.RAISED for execution in executions)
            if failed + len({loss.owner for loss in evidence.journal.losses}) < step.pause_after:
                yield Violation("I4", f"it was paused after {failed} failures, not {step.pause_after}", run_id)
    for (run_id, version), executions in evidence.steps.items():
        step = evidence.workload.flow(executions[0].workflow).step_of(executions[0].status)
        failed = sum(execution.answer is Answer.RAISED for execution in executions)
        losses = len({loss.owner for loss in evidence.journal.losses if loss.when > executions[0].began})
        if step is not None and failed > step.pause_after + losses:
            yield Violation("I4", f"version {version} failed {failed} times and was not paused at {step.pause_after}", run_id)
