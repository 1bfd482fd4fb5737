"""A run as the command line shows it. The keys of the JSON are these names; they stay."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from flowdsl.model.query import Cursor
from flowdsl.model.record import ControlRequest, RunRecord
from flowdsl.model.run_state import RunState


class StateName(StrEnum):
    """The states that a run can be in, as they are typed and printed."""

    INITIATED = "initiated"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    DATA_DELETED = "data_deleted"
    REQUESTED_DATA_DELETED = "requested_data_deleted"

    @property
    def state(self) -> RunState:
        return RunState[self.name]


class RequestView(Struct, frozen=True):
    """A pause or cancel that waits for the function that is being executed."""

    state: str
    reason: str
    actor: str

    @classmethod
    def of(cls, request: ControlRequest) -> RequestView:
        return cls(request.state.name.lower(), request.reason, request.actor)


class RunView(Struct, frozen=True, kw_only=True):
    """A run without its object."""

    run_id: str
    workflow: str
    foreign_id: str
    status: str
    state: str
    version: int
    created_at: datetime
    updated_at: datetime
    reason: str | None
    actor: str | None
    last_error: str | None
    requested: RequestView | None
    metadata: Mapping[str, str]
    tags: tuple[str, ...]
    parent_run_id: str | None
    priority: int
    cursor: str
    """Where a list goes on after this run: the value of --after."""

    @classmethod
    def of(cls, record: RunRecord) -> RunView:
        return cls(
            run_id=record.run_id,
            workflow=record.workflow,
            foreign_id=record.foreign_id,
            status=record.status,
            state=record.state.name.lower(),
            version=record.version,
            created_at=record.created_at,
            updated_at=record.updated_at,
            reason=record.reason,
            actor=record.actor,
            last_error=record.last_error,
            requested=None if record.requested is None else RequestView.of(record.requested),
            metadata=record.metadata,
            tags=record.tags,
            parent_run_id=record.parent_run_id,
            priority=record.priority,
            cursor=Cursor(record.created_at, record.run_id).encode(),
        )

    @property
    def note(self) -> str:
        """Why it stands where it stands, if there is a reason."""
        if self.requested is not None:
            return f"to be {self.requested.state}: {self.requested.reason}"
        return self.last_error or self.reason or ""
