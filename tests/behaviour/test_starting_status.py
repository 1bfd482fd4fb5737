"""Where a run begins, and what with."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Any

import pytest

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.errors import DefinitionError
from flowdsl.model.run_state import RunState
from flowdsl.testing.stepped import SteppedEngine
from tests.behaviour.world import Status, Thing, World


class Level(IntEnum):
    BELOW = -1
    ZERO = 0
    ABOVE = 1
    FORMER = 2


class Other(StrEnum):
    NEW = "new"


def levels() -> Workflow[Thing, Level]:
    workflow = Workflow("levels", object_type=Thing, status_type=Level, retired=[Level.FORMER])

    @workflow.step(from_=Level.BELOW, to=Level.ZERO)
    def rise(run: Run[Thing, Level]) -> None:
        run.object.note += "a"

    @workflow.step(from_=Level.ZERO, to=Level.ABOVE)
    def rise_again(run: Run[Thing, Level]) -> None:
        run.object.note += "b"

    return workflow


def test_a_status_of_value_zero_may_be_the_start_that_is_asked_for() -> None:
    workflow = levels()
    with SteppedEngine(workflow) as engine:
        asked = engine.trigger(workflow, "asked", Thing(), start_status=Level.ZERO)
        unasked = engine.trigger(workflow, "unasked", Thing(), start_status=None)
        engine.run_until_idle()

        assert (asked.run().object.note, unasked.run().object.note) == ("b", "ab")


@pytest.mark.parametrize("status", [Level.FORMER, Level.ABOVE, Other.NEW, "0", 0])
def test_a_run_cannot_start_in_a_status_that_is_not_in_the_graph(status: Any) -> None:
    workflow = levels()
    engine = SteppedEngine(workflow)

    with pytest.raises(DefinitionError):
        engine.trigger(workflow, "thing", Thing(), start_status=status)

    assert not engine.runs(workflow).runs


def test_a_run_may_go_without_an_object_where_its_type_allows_none(world: World) -> None:
    seen: list[object] = []
    optional: Any = Thing | None
    workflow: Workflow[Any, Status] = Workflow("optional", object_type=optional, status_type=Status)

    @workflow.step(from_=Status.NEW, to=Status.DONE)
    def fill(run: Run[Any, Status]) -> None:
        seen.append(run.object)
        run.object = Thing("made by the step")

    with world.engine(workflow) as engine:
        handle = engine.trigger(workflow, "thing")
        assert handle.record().payload is None
        engine.run_until_idle()

        assert seen == [None]
        assert handle.run().object == Thing("made by the step")
        assert handle.record().state is RunState.COMPLETED
