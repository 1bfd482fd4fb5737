"""I3 for runs that steps start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from flowdsl.model.history import Cause
from flowdsl.testing.simulation.evidence import Evidence
from flowdsl.testing.simulation.invariants.violation import Violation
from flowdsl.testing.simulation.workload import child_of


def stored_together(evidence: Evidence) -> Iterator[Violation]:
    """I3, stored together: a run that a step starts beside its answer is there once if the answer was stored, and is not there if
    it was not."""
    starting = {(flow.name, step.from_.value): step.starts for flow in evidence.workload.flows for step in flow.steps}
    if not any(starting.values()):
        return
    wanted: Counter[tuple[str, str, str]] = Counter()
    for run_id, rows in evidence.histories.items():
        record = evidence.runs[run_id]
        for row in rows:
            started = starting.get((record.workflow, row.from_status or ""), "")
            if started and row.cause is Cause.STEP and row.to_status != row.from_status:
                wanted[run_id, started, child_of(run_id, row.from_status or "")] += 1
    found = Counter(
        (record.parent_run_id, record.workflow, record.foreign_id)
        for record in evidence.runs.values()
        if record.parent_run_id is not None
    )
    for parent, workflow, foreign_id in found.keys() | wanted.keys():
        have, want = found[parent, workflow, foreign_id], wanted[parent or "", workflow, foreign_id]
        if have != want:
            what = f"{have} runs of {workflow} {foreign_id} were started, by {want} transitions"
            yield Violation("I3", what, parent or "")
