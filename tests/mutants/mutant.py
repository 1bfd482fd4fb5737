"""A mutant: one small fault that somebody might build into the library."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path


class Suite(Enum):
    """What may find a mutant."""

    SIMULATION = "simulation"
    SQLITE_SIMULATION = "simulation over SQLite"
    MEMORY_CONTRACTS = "contracts of the memory adapters"
    SQLITE_CONTRACTS = "contracts of the SQL adapters"
    COMPARISON = "comparison of stores"
    SQL_FAULTS = "faults of the SQL adapters"
    KOMBU_FAULTS = "contract and faults of RabbitMQ"
    ENGINE = "tests of the engine"


class StaleMutantError(Exception):
    """The text that a mutant replaces is not in its file exactly once: the code has changed, and the mutant has to follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """In: the file, from the root of the checkout; a text that is in it exactly once, and what stands there instead."""

    name: str
    file: str
    old: str
    new: str
    why: str
    """Which promise it breaks."""
    suites: tuple[Suite, ...] = (Suite.SIMULATION, Suite.MEMORY_CONTRACTS)
    """Where it is looked for, in this order."""

    def apply(self, tree: Path) -> None:
        """Build the fault into a copy of the checkout. Raises StaleMutantError."""
        path = tree / self.file
        text = path.read_text("utf-8")
        path.write_text(self.mutated(text), "utf-8")

    def mutated(self, text: str) -> str:
        """The file's text with the fault. Raises StaleMutantError."""
        if text.count(self.old) != 1:
            raise StaleMutantError(f"{self.name}: its text is in {self.file} {text.count(self.old)} times, not once")
        return text.replace(self.old, self.new)
