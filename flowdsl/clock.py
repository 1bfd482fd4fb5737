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
        self._portion, self._used, self._forks = b"", 0, _forks

    def __call__(self, count: int) -> bytes:
        """`count` bytes, at most PORTION."""
        begin = self._used
        if begin + count > len(self._portion) or self._forks != _forks:
            self._portion, self._forks, begin = os.urandom(PORTION), _forks, 0
        self._used = begin + count
        return self._portion[begin : self._used]


PORTION = 2560
_forks = 0
"""How often this process and those before it were forked: to ask for the process's id instead is a system call each time."""


def _forked() -> None:
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class Uuid7Source:
    """Time-ordered UUIDs, version 7 of RFC 9562: 48 bits of Unix milliseconds, then random bits.

    In: a clock (default: the machine's) and a source of random bytes (default: the operating system's).
    Out, at each call: 36 characters. Sorting them sorts by millisecond of creation, within one clock.
    """

    def __init__(self, clock: Clock | None = None, random_bytes: Callable[[int], bytes] | None = None) -> None:
        self._clock = clock or SystemClock()
        self._random_bytes = random_bytes or OsRandom()

    def __call__(self) -> str:
        time_ = f"{int(self._clock.now().timestamp() * 1000):012x}"
        tail = self._random_bytes(10).hex()
        # 48 bits time | version 7 | 12 random | variant 10 | 62 random
        return f"{time_[:8]}-{time_[8:]}-7{tail[:3]}-{VARIANT[tail[4]]}{tail[5:8]}-{tail[8:]}"


VARIANT = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}
"""The variant's two bits before the two lower ones of a digit."""


def seeded_ids(seed: int, clock: Clock) -> Uuid7Source:
    """Identifiers that repeat for the same seed and the same readings of the clock: for simulations and tests."""
    return Uuid7Source(clock, random.Random(seed).randbytes)
