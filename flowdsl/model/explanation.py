"""Why a run is where it is."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import Struct


class Because(StrEnum):
    """What kind of reason it is; for programs, which should not read sentences."""

    FINISHED = "finished"
    PAUSED = "paused"
    PAUSED_BY_ERRORS = "paused_by_errors"
    AUTO_RESUME = "auto_resume"
    """It is resumed by itself, or no more."""
    REQUESTED = "requested"
    """A pause or cancel waits for what is being executed."""
    EXECUTING = "executing"
    CLAIM_LAPSED = "claim_lapsed"
    """The instance that had it is gone."""
    RETRYING = "retrying"
    NOT_DUE = "not_due"
    """Its consume_lag is not over."""
    DUE = "due"
    """Anybody may take it."""
    PARKED = "parked"
    """Its step answered skip."""
    ROW_MISSING = "row_missing"
    NO_INSTANCE = "no_instance"
    NO_CONSUMER = "no_consumer"
    """Instances are alive, and none of them consumes it."""
    BEHIND = "behind"
    """Others are due as well."""
    WAITING = "waiting"
    """No step consumes its status: callbacks and timeouts lead on."""
    CALLBACK = "callback"
    """It waits for one."""
    CALLBACK_KEPT = "callback_kept"
    TIMEOUT = "timeout"
    HOOK = "hook"
    DELETION = "deletion"
    NOTHING_LEADS_ON = "nothing_leads_on"
    UNKNOWN_STATUS = "unknown_status"
    UNREADABLE = "unreadable"
    """This code cannot read its object."""
    NO_CODE = "no_code"
    """The workflow's code is not at hand, so that some reasons are not known."""


class Reason(Struct, frozen=True, kw_only=True):
    """One reason, as a sentence and as data."""

    because: Because
    sentence: str
    at: datetime | None = None
    """When that happens or happened; None: there is no such time."""
    remedy: str | None = None
    """What would change it."""


class Explanation(Struct, frozen=True, kw_only=True):
    """Why a run is where it is: the reasons, those that matter most first."""

    run_id: str
    workflow: str
    foreign_id: str
    status: str
    state: str
    since: datetime
    """Of the last change."""
    now: datetime
    """The store's time when it was asked."""
    reasons: tuple[Reason, ...]

    def __str__(self) -> str:
        return " ".join(reason.sentence for reason in self.reasons)
