"""The answers to changes."""

from __future__ import annotations

from flowdsl.model.change import CommitOutcome, CommitResult, Refusal
from flowdsl_sql.database import to_datetime
from flowdsl_sql.rows import STATES

DONE = CommitResult(CommitOutcome.APPLIED)
DONE_BEFORE = CommitResult(CommitOutcome.ALREADY_APPLIED)
LOST = CommitResult(CommitOutcome.LOST)
NOT_FOUND = CommitResult(CommitOutcome.REFUSED, Refusal.NOT_FOUND)
FINISHED = CommitResult(CommitOutcome.REFUSED, Refusal.FINISHED)
CLAIMED = CommitResult(CommitOutcome.REFUSED, Refusal.CLAIMED)
NOT_CLAIMED = CommitResult(CommitOutcome.REFUSED, Refusal.NOT_CLAIMED)


def bad_data(detail: str) -> CommitResult:
    return CommitResult(CommitOutcome.REFUSED, Refusal.BAD_DATA, detail=detail)


def in_progress(run_id: str) -> CommitResult:
    return CommitResult(CommitOutcome.REFUSED, Refusal.IN_PROGRESS, run_id=run_id)


def key_taken(taken: tuple[str, bytes, bool]) -> CommitResult:
    """In: what `Draft.insert_items` found."""
    key, body, mine = taken
    return DONE_BEFORE if mine else CommitResult(CommitOutcome.REFUSED, Refusal.KEY_TAKEN, detail=key, item=body)


def earlier(state: int, at: int) -> CommitResult:
    """An earlier try of the change had committed."""
    return CommitResult(CommitOutcome.ALREADY_APPLIED, state=STATES[state], at=to_datetime(at))
