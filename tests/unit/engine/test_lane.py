"""The places of a lane: how many rows in hand may have been claimed, how many handed over."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from flowdsl.engine.lane import MAX_AHEAD, Lane
from flowdsl.engine.work import Work
from tests.unit.engine.script import Script

PLACES = 10


@pytest.fixture
def lane() -> Iterator[Lane]:
    """Of a `def` step, whose bodies nobody has timed yet."""
    script = Script()
    with script.engine() as engine:
        lane = engine.worker.steps._core.lanes[script.workflow.name, "created"]
        assert lane.limit == PLACES
        lane.looking()
        yield lane


def quicken(lane: Lane) -> None:
    """Its bodies turn out to be so quick that it looks as far ahead as a lane may."""
    assert lane.admit(Work(lane, None, row_id="r", owner="me", delivery=1, version=1, visit=1))  # type: ignore[arg-type]
    lane.finish(0.0001)


def handed_over(lane: Lane) -> int:
    """How many rows find a place when they are handed over."""
    return next(count for count in itertools.count() if not lane.reserve())


def test_rows_that_are_handed_over_leave_half_of_the_places_to_those_that_wait(lane: Lane) -> None:
    assert handed_over(lane) == PLACES
    for _ in range(PLACES):
        lane.close(handed=True)

    lane.hungry = True
    assert handed_over(lane) == PLACES // 2
    assert lane.room() == PLACES // 2


def test_claimed_rows_take_no_place_from_as_many_as_a_claim_looks_ahead(lane: Lane) -> None:
    quicken(lane)
    lane.more = True
    assert lane.room() == PLACES + MAX_AHEAD
    lane.take(lane.room())

    assert handed_over(lane) == MAX_AHEAD
    assert lane.room() == 0


def test_rows_that_are_handed_over_keep_no_claim_from_half_of_its_places(lane: Lane) -> None:
    quicken(lane)
    lane.more = True

    assert handed_over(lane) == MAX_AHEAD + (PLACES + MAX_AHEAD) // 2
    assert lane.room() == (PLACES + MAX_AHEAD) // 2


def test_every_place_is_free_again_when_its_row_has_left(lane: Lane) -> None:
    quicken(lane)
    lane.take(lane.room())
    count = handed_over(lane)
    for _ in range(count):
        lane.close(handed=True)
    assert handed_over(lane) == count
    for _ in range(PLACES + MAX_AHEAD):
        lane.close(handed=False)
    assert lane.room() == PLACES + MAX_AHEAD
