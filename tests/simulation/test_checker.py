"""The checker is told of sound histories, and of every kind of broken one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from flowdsl.testing.simulation.checker import INVARIANTS, check
from flowdsl.testing.simulation.fault import Fault
from flowdsl.testing.simulation.invariants.offspring import stored_together
from tests.simulation.broken_conduct import BROKEN_CONDUCT, two_processes_act_in_one_role
from tests.simulation.broken_fates import BROKEN_FATES
from tests.simulation.chronicle import FLOW, WORKLOAD, Chronicle, complete
from tests.simulation.sound import SOUND

BROKEN = [*BROKEN_FATES, *BROKEN_CONDUCT]


def broken(chronicle: Chronicle) -> set[str]:
    """The invariants that the checker finds broken."""
    return {violation.invariant for violation in check(chronicle.evidence())}


@pytest.mark.parametrize("story", SOUND, ids=lambda story: story.__name__)
def test_a_sound_history_is_left_alone(story: Callable[[], Chronicle]) -> None:
    assert check(story().evidence()) == []


@pytest.mark.parametrize(("story", "invariant"), BROKEN, ids=[story.__name__ for story, _ in BROKEN])
def test_a_broken_history_is_flagged(story: Callable[[], Chronicle], invariant: str) -> None:
    assert invariant in broken(story())


def test_a_role_scheduler_that_lies_is_not_held_against_the_fleet() -> None:
    story = two_processes_act_in_one_role()
    story.faults.add(Fault.ROLES_FOR_ALL)

    assert broken(story) == set()


def test_every_invariant_says_what_it_holds_the_library_to() -> None:
    names = {(invariant.__doc__ or "").partition(",")[0] for invariant in INVARIANTS}

    assert {invariant for _, invariant in BROKEN} == names


STARTING = replace(WORKLOAD, flows=(replace(FLOW, steps=(FLOW.steps[0], replace(FLOW.steps[1], starts="flow"))),))


def with_child(*foreign_ids: str, parent: Chronicle) -> list[str]:
    """What is said of a run whose second step starts another, and of those that name it as their parent."""
    for number, foreign_id in enumerate(foreign_ids, start=2):
        child = parent.beside(f"r{number}", foreign_id)
        child.triggered()
        child.record_changes["parent_run_id"] = "r1"
    return [found.invariant for found in stored_together(replace(parent.evidence(), workload=STARTING))]


def test_a_run_that_was_started_with_a_transition_is_there_once() -> None:
    assert with_child("r1+b", parent=complete()) == []
    assert with_child(parent=Chronicle().triggered()) == []


def test_a_run_that_should_have_been_started_with_a_transition_is_missed() -> None:
    assert with_child(parent=complete()) == ["I3"]
    assert with_child("r1+c", parent=complete()) == ["I3", "I3"]


def test_a_run_that_was_started_with_no_transition_or_twice_is_flagged() -> None:
    assert with_child("r1+b", parent=Chronicle().triggered()) == ["I3"]
    assert with_child("r1+b", "r1+b", parent=complete()) == ["I3"]
