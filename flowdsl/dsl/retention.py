"""How long finished runs and idempotency keys are kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Retention:
    """Of runs, by how they ended, counted from their end. None: for ever."""

    completed: timedelta | None = None
    cancelled: timedelta | None = None
    deleted: timedelta | None = None
    """Runs whose data was deleted."""
    keys: timedelta | None = None
    """Idempotency keys, counted from their use. None: for ever."""
