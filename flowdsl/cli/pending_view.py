"""Something that waits to be done for a run. The keys of the JSON are these names; they stay."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import unquote

from msgspec import Struct

from flowdsl.engine.kept_callback import KeptCallback
from flowdsl.errors import PayloadError
from flowdsl.model.pending import PendingRow, RowKind


class PendingView(Struct, frozen=True, kw_only=True):
    """A row, without its payload: that may be the run's data."""

    row_id: str
    kind: str
    topic: str
    receiver: str
    name: str
    """Of the timeout, callback or hook; empty for others."""
    due_at: datetime | None
    """Null: parked, until something else moves the run."""
    owner: str | None
    """The instance that is working on it."""
    attempts: int
    deliveries: int
    lapses: int
    last_error: str | None
    created_at: datetime
    by: str | None = None
    """Who called back, of a kept callback."""
    kept_until: datetime | None = None
    """The same: when it is dropped; null: when the run ends."""

    @classmethod
    def of(cls, row: PendingRow) -> PendingView:
        kept = _kept(row)
        named = row.kind in (RowKind.TIMEOUT, RowKind.CALLBACK, RowKind.HOOK)
        return cls(
            row_id=row.row_id,
            kind=row.kind.name.lower(),
            topic=row.topic,
            receiver=row.receiver,
            name=unquote(row.topic.rpartition("/")[2]) if named else "",
            due_at=row.due_at,
            owner=row.owner,
            attempts=row.attempts,
            deliveries=row.delivery,
            lapses=row.lapses,
            last_error=row.last_error,
            created_at=row.created_at,
            by=None if kept is None else kept.actor,
            kept_until=None if kept is None else kept.expires_at,
        )


def _kept(row: PendingRow) -> KeptCallback | None:
    if row.kind is not RowKind.CALLBACK:
        return None
    try:
        return KeptCallback.of(row.payload)
    except PayloadError:  # newer code's
        return None
