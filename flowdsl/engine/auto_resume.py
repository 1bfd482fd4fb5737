"""When a run that errors paused is tried again by itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from flowdsl.errors import ConfigurationError
from flowdsl.options import ZERO

MOST_MULTIPLIED = 1000
"""Above it `cap` alone would count."""


@dataclass(frozen=True, slots=True)
class AutoResume:
    """The policy of automatic resumes: the first comes `after` the pause, each later one waits `multiplier` times as long as the
    one before, at most `cap`; after `limit` of them in one status the run stays paused. `after=None`: never.

    A run that a person or its own step paused is never resumed. Raises ConfigurationError for values that cannot work.
    """

    after: timedelta | None = timedelta(hours=1)
    limit: int = 3
    multiplier: float = 2.0
    cap: timedelta = timedelta(days=1)

    def __post_init__(self) -> None:
        for name, duration in (("after", self.after), ("cap", self.cap)):
            if duration is not None and not isinstance(duration, timedelta):
                raise ConfigurationError(
                    f"AutoResume({name}={duration!r}) is not a duration.", remedy=f"Write {name}=timedelta(seconds={duration!r})."
                )
        if self.after is not None and self.after <= ZERO:
            raise ConfigurationError(
                f"AutoResume(after={self.after}) would not wait.", remedy="Give a timedelta above zero, or None for never."
            )
        if self.limit < 0:
            raise ConfigurationError(f"AutoResume(limit={self.limit}) is negative.", remedy="Give 0 or more.")
        if not 1 <= self.multiplier <= MOST_MULTIPLIED:
            raise ConfigurationError(
                f"AutoResume(multiplier={self.multiplier}) is not from 1 to {MOST_MULTIPLIED}.",
                remedy="1 waits the same each time.",
            )
        if self.after is not None and self.cap < self.after:
            raise ConfigurationError(
                f"AutoResume(cap={self.cap}) is below after={self.after}.", remedy="Give a cap of at least the first wait."
            )

    def wait(self, resumes: int) -> timedelta | None:
        """How long a run that errors have just paused waits for its next resume, when it has been resumed `resumes` times in its
        status; None: it stays paused."""
        if self.after is None or resumes >= self.limit:
            return None
        grown = self.after.total_seconds() * self.multiplier ** min(resumes, 64)
        return timedelta(seconds=min(grown, self.cap.total_seconds()))
