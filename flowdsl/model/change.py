"""Changes: what a commit is made of. Each is applied whole or not at all, by its own condition, whatever stands beside it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum

from msgspec import Struct

from flowdsl.model.history import Origin
from flowdsl.model.item import ItemKey, NewItem
from flowdsl.model.pending import NewRow
from flowdsl.model.record import ControlRequest, Payload
from flowdsl.model.run_state import RunState


class StartRun(Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """Insert a run, version 1, state INITIATED. Condition: no unfinished run of (namespace, workflow, foreign_id),
    and all `items` are free."""

    change_id: str
    namespace: str
    workflow: str
    run_id: str
    foreign_id: str
    status: str
    payload: Payload | None
    origin: Origin
    row: NewRow | None
    """The step row; None when nothing consumes the status."""
    side_rows: tuple[NewRow, ...] = ()
    """Timeouts of the first visit."""
    items: tuple[NewItem, ...] = ()
    metadata: Mapping[str, str] = {}
    tags: tuple[str, ...] = ()
    parent_run_id: str | None = None
    priority: int = 0


class MoveRun(Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """Change a run. Condition: its version is `version`.

    The step row is replaced by `row` (or removed), in the same transaction. When `to_state` stops the run, or a waiting
    ControlRequest does, no step row is left.
    """

    change_id: str
    namespace: str
    workflow: str
    run_id: str
    version: int
    """The version that this change was computed from; the new one is one more."""
    from_status: str
    from_state: RunState
    to_status: str
    to_state: RunState
    origin: Origin
    payload: Payload | None = None
    """The object's new value; None keeps the stored one."""
    row: NewRow | None = None
    side_rows: tuple[NewRow, ...] = ()
    """Timeouts of the new visit, hooks, events; they stand beside the step row. Timeouts of a run that this change, or a
    waiting request, pauses are stored suspended."""
    erase: bool = False
    """Forget the data: `payload` (None: no object) takes the object's place, and reasons and errors of the run and its history,
    errors of its rows, and the payloads of rows beside it go. Kept callbacks go whole."""
    settle: str | None = None
    """A side row that this change completes: removed with it."""
    items: tuple[NewItem, ...] = ()
    drop_items: tuple[ItemKey, ...] = ()
    new_visit: bool = False
    """The run enters a status: the visit is counted, timeouts of the earlier visit are removed, kept callbacks of the status
    become due and those of others wait on."""
    new_task: bool = False
    """What follows is new work (a transition or a repeat), not another try of the same: it gets a new idempotency key."""
    auto_resumes: int = 0
    unless_claimed: bool = False
    """Refuse (CLAIMED) when an owner holds the run's step row: what moves the run must not fall between a step and its commit."""
    unless_moving: bool = False
    """The same when an owner holds any row whose function may move the run: its step's, a timeout's, a kept callback's. So none
    begins or goes on after a pause."""
    honour_request: bool = True
    """Apply a waiting ControlRequest on top: with to_state RUNNING or PAUSED the request's state, reason and actor win, so that
    a cancel outlives the pause of a step that failed too often. In any case the request is gone afterwards."""


class RequestControl(Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """Leave a pause or cancel for the function that is running. Condition: the run is unfinished, and its step row, a timeout or
    a kept callback is claimed; otherwise refused (NOT_CLAIMED, FINISHED). A cancel replaces a waiting pause, never the other way
    round."""

    change_id: str
    run_id: str
    request: ControlRequest


class AddRow(Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """Add a row beside a run's step row and leave the run as it is. Condition: the run's version is `version`, it is unfinished
    (NOT_FOUND, FINISHED), and all `items` are free.

    A CALLBACK row becomes due when the run enters the status that its `receiver` names, and when the run ends. The row of a
    paused run is stored suspended, as its timeouts are.
    """

    change_id: str
    namespace: str
    workflow: str
    run_id: str
    version: int
    row: NewRow
    instead_of: str | None = None
    """The id of another row beside the run's step row, which goes. A further condition: it is there and nobody has claimed it
    (else LOST)."""
    items: tuple[NewItem, ...] = ()


class FailRow(Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """A failed attempt: count it, keep the error, give up the claim, due again after `delay`. Condition: the claim
    (`owner`, `delivery` and, where it is given, `version`) still stands. If a ControlRequest waits at the run that the row may
    move, it is due at once. Of a run whose data is deleted neither the error nor the payloads of `side_rows` are kept: they may
    hold it."""

    change_id: str
    row_id: str
    owner: str
    delivery: int
    error: str
    delay: timedelta
    version: int | None = None
    """The run's version that made the row. A step row counts deliveries anew with each version: without it a change that comes
    late may meet a later claim of its own owner. None: any."""
    side_rows: tuple[NewRow, ...] = ()
    """Hooks that want to know of it; added beside the row's run."""


class ReleaseRow(Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """Give back a row whose body has not begun, or came to nothing without failing: as if it had never been claimed, but that the
    delivery stays counted, so that the same asked twice meets no later claim. Condition: the claim still stands."""

    change_id: str
    row_id: str
    owner: str
    delivery: int
    version: int | None = None
    """As in FailRow."""
    delay: timedelta | None = None
    """Due again this long after the commit; None: when it was due."""


class ParkRow(Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """A step answered skip: keep the row so that everybody sees why nothing happens, but never due. Condition: the claim
    still stands."""

    change_id: str
    row_id: str
    owner: str
    delivery: int
    version: int | None = None
    """As in FailRow."""
    unless_requested: bool = False
    """A further condition: no ControlRequest waits at the run (else REQUESTED, and the claim stands). Whoever parks the last row
    that it waited for has to apply it with what gives up the claim: a process may die before it does anything else."""


class DropRow(Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """Remove a row that nothing needs any more (its run is gone or stopped). Condition: the claim still stands."""

    change_id: str
    row_id: str
    owner: str
    delivery: int
    version: int | None = None
    """As in FailRow."""
    unless_requested: bool = False
    """As in ParkRow."""


class PutItems(Struct, frozen=True, kw_only=True, tag=True, gc=False):
    """Insert and remove items without a run. Condition: every inserted key without `replace` is free."""

    change_id: str
    namespace: str
    items: tuple[NewItem, ...] = ()
    drop: tuple[ItemKey, ...] = ()
    drop_due_only: bool = False
    """Of `drop`, leave what is not due: somebody may have put it there anew since it was looked at."""


Change = StartRun | MoveRun | AddRow | RequestControl | FailRow | ReleaseRow | ParkRow | DropRow | PutItems


class CommitOutcome(Enum):
    """What became of a change."""

    APPLIED = "applied"
    ALREADY_APPLIED = "already applied"
    """An earlier try of this very change (same change id) had committed."""
    LOST = "lost"
    """Its condition no longer held: somebody else was first."""
    REFUSED = "refused"
    """The store will not take it; `refusal` says why."""


class Refusal(Enum):
    """Why a change was refused."""

    IN_PROGRESS = "the foreign id has an unfinished run"
    KEY_TAKEN = "an item of this key exists"
    NOT_FOUND = "there is no such run"
    FINISHED = "the run is finished"
    CLAIMED = "a function that may move the run is being executed"
    NOT_CLAIMED = "no function that may move the run is being executed"
    BAD_DATA = "the store cannot hold this data"
    REQUESTED = "a pause or cancel waits for this function"


class CommitResult(Struct, frozen=True, gc=False):
    """The answer to one change."""

    outcome: CommitOutcome
    refusal: Refusal | None = None
    run_id: str | None = None
    """IN_PROGRESS: the unfinished run."""
    state: RunState | None = None
    """The run's state after a StartRun or MoveRun was applied (a waiting request may have changed it)."""
    at: datetime | None = None
    """When a StartRun or MoveRun was applied, by the store's clock."""
    detail: str | None = None
    """BAD_DATA: what the store said. KEY_TAKEN: the key."""
    item: bytes | None = None
    """KEY_TAKEN: the body of the item that has the key."""
    requested: ControlRequest | None = None
    """FailRow, ReleaseRow, ParkRow, DropRow: the request that waits at the run, now that this row is not claimed any more.
    REQUESTED: the one that keeps it claimed."""

    @property
    def applied(self) -> bool:
        return self.outcome in (CommitOutcome.APPLIED, CommitOutcome.ALREADY_APPLIED)
