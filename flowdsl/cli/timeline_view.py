"""One run with its history, what waits for it, and its object. The keys of the JSON are these names; they stay."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from flowdsl.cli.pending_view import PendingView
from flowdsl.cli.run_view import RunView
from flowdsl.engine.receipt import Receipt
from flowdsl.model.history import HistoryRow
from flowdsl.model.pending import PendingRow
from flowdsl.model.record import Payload, RunRecord


class ChangeView(Struct, frozen=True, kw_only=True):
    """One version of the run and how it came about."""

    version: int
    at: datetime
    seconds: float | None
    """Since the version before; null for the first."""
    from_status: str | None
    to_status: str
    from_state: str
    to_state: str
    cause: str
    name: str
    actor: str
    reason: str | None
    error: str | None
    attempt: int

    @classmethod
    def of(cls, row: HistoryRow, before: HistoryRow | None) -> ChangeView:
        return cls(
            version=row.version,
            at=row.at,
            seconds=None if before is None else (row.at - before.at).total_seconds(),
            from_status=row.from_status,
            to_status=row.to_status,
            from_state=row.from_state.name.lower(),
            to_state=row.to_state.name.lower(),
            cause=row.cause.value,
            name=row.name,
            actor=row.actor,
            reason=row.reason,
            error=row.error,
            attempt=row.attempt,
        )

    @property
    def lasted(self) -> timedelta | None:
        """The time between the version before and this one."""
        return None if self.seconds is None else timedelta(seconds=self.seconds)


class TimelineView(Struct, frozen=True, kw_only=True):
    """A run and everything about it. `object` is left out when it was not asked for, null when the run has none, and a text that
    says so when what is stored is not JSON."""

    run: RunView
    object: Raw | str | UnsetType | None = UNSET
    history: Sequence[ChangeView]
    pending: Sequence[PendingView]
    receipt: Receipt | None = None
    """What was erased of it; null: nothing."""

    @classmethod
    def of(
        cls,
        record: RunRecord,
        history: Sequence[HistoryRow],
        pending: Sequence[PendingRow],
        receipt: Receipt | None = None,
        *,
        with_object: bool,
    ) -> TimelineView:
        return cls(
            run=RunView.of(record),
            object=_object(record.payload) if with_object else UNSET,
            history=[ChangeView.of(row, before) for row, before in zip(history, [None, *history], strict=False)],
            pending=[PendingView.of(row) for row in pending],
            receipt=receipt,
        )


def _object(payload: Payload | None) -> Raw | str | None:
    if payload is None:
        return None
    try:
        msgspec.json.decode(payload.data)
    except (ValueError, msgspec.DecodeError, RecursionError):
        return f"{len(payload.data)} bytes of {payload.content_type}"
    return Raw(payload.data)
