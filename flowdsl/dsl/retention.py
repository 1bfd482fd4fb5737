"""How long finished runs are kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Retention:
    """By how a run ended, counted from its end. None: for ever."""

    completed: timedelta | None = None
    cancelled: timedelta | None = None
    deleted: timedelta | None = None
    """Runs whose data was deleted."""
