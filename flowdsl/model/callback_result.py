"""What became of a callback."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class CallbackOutcome(StrEnum):
    """None of these is an error of the caller's; what is, raises."""

    APPLIED = "applied"
    """The run has moved, as the function answered."""
    KEPT = "kept"
    """The run is not in the status, is paused, or its step is being executed: it is stored and applied when the run is ready."""
    SKIPPED = "skipped"
    """The function answered skip: nothing was stored."""
    DUPLICATE = "duplicate"
    """One of this idempotency key was applied or kept before."""
    NOT_IN_STATUS = "not in that status"
    """The run is elsewhere, and cannot enter the status any more or early callbacks are refused."""
    STOPPED = "run stopped"
    """The run has ended; or is paused, and early callbacks are refused."""
    UNKNOWN_RUN = "unknown run"
    REFUSED_PAYLOAD = "refused payload"
    """The payload is not what the function takes."""


class CallbackResult(Struct, frozen=True, kw_only=True):
    """The answer to a callback."""

    outcome: CallbackOutcome
    run_id: str | None = None
    detail: str = ""
    """Why, for people."""

    @property
    def accepted(self) -> bool:
        """Whether it need not be sent again."""
        return self.outcome in _ACCEPTED


_ACCEPTED = frozenset({CallbackOutcome.APPLIED, CallbackOutcome.KEPT, CallbackOutcome.SKIPPED, CallbackOutcome.DUPLICATE})
