"""What simulated runs do: workflows written as tables, so that a checker knows what is allowed without asking the library."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.model.outcome import Outcome
from flowdsl.options import ZERO, StepOptions


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
    trail: list[str] = field(default_factory=list)
    """What every committed execution of a step left behind, in order: `status@version` as it was told."""


Body = Callable[[Run[Cargo, Place]], Place | Outcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mischief:
    """What a step does beside going on. Chances are from 0 to 1 and decided once for each piece of work."""

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
class Step:
    """One step. Options that the checker asks about have fields of their own."""

    from_: Place
    to: tuple[Place, ...]
    mischief: Mischief = Mischief()
    is_async: bool = False
    backoff: timedelta = timedelta(seconds=2)
    """A constant wait after each failure."""
    lag: timedelta = ZERO
    pause_after: int = 3
    parallel_count: int | None = None
    concurrency: int = 3

    def options(self) -> StepOptions:
        return {
            "err_backoff": self.backoff,
            "consume_lag": self.lag,
            "pause_after_err_count": self.pause_after,
            "parallel_count": self.parallel_count,
            "concurrency": self.concurrency,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One workflow. Of several destinations a step takes the first `visits` times the first, if that leads back."""

    name: str
    steps: tuple[Step, ...]
    cycles: bool = False

    def edges(self) -> Mapping[str, frozenset[str]]:
        """From each status, where its step may lead."""
        return {step.from_.value: frozenset(place.value for place in step.to) for step in self.steps}

    def step_of(self, status: str) -> Step | None:
        return next((step for step in self.steps if step.from_.value == status), None)

    def starts(self) -> Sequence[Place]:
        """Where runs may begin: every status with a step."""
        return [step.from_ for step in self.steps]

    def unused(self) -> list[Place]:
        used = {place for step in self.steps for place in (step.from_, *step.to)}
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
    """The share of triggers that carry an idempotency key."""

    def flow(self, name: str) -> Flow:
        return next(flow for flow in self.flows if flow.name == name)


def build(flow: Flow, perform: Callable[[Flow, Step, Run[Cargo, Place]], Place | Outcome]) -> Workflow[Cargo, Place]:
    """The table as a workflow whose bodies call `perform`."""
    workflow: Workflow[Cargo, Place] = Workflow(
        flow.name, object_type=Cargo, status_type=Place, allow_cycles=flow.cycles, retired=flow.unused()
    )
    for step in flow.steps:
        workflow.step(from_=step.from_, to=step.to, **step.options())(_body(flow, step, perform))
    return workflow


def _body(flow: Flow, step: Step, perform: Callable[[Flow, Step, Run[Cargo, Place]], Place | Outcome]) -> Any:
    async def leave_async(run: Run[Cargo, Place]) -> Place | Outcome:
        return perform(flow, step, run)

    def leave(run: Run[Cargo, Place]) -> Place | Outcome:
        return perform(flow, step, run)

    return leave_async if step.is_async else leave


class RanOutError(Exception):
    """A step fails because its table says so."""


def decide(seed: int, flow: Flow, step: Step, run: Run[Cargo, Place]) -> Place | Outcome | None:
    """What this execution answers, the same at every execution of the same attempt; raises RanOutError, and None means that the
    process is to die."""
    been = sum(entry.startswith(f"{step.from_.value}@") for entry in run.object.trail)
    rng = random.Random(f"{seed}/{flow.name}/{run.foreign_id}/{step.from_.value}/{been}")
    mischief = step.mischief
    if rng.random() < mischief.deadly:
        return None
    if rng.random() < mischief.hopeless:
        raise RanOutError("it never works")
    failures = rng.randint(1, mischief.most_failures) if rng.random() < mischief.fails else 0
    if run.attempt <= failures:
        raise RanOutError(f"attempt {run.attempt} of {run.idempotency_key} failed")
    for chance, outcome in ((mischief.pauses, run.pause), (mischief.cancels, run.cancel)):
        if rng.random() < chance:
            return outcome("as the table says")
    if rng.random() < mischief.skips:
        return run.skip()
    if been < rng.randint(0, mischief.repeats):
        return run.save_and_repeat()
    if flow.cycles and been >= 2:
        return step.to[-1]
    return rng.choice(step.to)
