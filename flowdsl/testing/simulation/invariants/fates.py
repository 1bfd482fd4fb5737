"""I1 and I2: what becomes of runs, and of what customers were told."""

from __future__ import annotations

from collections.abc import Iterator

from flowdsl.model.change import CommitOutcome
from flowdsl.model.pending import PendingRow, RowKind
from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState
from flowdsl.testing.simulation.evidence import Evidence
from flowdsl.testing.simulation.invariants.violation import Violation
from flowdsl.testing.simulation.journal import Answer, Order, Told

ENDED = {RunState.COMPLETED, RunState.CANCELLED}
DID_IT = {CommitOutcome.APPLIED, CommitOutcome.ALREADY_APPLIED}


def nothing_lost(evidence: Evidence) -> Iterator[Violation]:
    """I1, nothing lost: a run whose trigger was answered is there; every run has ended, or is paused with a stored reason, or was
    left alone by its own step (skip); a change that the store applied is in the history, and one that it refused is not; a pause
    or cancel that was accepted happened, unless the run ended first."""
    for trigger in evidence.journal.triggers:
        record = evidence.runs.get(trigger.run_id)
        if trigger.told in (Told.DONE, Told.FOUND):
            if record is None:
                yield Violation(
                    "I1", f"the trigger of {trigger.foreign_id} was answered, but its run is not there", trigger.run_id
                )
            elif (record.workflow, record.foreign_id) != (trigger.workflow, trigger.foreign_id):
                yield Violation("I1", f"the trigger of {trigger.foreign_id} was answered with another run", trigger.run_id)
    for record in evidence.runs.values():
        if record.state in ENDED or _skipped(evidence, record):
            continue
        if record.state is not RunState.PAUSED:
            yield Violation("I1", f"it is {record.state.name} in {record.status} in the end", record.run_id)
        elif not (record.reason or record.last_error):
            yield Violation("I1", "it is paused, and nobody knows why", record.run_id)
    yield from _answers_kept(evidence)
    for order in evidence.journal.orders:
        if order.told is Told.DONE and not _happened(evidence, order):
            yield Violation("I1", f"{order.verb} ({order.reason}) was accepted and never happened", order.run_id)


def _answers_kept(evidence: Evidence) -> Iterator[Violation]:
    stored = {row.change_id: (run_id, row.version) for run_id, rows in evidence.histories.items() for row in rows}
    applied = {commit.change_id for commit in evidence.journal.commits if commit.outcome in DID_IT}
    for commit in evidence.journal.commits:
        found = stored.get(commit.change_id)
        if commit.outcome in DID_IT and found != (commit.run_id, commit.version):
            yield Violation("I1", f"the store applied version {commit.version} and has not got it", commit.run_id)
        if commit.outcome not in DID_IT and found is not None and commit.change_id not in applied:
            yield Violation("I1", f"the store refused version {commit.version} and has it all the same", commit.run_id)
    for change_id, (run_id, version) in stored.items():
        if change_id not in applied:
            yield Violation("I1", f"version {version} is there, and the store never said that it applied it", run_id)


def _skipped(evidence: Evidence, record: RunRecord) -> bool:
    executions = evidence.executions.get((record.run_id, record.version), ())
    return bool(executions) and executions[-1].answer is Answer.SKIP and _step_row(evidence, record.run_id) is not None


def _step_row(evidence: Evidence, run_id: str) -> PendingRow | None:
    return next((row for row in evidence.rows.get(run_id, ()) if row.kind is RowKind.STEP), None)


def _happened(evidence: Evidence, order: Order) -> bool:
    record = evidence.runs.get(order.run_id)
    if record is None:
        return False
    if record.state in ENDED:
        return True  # as asked, or the run was faster
    if order.verb == "resume":
        return any(
            row.to_state is RunState.RUNNING and row.from_state is RunState.PAUSED for row in evidence.histories[order.run_id]
        )
    reasons = {other.reason for other in evidence.journal.orders if other.run_id == order.run_id and other.verb != "resume"}
    return order.verb == "pause" and any(
        row.to_state is RunState.PAUSED and row.reason in reasons and row.at >= order.asked_at
        for row in evidence.histories[order.run_id]
    )  # with a request that waited already, the run is paused once, for one of the reasons


def nothing_stuck(evidence: Evidence) -> Iterator[Violation]:
    """I2, nothing stuck: some time after the last fault no row is due, none is claimed by an instance that is gone, a run under
    way has a row unless its step skipped it, a run that is paused or has ended has none, no request waits, and every wait has
    been answered, truly."""
    for record in evidence.runs.values():
        row = _step_row(evidence, record.run_id)
        if record.requested is not None:
            yield Violation("I2", f"a request to be {record.requested.state.name} still waits", record.run_id)
        if record.state in (RunState.INITIATED, RunState.RUNNING):
            if row is None:
                yield Violation("I2", f"it is under way in {record.status} and has no row", record.run_id)
            elif row.due_at is not None:
                yield Violation("I2", f"its row has been due since {row.due_at}", record.run_id)
        elif row is not None:
            yield Violation("I2", f"it is {record.state.name} and has a row", record.run_id)
        for one in evidence.rows.get(record.run_id, ()):
            if one.owner is not None:
                who = "an instance" if one.owner in evidence.owners else "an instance that is gone"
                yield Violation("I2", f"{who} still has its row", record.run_id)
    for wait in evidence.journal.waits:
        ran = evidence.histories.get(wait.run_id, ())
        if wait.abandoned or not ran:
            continue
        passed = any(row.to_status == wait.status for row in ran)
        ended = ran[-1].to_state in ENDED
        if wait.done and wait.reached and not (ended if wait.status is None else passed):
            yield Violation("I2", f"a wait for {wait.status or 'the end'} was answered before it happened", wait.run_id)
        if wait.done and not wait.reached and passed:
            yield Violation("I2", f"a wait for {wait.status} was refused, and the run had been there", wait.run_id)
        if not wait.done and (ended or (wait.status is not None and passed)):
            yield Violation("I2", f"a wait for {wait.status or 'the end'} has no answer", wait.run_id)
