"""Operations on many runs, as they are ordered, counted and kept."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from flowdsl.model.query import Cursor
from flowdsl.model.run_state import RunState

S = RunState
UNFINISHED = (S.INITIATED, S.RUNNING, S.PAUSED)


class BulkVerb(StrEnum):
    """What is done to each run."""

    RETRY = "retry"
    MOVE = "move"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    DELETE = "delete"
    """Ask for the data to be erased."""


STATES: Mapping[BulkVerb, tuple[RunState, ...]] = {
    BulkVerb.RETRY: UNFINISHED,
    BulkVerb.MOVE: UNFINISHED,
    BulkVerb.PAUSE: UNFINISHED,  # of the paused ones those that errors paused
    BulkVerb.RESUME: (S.PAUSED,),
    BulkVerb.CANCEL: UNFINISHED,
    BulkVerb.DELETE: (S.COMPLETED, S.CANCELLED),
}
"""The states of the runs that a verb selects, whatever else is asked for: others could only refuse."""


class BulkOrder(Struct, frozen=True, kw_only=True):
    """What was ordered, by whom and why."""

    operation: str
    """The operation's id."""
    verb: BulkVerb
    where: str
    reason: str
    actor: str
    at: datetime
    """When, by the store's clock; runs started later are left alone, and spans of time in `where` are counted back from here."""
    to_status: str | None = None
    """Of a move: where to."""
    force: bool = False
    """Of a move or cancel: do not wait for a running step, and discard its result."""
    limit: int | None = None
    """At most this many runs; None: all."""


class Refused(Struct, frozen=True):
    """One reason for which runs stayed as they are."""

    count: int
    example: str
    """The id of the first of these runs."""


MOST_REASONS = 20
"""Different refusals that a report tells apart."""


class BulkReport(Struct, frozen=True, kw_only=True):
    """What has become of an operation."""

    operation: str
    dry_run: bool = False
    """Nothing was changed or kept: `done` counts what would be."""
    done: int = 0
    waiting: int = 0
    """Pauses and cancels that a running step's commit will apply."""
    refused: int = 0
    passed: int = 0
    """Runs that were no longer meant when their turn came."""
    refusals: Mapping[str, Refused] = {}
    """Refusals by their text: the first so many different ones."""
    finished: bool = False
    """Every run has had its turn."""

    @property
    def turns(self) -> int:
        """Runs that have had their turn."""
        return self.done + self.waiting + self.refused + self.passed


class BulkState(Struct, frozen=True, kw_only=True):
    """An operation under way, as it is kept: enough to go on in any process."""

    order: BulkOrder
    report: BulkReport
    batch: tuple[str, ...] = ()
    """The ids of the runs whose turn it is; some of them may have had it."""
    after: Cursor | None = None
    """Where to look for those that follow."""
    last: bool = False
    """None follow."""


class OperationEntry(Struct, frozen=True, kw_only=True):
    """An operation for whoever asks later: who did what to which runs, when, why, and what became of it."""

    key: str
    """Names the entry; the newest comes first in order of keys."""
    operation: str
    verb: str
    at: datetime
    actor: str
    reason: str
    where: str
    details: Mapping[str, str] = {}
    done: int = 0
    waiting: int = 0
    refused: int = 0
    passed: int = 0
    finished_at: datetime | None = None
    """None: it is under way, or was left unfinished."""
