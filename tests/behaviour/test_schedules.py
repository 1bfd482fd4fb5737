"""Schedules: runs that the calendar starts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.model.query import Order as ListOrder
from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState
from tests.behaviour.world import MINUTE, Status, Thing, World

START = datetime(2030, 1, 7, 9, tzinfo=UTC)  # a Monday; the clock of every world begins here
DAY = timedelta(days=1)
Make = Callable[[datetime], Thing | None]


def thing(fire_time: datetime) -> Thing:
    return Thing(f"{fire_time:%H:%M}")


class Diary:
    """A workflow with a schedule that remembers when its function was asked."""

    def __init__(
        self, spec: str = "*/10 * * * *", make: Make = thing, *, name: str = "diary", foreign_id: str = "page", **options: Any
    ) -> None:
        self.asked: list[datetime] = []
        self.body: Callable[[Run[Thing, Status]], Any] = lambda run: Status.DONE
        self.workflow = Workflow(name, object_type=Thing, status_type=Status)

        @self.workflow.step(from_=Status.NEW, to=Status.DONE)
        def work(run: Run[Thing, Status]) -> Any:
            return self.body(run)

        @self.workflow.schedule(spec, foreign_id=foreign_id, **options)
        def write(fire_time: datetime) -> Thing | None:
            self.asked.append(fire_time)
            return make(fire_time)


def runs(world: World, workflow: str = "diary") -> list[RunRecord]:
    """Every run, oldest first."""
    engine = world.outsider()
    return list(engine.runs(workflow, order=ListOrder.OLDEST_FIRST, limit=100).runs)


def slots(world: World) -> list[str]:
    """The slots that runs were started for."""
    return [run.metadata["slot"][11:16] for run in runs(world)]


def test_a_schedule_starts_a_run_at_each_of_its_times_with_the_object_that_its_function_makes(world: World) -> None:
    diary = Diary()
    with world.engine(diary.workflow) as engine:
        engine.advance(25 * MINUTE)

    assert slots(world) == ["09:10", "09:20"]
    assert diary.asked == [START + 10 * MINUTE, START + 20 * MINUTE]
    first, second = runs(world)
    assert (first.foreign_id, first.state, first.created_at) == ("page", RunState.COMPLETED, START + 10 * MINUTE)
    assert first.metadata == {"schedule": "diary-not", "slot": first.metadata["slot"]} or first.metadata["schedule"] == "page"
    assert second.payload is not None
    assert b"09:20" in second.payload.data
