"""A clock that stands still until a test moves it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

START = datetime(2030, 1, 7, 9, 0, tzinfo=UTC)


class ManualClock:
    """Both times advance together, by `advance` alone. In: the first time of day (default: a Monday in 2030, 09:00 UTC)."""

    def __init__(self, start: datetime = START) -> None:
        if start.tzinfo is None:
            raise ValueError("the start of a ManualClock needs a time zone, e.g. datetime(2030, 1, 7, tzinfo=UTC)")
        self._now = start.astimezone(UTC)
        self._elapsed = timedelta(0)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._elapsed.total_seconds()

    def advance(self, duration: timedelta) -> None:
        """Let `duration` pass. Raises ValueError for a negative one: time never goes back."""
        if duration < timedelta(0):
            raise ValueError(f"a clock cannot go back by {-duration}")
        with self._lock:
            self._now += duration
            self._elapsed += duration
