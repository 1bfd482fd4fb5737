"""The receipt of a deletion."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct


class Receipt(Struct, frozen=True, kw_only=True):
    """What was erased of a run. Its id, foreign id, statuses, times, metadata and tags stay."""

    run_id: str
    workflow: str
    requested_by: str
    erased_at: datetime
    object: str
    """What became of the object."""
    history: str = "reasons and errors erased"
    rows: str = "payloads and errors erased, kept callbacks removed"
    dead_letters: int = 0
    """How many were removed."""
