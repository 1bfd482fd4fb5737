"""One simulation, from plan to verdict."""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from flowdsl.testing.simulation.checker import check
from flowdsl.testing.simulation.evidence import Evidence
from flowdsl.testing.simulation.fault import Fault
from flowdsl.testing.simulation.invariants.violation import Violation
from flowdsl.testing.simulation.journal import Journal
from flowdsl.testing.simulation.plan import Plan, StoreKind
from flowdsl.testing.simulation.world import World


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a simulation."""

    plan: Plan
    evidence: Evidence
    violations: Sequence[Violation]
    fired: Sequence[Fault]
    """The faults that struck, in order."""
    story: Sequence[str] = ()

    def __str__(self) -> str:
        lines = [f"seed {self.plan.seed}: {len(self.violations)} violations, {len(self.fired)} faults struck"]
        lines += [f"  {violation}" for violation in self.violations]
        return "\n".join([*lines, f"  repeat it: {self.plan.command()}"])


def simulate(plan: Plan, *, story: bool = False) -> Report:
    """Run a plan and check what came of it. The same plan gives the same report."""
    world = World(plan, story=story)
    with _listening(world.journal):
        evidence = world.run()
    return Report(plan, evidence, check(evidence), world.weather.fired, world.journal.lines or ())


def failing(seeds: Sequence[int], store: StoreKind) -> list[int]:
    """Those of the seeds whose simulation breaks a promise."""
    return [seed for seed in seeds if simulate(Plan.draw(seed, store)).violations]


@contextmanager
def _listening(journal: Journal) -> Generator[None]:
    """Errors that the library logs because it did not expect them are accidents; its warnings are what faults are for."""

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            error = record.exc_info[1] if record.exc_info else None
            journal.accidents.append(f"{record.name}: {record.getMessage()}{f': {error!r}' if error else ''}")

    logger = logging.getLogger("flowdsl")
    ear, level, propagates = Ear(logging.ERROR), logger.level, logger.propagate
    logger.addHandler(ear)
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(ear)
        logger.setLevel(level)
        logger.propagate = propagates
