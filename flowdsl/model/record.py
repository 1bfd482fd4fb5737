"""The stored run. Typed views of it (`Run[Object, Status]`) are made in `flowdsl.dsl`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from flowdsl.model.run_state import RunState


class Payload(Struct, frozen=True, gc=False):
    """An object as it is stored."""

    data: bytes
    content_type: str = "application/json"
    schema_version: int = 1


class ControlRequest(Struct, frozen=True, gc=False):
    """A pause or cancel that waits for the running step, timeout or kept callback to commit. Stored beside the run, outside its
    version."""

    state: RunState
    """PAUSED or CANCELLED."""
    reason: str
    actor: str


class RunRecord(Struct, frozen=True, kw_only=True, gc=False):
    """One run as the store has it. Times are the store's, in UTC."""

    namespace: str = "default"
    workflow: str
    run_id: str
    foreign_id: str
    status: str
    state: RunState
    version: int
    """1 when triggered, one more with every change. The compare-and-set is on this."""
    visit: int = 1
    """Counts the entries into a status (a repeat is no entry), so that a timer knows which stay it belongs to."""
    task_version: int = 1
    """The version that brought the step's present work: of the trigger, the last transition or the last repeat. A pause and a
    resume leave it, so that idempotency keys outlive them."""
    payload: Payload | None
    created_at: datetime
    updated_at: datetime
    change_id: str
    """Who wrote this version."""
    reason: str | None = None
    """Why it is paused or cancelled."""
    actor: str | None = None
    """Who paused or cancelled it."""
    last_error: str | None = None
    """The error that paused it; None again after the next transition or resume."""
    auto_resumes: int = 0
    """How often it was resumed by itself in this status."""
    requested: ControlRequest | None = None
    metadata: Mapping[str, str] = {}
    tags: tuple[str, ...] = ()
    parent_run_id: str | None = None
    priority: int = 0
    """Higher is claimed first among rows that are due."""

    @property
    def finished(self) -> bool:
        return self.state.finished
