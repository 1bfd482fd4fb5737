"""Rehearsals: every point is met, and what they find is what there is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.model.run_state import RunState
from flowdsl.testing.coverage import Transition, TransitionCoverage
from flowdsl.testing.mishap import POSSIBLE, Mishap, Moment, ProcessDiedError
from flowdsl.testing.rehearsal import Rehearsal, under_every_mishap
from flowdsl.testing.stepped import SteppedEngine
from flowdsl.testing.transitions import assert_transitions, transitions

ROOT = Path(__file__).parents[3]


class Status(StrEnum):
    NEW = "new"
    PAID = "paid"
    DONE = "done"


@dataclass
class Thing:
    total: int = 0


def flow(effect: Callable[[Run[Thing, Status]], object], *, is_async: bool = False) -> Workflow[Thing, Status]:
    workflow = Workflow("things", object_type=Thing, status_type=Status)
    if is_async:

        @workflow.step(from_=Status.NEW, to=Status.PAID)
        async def pay_async(run: Run[Thing, Status]) -> None:
            effect(run)
    else:

        @workflow.step(from_=Status.NEW, to=Status.PAID)
        def pay(run: Run[Thing, Status]) -> None:
            effect(run)

    @workflow.step(from_=Status.PAID, to=Status.DONE)
    def close(run: Run[Thing, Status]) -> None:
        run.object.total += 1

    return workflow


@pytest.mark.parametrize("is_async", [False, True], ids=["def", "async def"])
def test_every_mishap_at_every_point_ends_well_and_each_transition_is_stored_once(is_async: bool) -> None:
    ends: list[list[str]] = []

    def scenario(rehearsal: Rehearsal) -> None:
        workflow = flow(lambda run: None, is_async=is_async)
        handle = rehearsal.engine(workflow).trigger(workflow, "a", Thing())
        rehearsal.advance(timedelta(minutes=5))
        assert handle.record().state is RunState.COMPLETED
        assert rehearsal.current.handle(handle.run_id).run().object == Thing(1)
        ends.append(transitions(handle))

    report = under_every_mishap(scenario)

    assert {point.moment for point in report.points} >= {Moment.BEFORE_BODY, Moment.AFTER_BODY, Moment.BEFORE_COMMIT}
    assert report.tried == sum(len(POSSIBLE[point.moment]) for point in report.points)
    assert ends == [["new", "paid", "done"]] * (report.tried + 1)


def test_a_function_that_counts_on_being_called_once_is_found_with_the_way_to_play_it_again() -> None:
    def scenario(rehearsal: Rehearsal) -> None:
        calls: list[str] = []
        workflow = flow(lambda run: calls.append(run.foreign_id))
        rehearsal.engine(workflow).trigger(workflow, "a", Thing())
        rehearsal.advance(timedelta(minutes=5))
        assert calls == ["a"]

    with pytest.raises(AssertionError) as caught:
        under_every_mishap(scenario, mishaps=[Mishap.CRASH])

    assert "the process dies" in caught.value.__notes__[0]
    assert "pay of a, attempt 1" in caught.value.__notes__[0]
    assert caught.value.__notes__[1].startswith("Again: Rehearsal({")


def test_the_engine_and_the_handles_of_a_process_that_died_serve_the_test_to_its_end() -> None:
    """Verbs of a process that is gone are asked of the next one; time passes through either."""
    lives: list[bool] = []

    def scenario(rehearsal: Rehearsal) -> None:
        workflow = flow(lambda run: None)

        @workflow.callback(from_=Status.NEW, to=Status.DONE)
        def given_up(run: Run[Thing, Status]) -> None: ...

        engine = rehearsal.engine(workflow)
        first = engine.trigger(workflow, "a", Thing())
        engine.run_until_idle()
        engine.step()
        second = engine.trigger(workflow, "b", Thing(), start_status=Status.PAID)
        second.cancel("by hand", force=True)
        engine.advance(timedelta(minutes=1))

        assert engine.latest(workflow, "a").record().state is RunState.COMPLETED
        assert first.callback(Status.NEW).accepted is False
        assert second.record().state is RunState.CANCELLED
        assert engine.states() != {}
        lives.append(engine is rehearsal.current)

    report = under_every_mishap(scenario)

    assert report.tried == len(lives) - 1
    assert not all(lives)


def test_a_function_that_goes_on_after_its_death_is_told_of() -> None:
    rehearsal, said = Rehearsal(), list[str]()

    def effect(run: Run[Thing, Status]) -> None:
        process: Any = rehearsal.current
        if not said:
            rehearsal.plan.at = {len(rehearsal.plan.passed) + 1: Mishap.CRASH}
        for _ in range(2):
            try:
                process.reach(Moment.BEFORE_COMMIT)
            except ProcessDiedError as error:
                said.append(str(error))

    workflow = flow(effect)
    rehearsal.engine(workflow).trigger(workflow, "a", Thing())
    rehearsal.run_until_idle()
    rehearsal.close()

    assert said[0] == Moment.BEFORE_COMMIT.value
    assert "the process died before a commit, and something in it went on" in said[1]
    assert "except BaseException" in said[1]


class Unheard(BaseException):
    """As pytest.fail raises: no Exception."""


@pytest.mark.parametrize("error", [ValueError, Unheard])
def test_whatever_leaves_a_rehearsal_says_under_which_mishap_it_was_raised(error: type[BaseException]) -> None:
    def scenario(rehearsal: Rehearsal) -> None:
        workflow = flow(lambda run: None)
        rehearsal.engine(workflow).trigger(workflow, "a", Thing())
        rehearsal.run_until_idle()
        if rehearsal.plan.happened or not disturbed:
            raise error("enough")

    disturbed = True
    with pytest.raises(error) as caught:
        under_every_mishap(scenario)
    assert caught.value.__notes__[1].startswith("Again: Rehearsal({")

    disturbed = False
    with pytest.raises(error) as caught:
        under_every_mishap(scenario)
    assert caught.value.__notes__ == ["No mishap had happened. Again: Rehearsal(seed=0)"]


@pytest.mark.parametrize("blame", [{"duplicate": True}, {"reorder": True}, {"lose": True}], ids=str)
def test_events_that_come_twice_in_another_order_or_never_change_nothing(blame: Any) -> None:
    calls: list[str] = []
    rehearsal = Rehearsal(seed=3, **blame)
    workflow = flow(lambda run: calls.append(run.foreign_id))
    engine = rehearsal.engine(workflow, handoff=False)
    for number in range(10):
        engine.trigger(workflow, f"thing-{number}", Thing())

    rehearsal.advance(timedelta(minutes=1))

    assert sorted(calls) == [f"thing-{number}" for number in range(10)]
    assert {run.state for run in engine.runs(workflow, limit=50).runs} == {RunState.COMPLETED}
    rehearsal.close()


def test_a_rehearsal_without_a_process_says_what_to_call() -> None:
    with pytest.raises(RuntimeError, match="call rehearsal"):
        _ = Rehearsal().current


def test_the_way_of_a_run_is_compared_and_shown() -> None:
    workflow = flow(lambda run: None)
    with SteppedEngine(workflow) as engine:
        handle = engine.trigger(workflow, "a", Thing())
        engine.run_until_idle()

        assert_transitions(handle, Status.NEW, Status.PAID, "done")
        with pytest.raises(AssertionError) as caught:
            assert_transitions(handle, Status.NEW, Status.DONE)

    text = str(caught.value)
    assert "expected: new -> done" in text
    assert "found:    new -> paid -> done" in text
    assert "v3 paid -> done [Completed] by step" in text


def test_the_transitions_that_runs_have_taken_are_known_and_so_are_the_others() -> None:
    def effect(run: Run[Thing, Status]) -> None:
        if run.foreign_id == "fails":
            raise RuntimeError("no luck")

    workflow, coverage = flow(effect), TransitionCoverage()
    with SteppedEngine(workflow) as engine:
        engine.trigger(workflow, "fails", Thing())
        engine.run_until_idle()
        coverage.observe(engine.store, [workflow])
        assert [str(way).partition(" by ")[0] for way in coverage.missed("things")] == ["new -> paid", "paid -> done"]

        engine.trigger(workflow, "works", Thing())
        engine.run_until_idle()
        coverage.observe(engine.store, [workflow])

    assert coverage.missed("things") == []
    other = TransitionCoverage()
    other.add_data(coverage.as_data())
    assert other == coverage
    assert all(isinstance(way, Transition) for way in other.known["things"])


def test_pytest_reports_transitions_when_it_is_asked(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        """
from examples.testing.bank import FakeBank
from examples.testing.refunds import Refund, build

def test_one(flow_engine):
    refunds = build(FakeBank())
    engine = flow_engine(refunds)
    engine.trigger(refunds, "a", Refund(1))
    engine.run_until_idle()
"""
    )
    command = [sys.executable, "-m", "pytest", "-q", "--flowdsl-transitions", "-p", "no:cacheprovider", "-c", "/dev/null"]

    result = subprocess.run(
        [*command, "--rootdir", str(tmp_path), str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert result.returncode == 0, result.stdout + result.stderr
    assert "transitions of workflows" in result.stdout
    assert "refunds: 0 of 4 transitions" in result.stdout
    assert "not taken: asked -> approved" in result.stdout
