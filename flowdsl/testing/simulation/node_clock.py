"""The clock of one simulated machine."""

from __future__ import annotations

from datetime import datetime, timedelta

from flowdsl.clock import Clock


class NodeClock:
    """Follows the world's clock with an error of its own. In: the world's clock; how fast this one measures durations (1: as it
    should)."""

    def __init__(self, world: Clock, rate: float = 1.0) -> None:
        self._world = world
        self._rate = rate
        self.skew = timedelta(0)
        """By how much the time of day is ahead."""

    def now(self) -> datetime:
        return self._world.now() + self.skew

    def monotonic(self) -> float:
        return self._world.monotonic() * self._rate
