"""I1 and I2: what becomes of runs, and of what customers were told."""

from __future__ import annotations

from collections.abc import Iterator

from flowdsl.model.change import CommitOutcome
from flowdsl.model.history import Cause
from flowdsl.model.pending import PendingRow, RowKind
from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState
from flowdsl.testing.simulation.evidence import Evidence
from flowdsl.testing.simulation.invariants.executions import lost
from flowdsl.testing.simulation.invariants.states import ENDED, FINISHED, UNDER_WAY
from flowdsl.testing.simulation.invariants.violation import Violation
from flowdsl.testing.simulation.journal import Answer, Order, Told
from flowdsl.testing.simulation.workload import Door

STORED = {Answer.STATUS, Answer.PAUSE, Answer.CANCEL, Answer.REPEAT}
DID_IT = {CommitOutcome.APPLIED, CommitOutcome.ALREADY_APPLIED}


def nothing_lost(evidence: Evidence) -> Iterator[Violation]:
    """I1, nothing lost: a run whose trigger was answered is there; every run has ended, is paused with a stored reason, or waits
    for a person (its step skipped it, or a callback is all that leads on); a change that the store applied is in the history,
    and one that it refused is not; a pause, cancel or deletion that was accepted happened, unless the run ended first."""
    for trigger in evidence.journal.triggers:
        record = evidence.runs.get(trigger.run_id)
        if trigger.told in (Told.DONE, Told.FOUND):
            if record is None:
                yield Violation("I1", f"the trigger of {trigger.foreign_id} was answered, its run is not there", trigger.run_id)
            elif (record.workflow, record.foreign_id) != (trigger.workflow, trigger.foreign_id):
                yield Violation("I1", f"the trigger of {trigger.foreign_id} was answered with another run", trigger.run_id)
    for record in evidence.runs.values():
        if record.state in ENDED or record.state is RunState.DATA_DELETED or _waits_for_a_person(evidence, record):
            continue
        if record.state is not RunState.PAUSED:
            yield Violation("I1", f"it is {record.state.name} in {record.status} in the end", record.run_id)
        elif not (record.reason or record.last_error):
            yield Violation("I1", "it is paused, and nobody knows why", record.run_id)
    yield from _answers_kept(evidence)
    for order in evidence.journal.orders:
        if order.told is Told.DONE and not _happened(evidence, order):
            yield Violation("I1", f"{order.verb} ({order.reason}) was accepted and never happened", order.run_id)


def no_work_wasted(evidence: Evidence) -> Iterator[Violation]:
    """I1, no work wasted: what a step answered is stored, unless its instance lost its claims afterwards, or somebody cancelled
    the run at any price. So a pause or cancel waits for the step that is under way."""
    forced = {order.run_id for order in evidence.journal.orders if order.verb == "force"}
    for (run_id, version), executions in evidence.steps.items():
        rows = evidence.histories.get(run_id, ())
        for one in executions:
            if one.answer not in STORED or run_id in forced or lost(evidence, one):
                continue
            if version >= len(rows) or rows[version].cause not in (Cause.STEP, Cause.REPEAT):
                yield Violation("I1", f"the answer of a step on version {version} ({one.answer.value}) was thrown away", run_id)


def _answers_kept(evidence: Evidence) -> Iterator[Violation]:
    stored = {row.change_id: (run_id, row.version) for run_id, rows in evidence.histories.items() for row in rows}
    commits = [commit for commit in evidence.journal.commits if not commit.failed]
    applied = {commit.change_id for commit in commits if commit.outcome in DID_IT}
    for commit in commits:
        found = stored.get(commit.change_id)
        if commit.outcome in DID_IT and found != (commit.run_id, commit.version):
            yield Violation("I1", f"the store applied version {commit.version} and has not got it", commit.run_id)
        if commit.outcome not in DID_IT and found is not None and commit.change_id not in applied:
            yield Violation("I1", f"the store refused version {commit.version} and has it all the same", commit.run_id)
    for change_id, (run_id, version) in stored.items():
        if change_id not in applied:
            yield Violation("I1", f"version {version} is there, and the store never said that it applied it", run_id)


def _waits_for_a_person(evidence: Evidence, record: RunRecord) -> bool:
    if record.state not in UNDER_WAY:
        return False
    flow = evidence.workload.flow(record.workflow)
    if flow.step_of(record.status) is None:
        return record.status in flow.edges(Door) and flow.timer_of(record.status) is None
    executions = evidence.steps.get((record.run_id, record.version), ())
    return bool(executions) and executions[-1].answer is Answer.SKIP and _step_row(evidence, record.run_id) is not None


def _step_row(evidence: Evidence, run_id: str) -> PendingRow | None:
    return next((row for row in evidence.rows.get(run_id, ()) if row.kind is RowKind.STEP), None)


def _happened(evidence: Evidence, order: Order) -> bool:
    record = evidence.runs.get(order.run_id)
    if record is None:
        return False
    if order.verb == "delete":
        return record.state is RunState.DATA_DELETED
    if record.state in FINISHED:
        return True  # as asked, or the run was faster
    if order.verb == "resume":
        return any(row.from_state is RunState.PAUSED for row in evidence.histories[order.run_id])
    reasons = {other.reason for other in evidence.journal.orders if other.run_id == order.run_id and other.verb != "resume"}
    return order.verb == "pause" and any(
        row.to_state is RunState.PAUSED and row.reason in reasons and row.at >= order.asked_at
        for row in evidence.histories[order.run_id]
    )  # with a request that waited already, the run is paused once, for one of the reasons


def nothing_stuck(evidence: Evidence) -> Iterator[Violation]:
    """I2, nothing stuck: some time after the last fault no row is due, none is claimed by an instance that is gone, a run under
    way in a status with a step has a row unless the step skipped it, a run that is paused or has ended has none, no request
    waits, and every wait has been answered, truly."""
    for record in evidence.runs.values():
        row = _step_row(evidence, record.run_id)
        if record.requested is not None:
            yield Violation("I2", f"a request to be {record.requested.state.name} still waits", record.run_id)
        if record.state in UNDER_WAY:
            if row is None and evidence.workload.flow(record.workflow).step_of(record.status) is not None:
                yield Violation("I2", f"it is under way in {record.status} and has no row", record.run_id)
        elif row is not None:
            yield Violation("I2", f"it is {record.state.name} and has a row", record.run_id)
        for one in evidence.rows.get(record.run_id, ()):
            if one.owner is not None:
                who = "an instance" if one.owner in evidence.owners else "an instance that is gone"
                yield Violation("I2", f"{who} still has its {one.kind.name} row", record.run_id)
            elif one.due_at is not None:
                yield Violation("I2", f"its {one.kind.name} row has been due since {one.due_at}", record.run_id)
    for wait in evidence.journal.waits:
        ran = evidence.histories.get(wait.run_id, ())
        if wait.abandoned or not ran:
            continue
        passed = any(row.to_status == wait.status for row in ran)
        ended = ran[-1].to_state in FINISHED
        if wait.done and wait.reached and not (ended if wait.status is None else passed):
            yield Violation("I2", f"a wait for {wait.status or 'the end'} was answered before it happened", wait.run_id)
        if wait.done and not wait.reached and passed:
            yield Violation("I2", f"a wait for {wait.status} was refused, and the run had been there", wait.run_id)
        if not wait.done and (ended or (wait.status is not None and passed)):
            yield Violation("I2", f"a wait for {wait.status or 'the end'} has no answer", wait.run_id)
