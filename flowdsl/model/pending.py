"""Pending rows: the work to do. The run is the truth, its row says that something has to happen to it."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import IntEnum

from msgspec import Struct

from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState

NOW = timedelta(0)


class RowKind(IntEnum):
    """What a row asks for."""

    STEP = 0
    """Run the step of the run's status. At most one per run: its row id is the run id."""
    TIMEOUT = 1
    """Run a timeout of the visit, once its due time has come."""
    HOOK = 2
    """Tell a hook what happened to the run."""
    EVENT = 3
    DELETION = 4
    """Erase the data of a run."""
    CALLBACK = 5
    """Apply a callback that came before the run was in its status. `receiver` is that status."""
    UNKNOWN = 99
    """Made by newer code."""

    @classmethod
    def _missing_(cls, value: object) -> RowKind:
        return cls.UNKNOWN


MOVERS = frozenset({RowKind.STEP, RowKind.TIMEOUT, RowKind.CALLBACK})
"""Kinds of row whose function may move the run."""


class NewRow(Struct, frozen=True, kw_only=True, gc=False):
    """A row as a change asks for it. `delay` is counted from the commit by the store's clock."""

    row_id: str
    topic: str
    kind: RowKind = RowKind.STEP
    receiver: str = ""
    """The consumer's name where several may be interested; empty for a step."""
    delay: timedelta | None = NOW
    """None: parked, never due, until a later change of the run replaces or removes it."""
    due_at: datetime | None = None
    """When it is due by the store's clock, to the microsecond; `delay` does not count then. None: after `delay`."""
    owner: str | None = None
    """Handoff: the row is born claimed (delivery 1) by this owner."""
    priority: int = 0
    payload: bytes | None = None
    only_in: RunState | None = None
    """Add the row only when the change leaves the run in this state; None: in any. A waiting request may decide the state."""


class PendingRow(Struct, frozen=True, kw_only=True, gc=False):
    """A row as the store has it."""

    namespace: str
    workflow: str
    row_id: str
    topic: str
    kind: RowKind
    receiver: str
    run_id: str
    version: int
    """The run's version that made this row."""
    visit: int
    due_at: datetime | None
    """None: parked, or it stands still, see `remaining`."""
    created_at: datetime
    """When the event that it carries happened."""
    priority: int = 0
    owner: str | None = None
    delivery: int = 0
    """How often it was claimed. Together with `owner` it names one claim."""
    attempts: int = 0
    """Consecutive failures of the body."""
    lapses: int = 0
    """Claims that lapsed because their owner was gone."""
    last_error: str | None = None
    payload: bytes | None = None
    remaining: timedelta | None = None
    """Of a row that stands still while its run is paused: how long after the resume it is due. None: it does not stand still."""


class ClaimedRow(Struct, frozen=True, gc=False):
    """A row that is now ours, with its run as of the claim (None: the run is gone, the row is stale)."""

    row: PendingRow
    run: RunRecord | None


class TopicQuota(Struct, frozen=True):
    """How many rows of a topic a claim may take."""

    topic: str
    limit: int


class TopicDepth(Struct, frozen=True):
    """What waits in a topic: rows that are due and unclaimed, and how long the oldest has been due."""

    due: int
    oldest: timedelta
    waiting: int
    """Rows that are not due yet (retries, lags, timers); parked ones are not counted."""
