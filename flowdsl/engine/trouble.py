"""Trouble that lasts: told when it begins, once a minute while it goes on, and when it is over."""

from __future__ import annotations

import logging

from flowdsl.clock import Clock

REMIND = 60.0
"""Seconds between two warnings of the same trouble; what comes between is logged at debug."""


class Trouble:
    """One thing that is tried again and again. In: what it is, as a log line begins with it. Several threads may use it: what
    they can do to each other is a line too many."""

    def __init__(self, log: logging.Logger, clock: Clock, what: str) -> None:
        self._log = log
        self._clock = clock
        self._what = what
        self._since: float | None = None
        self._tell_at = 0.0

    def failed(self, error: BaseException) -> None:
        """It did not work."""
        now = self._clock.monotonic()
        if self._since is None:
            self._since = self._tell_at = now
        told = now >= self._tell_at
        if told:
            self._tell_at = now + REMIND
        self._log.log(logging.WARNING if told else logging.DEBUG, "%s failed: %s", self._what, error)

    def over(self) -> None:
        """It worked."""
        since = self._since
        if since is not None:
            self._since = None
            self._log.info("%s works again, after %.0f s", self._what, self._clock.monotonic() - since)
