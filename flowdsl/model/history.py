"""What a run went through: one row per version."""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from flowdsl.model.run_state import RunState


class Cause(StrEnum):
    """What made a run change."""

    TRIGGER = "trigger"
    STEP = "step"
    REPEAT = "repeat"
    CALLBACK = "callback"
    TIMEOUT = "timeout"
    CONTROL = "control"
    """Somebody paused, resumed, cancelled."""
    ERRORS = "errors"
    """Paused because a step failed too often."""
    AUTO_RESUME = "auto_resume"
    SWEEP = "sweep"
    """Given back the row that it should have had."""
    DELETION = "deletion"
    MIGRATION = "migration"
    UNKNOWN = "unknown"
    """Written by newer code under a name that this code does not know."""

    @classmethod
    def _missing_(cls, value: object) -> Cause:
        return cls.UNKNOWN


_INSTANCE = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_OF_WORKERS = frozenset({Cause.STEP, Cause.REPEAT, Cause.TIMEOUT, Cause.ERRORS, Cause.AUTO_RESUME, Cause.SWEEP})


def by_worker(cause: str, actor: str) -> bool:
    """Whether a worker alone made a change: its actor is then the identifier that an instance gives itself. What was stored
    together with a pause or cancel that somebody had asked for meanwhile has that person's name."""
    return cause in _OF_WORKERS and _INSTANCE.fullmatch(actor) is not None


class Origin(Struct, frozen=True, gc=False):
    """Why a change is made and by whom; it becomes the history row of the version that the change makes."""

    cause: Cause
    name: str = ""
    """The function that answered, for steps, callbacks and timeouts."""
    actor: str = ""
    """The person or instance behind it."""
    reason: str | None = None
    attempt: int = 1
    error: str | None = None


class HistoryRow(Struct, frozen=True, kw_only=True, gc=False):
    """One version of a run. Without the object: history is for people, the run has the data."""

    run_id: str
    version: int
    from_status: str | None
    to_status: str
    from_state: RunState
    to_state: RunState
    cause: Cause
    name: str
    actor: str
    reason: str | None
    error: str | None
    attempt: int
    change_id: str
    at: datetime
