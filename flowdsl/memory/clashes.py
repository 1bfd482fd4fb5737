"""Changes that cannot commit together because two of them want the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flowdsl.model.change import Change, CommitOutcome, CommitResult, MoveRun, Refusal, StartRun


def clashes(changes: Sequence[Change]) -> Mapping[int, CommitResult]:
    """Why a change cannot be applied beside an earlier one, by its place: one foreign id is to have two runs, or one key two
    items."""
    found: dict[int, CommitResult] = {}
    begun: dict[tuple[str, str, str], str] = {}
    bodies: dict[tuple[str, str, str], bytes] = {}
    for place, change in enumerate(changes):
        if not isinstance(change, (StartRun, MoveRun)):
            continue
        if isinstance(change, StartRun):
            run_id = begun.setdefault((change.namespace, change.workflow, change.foreign_id), change.run_id)
            if run_id != change.run_id:
                found[place] = CommitResult(CommitOutcome.REFUSED, Refusal.IN_PROGRESS, run_id=run_id)
        for item in change.items:
            name = (change.namespace, item.kind, item.key)
            if name in bodies and not item.replace:
                found[place] = CommitResult(CommitOutcome.REFUSED, Refusal.KEY_TAKEN, detail=item.key, item=bodies[name])
            bodies[name] = item.body
    return found
