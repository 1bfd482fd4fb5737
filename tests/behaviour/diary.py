"""A workflow with a schedule, for the tests of schedules."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.engine import Engine
from flowdsl.model.query import Order
from flowdsl.model.record import RunRecord
from flowdsl.model.schedule import Schedule
from tests.behaviour.world import SECOND, Status, Thing, World

START = datetime(2030, 1, 7, 9, tzinfo=UTC)
"""A Monday: where the clock of every world begins."""
DAY = timedelta(days=1)
SCHEDULER = {"workflow_name": "diary", "process_name": "scheduler"}
"""The labels of its scheduler's series."""
Make = Callable[[datetime], Thing | None]


def thing(fire_time: datetime) -> Thing:
    return Thing(f"{fire_time:%H:%M}")


class Diary:
    """A workflow of one step and one schedule. It remembers for which times the schedule's function was called."""

    def __init__(self, spec: str | None = "*/10 * * * *", make: Make = thing, *, name: str = "page", **options: Any) -> None:
        self.asked: list[datetime] = []
        self.body: Callable[[Run[Thing, Status]], Any] = lambda run: Status.DONE
        self.make = make
        self.workflow = Workflow("diary", object_type=Thing, status_type=Status)

        @self.workflow.step(from_=Status.NEW, to=Status.DONE, pause_after_err_count=None, err_backoff=30 * SECOND)
        def work(run: Run[Thing, Status]) -> Any:
            return self.body(run)

        if spec is not None:

            @self.workflow.schedule(spec, **{"foreign_id": name, "name": name, **options})
            def write(fire_time: datetime) -> Thing | None:
                self.asked.append(fire_time)
                return self.make(fire_time)

    def stored(self, engine: Engine, name: str = "page") -> Schedule:
        return engine.schedules.get(self.workflow, name)


def runs(world: World) -> list[RunRecord]:
    """Every run of the diary, oldest first."""
    return list(world.outsider().runs("diary", order=Order.OLDEST_FIRST, limit=100).runs)


def slots(world: World) -> list[str]:
    """The times of the slots that runs were started for."""
    return [run.metadata["slot"][11:16] for run in runs(world) if "slot" in run.metadata]


def at(text: str) -> datetime:
    """That time on the first day."""
    hour, minute = text.split(":")
    return START.replace(hour=int(hour), minute=int(minute))
