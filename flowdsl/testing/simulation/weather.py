"""When which fault strikes: decided by the seed alone, each kind by numbers of its own."""

from __future__ import annotations

import random
from collections.abc import Collection

from flowdsl.testing.simulation.fault import Fault


class Weather:
    """Every kind has its own sequence of numbers, so that leaving one kind out does not move the others.

    In: the seed; the kinds that may strike; how likely they are, as a factor; after how many faults the weather stays calm
    (None: never), with which a failure is cut down to the faults that it needs.
    """

    def __init__(self, seed: int, faults: Collection[Fault], intensity: float = 1.0, most: int | None = None) -> None:
        self._rngs = {fault: random.Random(f"{seed}/{fault.value}") for fault in Fault if fault in faults}
        self._intensity = intensity
        self._most = most
        self.fired: list[Fault] = []
        self.calm = False
        """True from the moment at which faults end: nothing strikes any more."""

    def strikes(self, fault: Fault, chance: float) -> bool:
        """Whether it happens now, at this `chance` (0 to 1) for an intensity of 1."""
        rng = self._rngs.get(fault)
        if rng is None or self.calm or rng.random() >= chance * self._intensity:
            return False
        if self._most is not None and len(self.fired) >= self._most:
            return False
        self.fired.append(fault)
        return True

    def uniform(self, fault: Fault, low: float, high: float) -> float:
        """How strong it is: a number between the two, of the fault's own sequence."""
        return self._rngs[fault].uniform(low, high)
