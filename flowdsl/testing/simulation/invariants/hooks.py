"""I4 again: hooks are told of everything that happened, and of nothing that did not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from flowdsl.model.change import CommitOutcome
from flowdsl.model.history import Cause, HistoryRow
from flowdsl.model.run_state import RunState
from flowdsl.testing.simulation.evidence import Evidence
from flowdsl.testing.simulation.invariants.executions import explained
from flowdsl.testing.simulation.invariants.states import BODIES
from flowdsl.testing.simulation.invariants.violation import Violation
from flowdsl.testing.simulation.journal import Answer, Execution, Kind

STATES = {"pause": RunState.PAUSED, "cancel": RunState.CANCELLED, "complete": RunState.COMPLETED}


def hooks_told(evidence: Evidence) -> Iterator[Violation]:
    """I4, hooks: each is told at least once of every event that it listens to, again only after it raised or its instance lost
    its claims, and never of what did not happen."""
    for run_id, rows in evidence.histories.items():
        flow = evidence.workload.flow(evidence.runs[run_id].workflow)
        told = [one for one in evidence.others.get(run_id, ()) if one.kind is Kind.HOOK]
        for event in flow.hooks:
            mine = [one for one in told if one.task == event]
            if event == "error":
                yield from _errors(evidence, run_id, rows, mine)
                continue
            expected = {row.version for row in rows if _concerns(event, row)}
            for version in expected:
                if not any(one.version == version and one.answer is Answer.STATUS for one in mine):
                    yield Violation("I4", f"no {event} hook was told of version {version}", run_id)
            yield from _sound(evidence, event, expected, rows, mine)


def _concerns(event: str, row: HistoryRow) -> bool:
    if event == "transition":
        return row.cause is Cause.TRIGGER or (row.cause in BODIES and row.to_status != row.from_status)
    state = STATES[event]
    return row.to_state is state and row.from_state is not state


def _sound(
    evidence: Evidence, event: str, expected: set[int], rows: Sequence[HistoryRow], told: Sequence[Execution]
) -> Iterator[Violation]:
    for one in told:
        if one.version not in expected:
            yield Violation("I4", f"a {event} hook was told of version {one.version}, which is no such event", one.run_id)
        elif (one.status, one.state) != (rows[one.version - 1].to_status, rows[one.version - 1].to_state):
            yield Violation("I4", f"a {event} hook was told another status or state than version {one.version} has", one.run_id)
    for version in expected:
        for before, after in pairwise([one for one in told if one.version == version]):
            if not explained(evidence, before, after):
                yield Violation("I4", f"a {event} hook was told of version {version} again without a reason", before.run_id)


def _errors(evidence: Evidence, run_id: str, rows: Sequence[HistoryRow], told: Sequence[Execution]) -> Iterator[Violation]:
    """Failed attempts are no versions: they are counted."""
    failures = {
        commit.change_id
        for commit in evidence.journal.commits
        if commit.failed and commit.outcome is CommitOutcome.APPLIED and commit.run_id.partition(":")[0] == run_id
    }
    expected = len(failures) + sum(row.cause is Cause.ERRORS for row in rows)
    heard = sum(one.answer is Answer.STATUS for one in told)
    if heard < expected:
        yield Violation("I4", f"error hooks were told {heard} times of {expected} failures", run_id)
