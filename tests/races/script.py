"""Where a race's decisions come from: a list of small numbers, so that hypothesis can shorten it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Script:
    """Decisions in order. When the numbers are used up every decision is the first of its choices, which is the calm one."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self._numbers = numbers
        self._next = 0

    @property
    def over(self) -> bool:
        return self._next >= len(self._numbers)

    def choose(self, choices: Sequence[T]) -> T:
        if self.over:
            return choices[0]
        number = self._numbers[self._next]
        self._next += 1
        return choices[number % len(choices)]

    def end(self) -> None:
        """From now on everything is calm."""
        self._next = len(self._numbers)
