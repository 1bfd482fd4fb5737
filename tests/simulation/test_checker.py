"""The checker is told of sound histories, and of every kind of broken one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flowdsl.testing.simulation.checker import INVARIANTS, check
from flowdsl.testing.simulation.fault import Fault
from tests.simulation.broken_conduct import BROKEN_CONDUCT, two_processes_act_in_one_role
from tests.simulation.broken_fates import BROKEN_FATES
from tests.simulation.chronicle import Chronicle
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
