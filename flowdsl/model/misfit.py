"""What does not fit between the code of a workflow and its stored runs."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from msgspec import Struct


class MisfitKind(StrEnum):
    """Short names of what can be wrong; they stay."""

    UNKNOWN_STATUS = "unknown-status"
    """Unfinished runs are in a status that the code does not have."""
    NO_WAY_ON = "no-way-on"
    """Unfinished runs are in a status from which nothing of the code leads on."""
    ENDED_STATUS = "ended-status"
    """Unfinished runs are in a status in which runs end in this code: nothing will complete them."""
    UNREADABLE_OBJECT = "unreadable-object"
    """The code cannot read stored objects."""
    NEWER_OBJECT = "newer-object"
    """Stored objects have a newer schema version than the code."""
    LOST_TIMEOUT = "lost-timeout"
    """Runs wait for a timeout that the code does not have."""
    LOST_CALLBACK = "lost-callback"
    """Callbacks are kept for runs, and the code would not apply them."""
    FAILING_MIGRATION = "failing-migration"
    """A declared migration fails on stored objects."""


class Misfit(Struct, frozen=True, kw_only=True):
    """One thing that does not fit."""

    workflow: str
    kind: MisfitKind
    status: str
    """As it is stored."""
    runs: int
    """How many runs; of the sample where only that was looked at."""
    sampled: int | None
    """The size of the sample; None: all were looked at."""
    message: str
    remedy: str
    example: str
    """The id of one of the runs."""


class Fit(Struct, frozen=True, kw_only=True):
    """How the code of a workflow fits its stored runs."""

    workflow: str
    runs: int
    """Unfinished runs that there are."""
    sampled: int
    """Those whose object and rows were looked at."""
    migrating: int
    """Runs that declared migrations will move."""
    misfits: Sequence[Misfit]
