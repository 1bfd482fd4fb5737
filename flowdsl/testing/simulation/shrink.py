"""Making a failing plan smaller, so that what is left is what the failure needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowdsl.testing.simulation.plan import Plan, StoreKind

TRIES = 200
"""Simulations that are spent on it."""
SIZES = (("runs", 1), ("workers", 1), ("clients", 0), ("rounds", 10))
SWITCHES: tuple[tuple[str, Any], ...] = (
    ("store", StoreKind.MEMORY),
    ("streamer", False),
    ("handoff", False),
    ("one_machine", False),
    ("interruptions", 0.0),
)


def shrink(plan: Plan, struck: int, fails: Callable[[Plan], int | None]) -> Plan:
    """A smaller plan that still fails. In: how many faults struck in the failing one; `fails` runs a plan and answers how many
    faults struck if it failed, else None.

    Whatever is changed moves everything that comes after it, so a smaller plan fails in its own way; it is the promise that stays
    broken, not the history.
    """
    shrinking = _Shrinking(plan, struck, fails)
    while True:
        before = shrinking.plan
        shrinking.fewer_faults()
        shrinking.fewer_kinds()
        shrinking.smaller_sizes()
        shrinking.fewer_features()
        if shrinking.plan == before or shrinking.left <= 0:
            return shrinking.plan


class _Shrinking:
    def __init__(self, plan: Plan, struck: int, fails: Callable[[Plan], int | None]) -> None:
        self.plan = plan
        self.left = TRIES
        self._struck = struck
        self._fails = fails

    def _take(self, **changes: Any) -> bool:
        """Whether the plan fails with these changes, too; then it is the plan from now on."""
        candidate = self.plan.but(**changes)
        if self.left <= 0 or candidate == self.plan:
            return False
        self.left -= 1
        struck = self._fails(candidate)
        if struck is None:
            return False
        self.plan, self._struck = candidate, struck
        return True

    def fewer_faults(self) -> None:
        """Of those that strike, only the first few."""
        while self._struck and any(self._take(most_faults=most) for most in self._fewer(0, self._struck)):
            pass

    def fewer_kinds(self) -> None:
        """All of them but one, for each that may be left out."""
        if self._take(faults=frozenset(), most_faults=None):
            return
        for fault in sorted(self.plan.faults, key=lambda one: one.value):
            self._take(faults=self.plan.faults - {fault})

    def smaller_sizes(self) -> None:
        for name, least in SIZES:
            while any(self._take(**{name: fewer}) for fewer in self._fewer(least, getattr(self.plan, name))):
                pass

    def fewer_features(self) -> None:
        for name, value in SWITCHES:
            self._take(**{name: value})

    @staticmethod
    def _fewer(least: int, value: int) -> list[int]:
        """Smaller numbers, the greatest step first."""
        return sorted({fewer for fewer in (least, (least + value) // 2, value - 1) if least <= fewer < value})
