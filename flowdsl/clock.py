"""Time, randomness and identifiers are arguments: everything that needs one of them is handed one of these."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

IdSource = Callable[[], str]
"""Makes a new unique identifier at each call (text, at most 40 characters, sortable by creation time if it can be)."""


class Clock(Protocol):
    """The two times a process needs. Durations are measured with `monotonic`, dates come from `now`."""

    def now(self) -> datetime:
        """The time of day, in UTC, with the zone set."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start that never go back."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class OsRandom(threading.local):
    """The operating system's random bytes, fetched in portions: each call to it passes the interpreter's lock to whoever waits.
    Every thread, and every forked child, has portions of its own."""

    def __init__(self) -> None:
        self._portion, self._used, self._pid = b"", 0, 0

    def __call__(self, count: int) -> bytes:
        """`count` bytes, at most PORTION."""
        begin, pid = self._used, os.getpid()
        if begin + count > len(self._portion) or self._pid != pid:
            self._portion, self._pid, begin = os.urandom(PORTION), pid, 0
        self._used = begin + count
        return self._portion[begin : self._used]


PORTION = 2560


class Uuid7Source:
    """Time-ordered UUIDs, version 7 of RFC 9562: 48 bits of Unix milliseconds, then random bits.

    In: a clock (default: the machine's) and a source of random bytes (default: the operating system's).
    Out, at each call: 36 characters. Sorting them sorts by millisecond of creation, within one clock.
    """

    def __init__(self, clock: Clock | None = None, random_bytes: Callable[[int], bytes] | None = None) -> None:
        self._clock = clock or SystemClock()
        self._random_bytes = random_bytes or OsRandom()

    def __call__(self) -> str:
        millis = int(self._clock.now().timestamp() * 1000)
        tail = int.from_bytes(self._random_bytes(10), "big")
        # 48 bits time | version 7 | 12 random | variant 10 | 62 random
        bits = (millis << 80) | (0x7 << 76) | ((tail >> 68) << 64) | (0b10 << 62) | (tail & ((1 << 62) - 1))
        text = f"{bits:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def seeded_ids(seed: int, clock: Clock) -> Uuid7Source:
    """Identifiers that repeat for the same seed and the same readings of the clock: for simulations and tests."""
    return Uuid7Source(clock, random.Random(seed).randbytes)
