"""What simulated runs do: workflows written as tables, so that a checker knows what is allowed without asking the library."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from flowdsl.dsl.run import Run
from flowdsl.model.outcome import Outcome
from flowdsl.options import ZERO


class Place(StrEnum):
    """The statuses of every simulated workflow."""

    A = "a"
    B = "b"
    C = "c"
    D = "d"
    E = "e"


@dataclass
class Cargo:
    """The object of a simulated run."""

    name: str
    secret: str
    """Text that must be nowhere once the run's data is deleted."""
    trail: list[str] = field(default_factory=list)
    """What every committed execution left behind, in order: `status@version` as it was told, `!` and the callback's id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mischief:
    """What a function does beside going on. Chances are from 0 to 1 and decided once for each piece of work."""

    fails: float = 0.0
    """The chance that the first attempts raise, up to `most_failures` of them."""
    most_failures: int = 2
    hopeless: float = 0.0
    """The chance that every attempt raises."""
    repeats: int = 0
    """How often at most a run saves and repeats the step."""
    pauses: float = 0.0
    cancels: float = 0.0
    skips: float = 0.0
    deadly: float = 0.0
    """The chance that every attempt costs its process its life."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mover:
    """A function that moves runs. Options that the checker asks about have fields of their own."""

    from_: Place
    to: tuple[Place, ...]
    mischief: Mischief = Mischief()
    is_async: bool = False
    backoff: timedelta = timedelta(seconds=2)
    """A constant wait after each failure."""
    pause_after: int = 3
    concurrency: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Mover):
    """What consumes a status."""

    lag: timedelta = ZERO
    parallel_count: int | None = None
    starts: str = ""
    """The workflow of which it starts a run, in one transaction with leaving the status."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer(Mover):
    """What takes a run along that stays too long."""

    after: timedelta
    computed: bool = False
    """The time is the answer of a function instead of a constant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Door(Mover):
    """A callback."""

    early: bool = True
    """One that comes before its run is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """A schedule that fires every minute, makes up for every slot that was missed, and lets runs stand beside each other."""

    name: str
    declines: float = 0.0
    """The chance that a slot gets no run."""
    fails: float = 0.0
    """The chance that its function raises at first."""


HOOKS = ("pause", "cancel", "complete", "transition", "error")
"""What hooks may be told of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One workflow."""

    name: str
    steps: tuple[Step, ...] = ()
    timers: tuple[Timer, ...] = ()
    doors: tuple[Door, ...] = ()
    hooks: tuple[str, ...] = ()
    calendars: tuple[Calendar, ...] = ()
    hook_fails: float = 0.3
    """The chance that a hook raises at first."""
    cycles: bool = False

    @property
    def movers(self) -> Sequence[Mover]:
        return (*self.steps, *self.timers, *self.doors)

    def edges(self, kind: type[Mover] = Mover) -> Mapping[str, frozenset[str]]:
        """From each status, where its functions of this kind may lead."""
        found: dict[str, set[str]] = {}
        for mover in self.movers:
            if isinstance(mover, kind):
                found.setdefault(mover.from_.value, set()).update(place.value for place in mover.to)
        return {status: frozenset(places) for status, places in found.items()}

    def step_of(self, status: str) -> Step | None:
        return next((step for step in self.steps if step.from_.value == status), None)

    def timer_of(self, status: str) -> Timer | None:
        return next((timer for timer in self.timers if timer.from_.value == status), None)

    def starts(self) -> Sequence[Place]:
        """Where runs may begin: every status that something leads out of."""
        return list(dict.fromkeys(mover.from_ for mover in self.movers))

    def unused(self) -> list[Place]:
        used = {place for mover in self.movers for place in (mover.from_, *mover.to)}
        return [place for place in Place if place not in used]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What happens in one simulation: workflows, and what customers ask for."""

    name: str
    flows: tuple[Flow, ...]
    verbs: Mapping[str, int]
    """What customers do beside triggering runs, and how often in proportion: see Customers."""
    auto_resume: timedelta | None = timedelta(seconds=40)
    auto_resumes: int = 1
    keys: float = 0.2
    """The share of triggers and callbacks that carry an idempotency key."""

    def flow(self, name: str) -> Flow:
        return next(flow for flow in self.flows if flow.name == name)


def child_of(run_id: str, status: str) -> str:
    """The foreign id of the run that a step starts when this run leaves the status."""
    return f"{run_id}+{status}"


def secret_of(foreign_id: str) -> str:
    """Text that is in a run's object, reasons, errors and payloads, and in nothing else."""
    return f"secret-{foreign_id}-"


class RanOutError(Exception):
    """A function fails because its table says so."""


def decide(seed: int, flow: Flow, mover: Mover, run: Run[Cargo, Place], task: str = "") -> Place | Outcome | None:
    """What this execution answers, the same at every execution of the same attempt; raises RanOutError, and None means that the
    process is to die. In: what tells a callback from others."""
    been = sum(entry.startswith(f"{mover.from_.value}@") for entry in run.object.trail)
    kind = type(mover).__name__
    rng = random.Random(f"{seed}/{flow.name}/{run.foreign_id}/{kind}/{mover.from_.value}/{been}/{task}")
    mischief = mover.mischief
    if rng.random() < mischief.deadly:
        return None
    if rng.random() < mischief.hopeless:
        raise RanOutError(f"it never works, says {run.object.secret}")
    failures = rng.randint(1, mischief.most_failures) if rng.random() < mischief.fails else 0
    if run.attempt <= failures:
        raise RanOutError(f"attempt {run.attempt} of {run.idempotency_key} failed, says {run.object.secret}")
    for chance, outcome in ((mischief.pauses, run.pause), (mischief.cancels, run.cancel)):
        if rng.random() < chance:
            return outcome(f"as the table of {run.object.secret} says")
    if rng.random() < mischief.skips:
        return run.skip()
    if been < rng.randint(0, mischief.repeats):
        return run.save_and_repeat()
    if flow.cycles and been >= 2:
        return mover.to[-1]
    return rng.choice(mover.to)
