"""What a declaration means, as far as a running engine shows it."""

from __future__ import annotations

from enum import IntEnum, StrEnum

import pytest

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.engine import Engine
from flowdsl.errors import ConfigurationError, DefinitionError, WorkflowDefinitionError
from flowdsl.model.run_state import RunState
from flowdsl.testing.stepped import SteppedEngine
from tests.behaviour.world import Job, Status, Thing, World


class Path(StrEnum):
    LEFT = "left"
    RIGHT = "right"
    MEET = "meet"
    END = "end"


class Level(IntEnum):
    BELOW = -1
    ZERO = 0
    ABOVE = 1


class Vast(IntEnum):
    BELOW = -(2**40)
    ABOVE = 2**70


def two_starts() -> Workflow[Thing, Path]:
    workflow = Workflow("paths", object_type=Thing, status_type=Path)

    @workflow.step(from_=Path.MEET, to=Path.END)
    def finish(run: Run[Thing, Path]) -> Path:
        return Path.END

    @workflow.step(from_=Path.RIGHT, to=Path.MEET)
    def from_right(run: Run[Thing, Path]) -> Path:
        return Path.MEET

    @workflow.step(from_=Path.LEFT, to=Path.MEET)
    def from_left(run: Run[Thing, Path]) -> Path:
        return Path.MEET

    return workflow


def test_a_run_begins_in_the_first_starting_status_declared_and_not_in_the_first_step() -> None:
    workflow = two_starts()

    assert workflow.definition().starts == ("right", "left")
    with SteppedEngine(workflow) as engine:
        assert engine.trigger(workflow, "thing", Thing()).record().status == "right"


def test_edges_are_kept_in_the_order_in_which_they_are_declared() -> None:
    edges = [(edge.source, edge.target) for edge in two_starts().graph.edges]

    assert edges == [("meet", "end"), ("right", "meet"), ("left", "meet")]


def test_statuses_are_listed_in_the_order_of_their_first_mention() -> None:
    graph = two_starts().graph

    assert graph.nodes == ("meet", "end", "right", "left")
    assert (graph.starts, graph.terminal) == (("right", "left"), ("end",))


def test_zero_and_negative_numbers_are_statuses_like_others() -> None:
    workflow = Workflow("levels", object_type=Thing, status_type=Level)

    @workflow.step(from_=Level.BELOW, to=Level.ZERO)
    def rise(run: Run[Thing, Level]) -> Level:
        return Level.ZERO

    @workflow.step(from_=Level.ZERO, to=Level.ABOVE)
    def rise_again(run: Run[Thing, Level]) -> Level:
        return Level.ABOVE

    with SteppedEngine(workflow) as engine:
        handle = engine.trigger(workflow, "thing", Thing())
        engine.run_until_idle()

        assert handle.run().status is Level.ABOVE
        assert handle.record().state is RunState.COMPLETED
        assert [row.to_status for row in handle.history()] == ["-1", "0", "1"]


def test_a_status_may_be_a_number_of_any_size() -> None:
    workflow = Workflow("vast", object_type=Thing, status_type=Vast)

    @workflow.step(from_=Vast.BELOW, to=Vast.ABOVE)
    def rise(run: Run[Thing, Vast]) -> Vast:
        return Vast.ABOVE

    with SteppedEngine(workflow) as engine:
        handle = engine.trigger(workflow, "thing", Thing())
        engine.run_until_idle()

        assert handle.run().status is Vast.ABOVE
        assert [row.to_status for row in handle.history()] == [str(-(2**40)), str(2**70)]


def test_a_status_declared_later_to_lead_on_is_no_end_any_more() -> None:
    workflow = Workflow("paths", object_type=Thing, status_type=Path, retired=[Path.RIGHT, Path.END])

    @workflow.step(from_=Path.LEFT, to=Path.MEET)
    def meet(run: Run[Thing, Path]) -> Path:
        return Path.MEET

    assert workflow.definition().terminal == {"meet"}

    @workflow.step(from_=Path.MEET, to=Path.END)
    def end(run: Run[Thing, Path]) -> Path:
        return Path.END

    assert workflow.definition().terminal == {"end"}


def test_a_first_step_may_lead_back_to_its_own_status() -> None:
    workflow = Workflow("rounds", object_type=Thing, status_type=Path, allow_cycles=True, retired=[Path.RIGHT, Path.MEET])

    @workflow.step(from_=Path.LEFT, to=[Path.LEFT, Path.END])
    def go_round(run: Run[Thing, Path]) -> Path:
        run.object.note += "x"
        return Path.END if len(run.object.note) == 3 else Path.LEFT

    with SteppedEngine(workflow) as engine:
        handle = engine.trigger(workflow, "thing", Thing())
        engine.run_until_idle()

        assert handle.run().object.note == "xxx"
        assert handle.record().visit == 4


def test_a_definition_is_the_same_each_time_it_is_asked_for() -> None:
    workflow = two_starts()

    assert workflow.definition() is workflow.definition()


def test_an_unsound_workflow_is_refused_when_the_engine_is_made() -> None:
    workflow = Workflow("empty", object_type=Thing, status_type=Path)

    with pytest.raises(WorkflowDefinitionError):
        SteppedEngine(workflow)


def test_two_workflows_of_one_name_cannot_share_an_engine() -> None:
    one, other = two_starts(), two_starts()

    with pytest.raises(ConfigurationError, match="two workflows are named 'paths': at ") as caught:
        Engine.from_url(one, other, store="memory://")

    assert str(caught.value).count(f"{one.place}") == 2
    assert Engine.from_url(one, one, store="memory://").workflows == (one, one)


def test_a_step_without_a_destination_is_refused(memory_world: World) -> None:
    workflow = Job(memory_world.clock).workflow

    with pytest.raises(DefinitionError, match="leads nowhere"):
        workflow.step(from_=Status.DONE, to=[])
