"""The store's clock, as far as it can be known without asking at every turn."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from flowdsl.clock import Clock
from flowdsl.errors import StoreError
from flowdsl.ports.record_store import RecordStore

log = logging.getLogger("flowdsl.store_clock")
MEASURE_EVERY = 10.0
"""Seconds between two looks at the store's clock."""


class StoreClock:
    """What the store's clock said at the last look, plus the time since then by our monotonic clock, which nobody sets. It is
    behind the store's by at most the time that the look took, so that what is reckoned from it is late rather than early."""

    def __init__(self, store: RecordStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._seen: tuple[datetime, float] | None = None
        self._measure_at = 0.0

    def now(self) -> datetime:
        """About the store's time. Nothing here may fail: what was claimed must become work whatever happens."""
        clock, now = self._clock, self._clock.monotonic()
        if now >= self._measure_at:
            self._measure_at = now + MEASURE_EVERY
            try:
                seen = self._store.now()
                now = clock.monotonic()
                self._seen = (seen, now)
            except StoreError as error:
                log.info("the store's clock could not be read, ages are told by the last look at it: %s", error)
            except Exception:  # not the store's to raise
                log.exception("the store's clock could not be read, ages are told by the last look at it")
        if self._seen is None:  # it has not answered yet
            return clock.now()
        seen, at = self._seen
        return seen + timedelta(seconds=now - at)
