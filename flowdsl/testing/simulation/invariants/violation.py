"""A promise that was broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from flowdsl.testing.simulation.evidence import Evidence


@dataclass(frozen=True, slots=True)
class Violation:
    """In: the invariant's number, I1 to I12; what was found; the run that it concerns, if one does."""

    invariant: str
    what: str
    run_id: str = ""

    def __str__(self) -> str:
        return f"{self.invariant}: {self.what}{f' (run {self.run_id})' if self.run_id else ''}"


Check = Callable[[Evidence], Iterator[Violation]]
