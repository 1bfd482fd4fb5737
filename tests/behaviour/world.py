"""Where behaviour is looked at: a store, roles and a clock that stands still, over memory, SQLite or PostgreSQL."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.handle import RunHandle
from flowdsl.engine.presence import INTERVAL
from flowdsl.errors import StoreUnavailableError
from flowdsl.model.outcome import Outcome
from flowdsl.options import StepOptions
from flowdsl.ports.record_store import RecordStore
from flowdsl.ports.role_scheduler import RoleScheduler
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.stepped import SteppedEngine

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
TICK = timedelta(milliseconds=1)

Place = Literal["step", "workflow"]
PLACES: tuple[Place, ...] = ("step", "workflow")


@dataclass
class World:
    """A store that any number of engines share."""

    kind: str
    clock: ManualClock
    store: RecordStore
    roles: RoleScheduler
    open_store: Callable[[], RecordStore]
    """Another way into the same store, as another process would have it."""
    url: str = ""
    """Of the database; empty: memory."""
    _seeds: Any = field(default_factory=lambda: itertools.count(1))

    def engine(self, *workflows: Workflow[Any, Any], **settings: Any) -> SteppedEngine:
        """One more instance of the fleet."""
        settings = {"store": self.store, "roles": self.roles, **settings}
        return SteppedEngine(*workflows, clock=self.clock, seed=next(self._seeds), **settings)

    def outsider(self, *workflows: Workflow[Any, Any]) -> SteppedEngine:
        """A process that triggers and takes no work."""
        return self.engine(*workflows, store=self.open_store())


class Status(StrEnum):
    NEW = "new"
    DONE = "done"


@dataclass
class Thing:
    note: str = ""


Answer = Status | Outcome | None
Body = Callable[[Run[Thing, Status]], Answer]


def given(place: Place, **options: Any) -> tuple[StepOptions, StepOptions]:
    """The options as a step's own, or as the workflow's defaults: (own, defaults)."""
    own: Any = options if place == "step" else {}
    defaults: Any = options if place == "workflow" else {}
    return own, defaults


class Job:
    """A workflow of one step that remembers when it was tried, and does what `body` does (None: succeeds)."""

    def __init__(
        self,
        clock: ManualClock,
        body: Body | None = None,
        *,
        own: StepOptions | None = None,
        defaults: StepOptions | None = None,
        is_async: bool = False,
    ) -> None:
        self.clock = clock
        self.begun: list[datetime] = []
        self.workflow = Workflow("jobs", object_type=Thing, status_type=Status, defaults=defaults)

        def attempt(run: Run[Thing, Status]) -> Answer:
            self.begun.append(clock.now())
            return body(run) if body is not None else Status.DONE

        if is_async:

            @self.workflow.step(from_=Status.NEW, to=Status.DONE, **(own or {}))
            async def work_async(run: Run[Thing, Status]) -> Answer:
                return attempt(run)
        else:

            @self.workflow.step(from_=Status.NEW, to=Status.DONE, **(own or {}))
            def work(run: Run[Thing, Status]) -> Answer:
                return attempt(run)

    @property
    def waits(self) -> list[timedelta]:
        """The time between each attempt and the next."""
        return [later - earlier for earlier, later in itertools.pairwise(self.begun)]


def says_what_it_consumes(world: World, *engines: SteppedEngine) -> None:
    """Let them tell everybody which topics they consume."""
    world.clock.advance(INTERVAL)
    for engine in engines:
        engine.worker.presence.step()


def failing(run: Run[Thing, Status]) -> Answer:
    raise RuntimeError("no luck")


def trigger(engine: SteppedEngine, job: Job, *, count: int = 1) -> list[RunHandle[Thing, Status]]:
    """Start `count` runs."""
    return [engine.trigger(job.workflow, f"thing-{number}", Thing()) for number in range(count)]


def claimed(handles: Sequence[RunHandle[Any, Any]]) -> int:
    """How many of these runs are in somebody's hands."""
    return sum(row.owner is not None for handle in handles for row in handle.pending())


def sample(engine: SteppedEngine, name: str, **labels: str) -> float | None:
    """The value of a metric; None: there is no such series."""
    return engine.metrics.registry.get_sample_value(name, labels)


CONSUMER = {"workflow_name": "jobs", "process_name": "new-consumer-1-of-1"}


class Doctored:
    """A store some of whose methods a test has replaced."""

    def __init__(self, store: RecordStore, **methods: Callable[..., Any]) -> None:
        self.store = store
        self.methods = methods

    def __getattr__(self, name: str) -> Any:
        return self.methods.get(name) or getattr(self.store, name)


def failing_commits(store: RecordStore, times: int) -> Any:
    """A store whose next `times` commits cannot be answered."""
    left = iter(range(times))

    def commit(changes: Any) -> Any:
        if next(left, None) is not None:
            raise StoreUnavailableError("the database is away.")
        return store.commit(changes)

    return Doctored(store, commit=commit)
