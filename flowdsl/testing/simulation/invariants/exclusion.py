"""I5, I6 and I9: what must never be two, and what must never move."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from flowdsl.model.history import Cause, HistoryRow
from flowdsl.model.run_state import RunState
from flowdsl.testing.simulation.evidence import Evidence
from flowdsl.testing.simulation.fault import ROLES_LIE, Fault
from flowdsl.testing.simulation.invariants.states import ERASURES, FINISHED, WAKES
from flowdsl.testing.simulation.invariants.violation import Violation
from flowdsl.testing.simulation.journal import Execution, Kind, Told


def one_unfinished_run(evidence: Evidence) -> Iterator[Violation]:
    """I5, one unfinished run: of one workflow and foreign id never two runs are unfinished at a time; an idempotency key names
    one run; a trigger that was refused had such a run in its way."""
    lives = defaultdict(list)
    for run_id, rows in evidence.histories.items():
        record = evidence.runs[run_id]
        end = next((row.at for row in rows if row.to_state in FINISHED), None)
        lives[record.workflow, record.foreign_id].append((rows[0].at, end, run_id))
    for (_, foreign_id), spans in lives.items():
        spans.sort(key=lambda span: (span[0], span[1] is None, span[1]))
        for (_, end, _), (begin, _, run_id) in pairwise(spans):
            if end is None or end > begin:
                yield Violation("I5", f"{foreign_id} had two unfinished runs", run_id)
    named: dict[tuple[str, str], str] = {}
    for trigger in evidence.journal.triggers:
        if trigger.key is not None and trigger.told in (Told.DONE, Told.FOUND):
            first = named.setdefault((trigger.workflow, trigger.key), trigger.run_id)
            if first != trigger.run_id:
                yield Violation("I5", f"the idempotency key {trigger.key} was answered with two runs", trigger.run_id)
        if trigger.told is Told.REFUSED:
            other = evidence.runs.get(trigger.run_id)
            if other is None or (other.workflow, other.foreign_id) != (trigger.workflow, trigger.foreign_id):
                yield Violation("I5", f"the trigger of {trigger.foreign_id} was refused for a run that is not in its way")


def nothing_moves_what_stands(evidence: Evidence) -> Iterator[Violation]:
    """I6, nothing moves what stands: a run that has ended gets no further version but by the deletion of its data, a paused one
    only by being resumed or cancelled (or, paused for errors, by a person's pause), an automatic resume only follows a pause for
    errors, and no step, timeout or callback begins on a run that is paused or has ended."""
    executions: dict[str, list[Execution]] = {}
    for execution in evidence.journal.executions:
        executions.setdefault(execution.run_id, []).append(execution)
    for run_id, rows in evidence.histories.items():
        for row in rows:
            if row.from_state in FINISHED and row.to_state not in ERASURES[row.from_state]:
                yield Violation("I6", f"version {row.version} moved a run that was {row.from_state.name}", run_id)
            if row.from_state is RunState.PAUSED and not _may_follow_a_pause(rows[row.version - 2], row):
                yield Violation("I6", f"version {row.version} ({row.cause}) moved a paused run", run_id)
            if row.cause is Cause.AUTO_RESUME and rows[row.version - 2].cause is not Cause.ERRORS:
                yield Violation("I6", f"version {row.version} resumed by itself what a person had paused", run_id)
        for execution in executions.get(run_id, ()):
            if execution.version > len(rows) or execution.kind is Kind.HOOK:
                continue
            state = rows[execution.version - 1].to_state
            if state is RunState.PAUSED or state in FINISHED:
                what = f"a {execution.kind.value} began on version {execution.version}, which is {state.name}"
                yield Violation("I6", what, run_id)


def _may_follow_a_pause(before: HistoryRow, row: HistoryRow) -> bool:
    if row.to_state is RunState.PAUSED:
        return before.cause is Cause.ERRORS and row.cause is Cause.CONTROL
    return row.cause in WAKES and row.to_state in (RunState.RUNNING, RunState.CANCELLED)


def one_holder(evidence: Evidence) -> Iterator[Violation]:
    """I9, one holder: a role that changes hands gets a greater token, and at no moment two processes act in one role (unless the
    role scheduler itself lies, clocks run too fast for its leases, or an answer is lost that took a role away: for two thirds of
    a lease its holder does not know)."""
    if evidence.faults & ROLES_LIE:
        return
    last: dict[str, tuple[str, int]] = {}
    for lease in evidence.journal.granted:
        member, token = last.get(lease.role, (lease.member, 0))
        if lease.token < token or (lease.member != member and lease.token == token):
            yield Violation("I9", f"{lease.role} went from {member} ({token}) to {lease.member} with token {lease.token}")
        last[lease.role] = (lease.member, lease.token)
    if not evidence.faults & {Fault.CLOCK_DRIFT, Fault.LOST_ANSWER}:
        for held in evidence.journal.held:
            if len(held.nodes) > 1:
                yield Violation("I9", f"{' and '.join(held.nodes)} act as {held.role} at one time")
