"""Which slot a schedule fires when it is due, by its policies."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from flowdsl.model.firing import COUNTED, Firing, firing_of
from flowdsl.model.schedule import Misfire, Note, Schedule, ScheduleOrigin, ScheduleRule

NINE = datetime(2030, 1, 7, 9, tzinfo=UTC)
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)


def schedule(spec: str = "*/10 * * * *", slot: datetime | None = NINE, **rule: Any) -> Schedule:
    note = Note("ada", NINE)
    return Schedule(
        workflow="shop",
        name="tick",
        id="1",
        revision=1,
        origin=ScheduleOrigin.CODE,
        rule=ScheduleRule(spec=spec, foreign_id="tick", **rule),
        created=note,
        changed=note,
        slot=slot,
    )


def at(minutes: float) -> datetime:
    return NINE + minutes * MINUTE


@pytest.mark.parametrize("misfire", Misfire)
def test_a_slot_in_time_is_fired_whatever_the_policy(misfire: Misfire) -> None:
    assert firing_of(schedule(misfire=misfire), at(0)) == Firing(NINE, at(10), 0)
    assert firing_of(schedule(misfire=misfire), at(1)) == Firing(NINE, at(10), 0)


def test_before_its_time_and_without_a_time_nothing_is_fired() -> None:
    assert firing_of(schedule(), NINE - SECOND) is None
    assert firing_of(schedule(slot=None), NINE) is None


@pytest.mark.parametrize(
    ("misfire", "minutes", "fired"),
    [
        # Only what is too late is due.
        (Misfire.SKIP, 25, Firing(None, at(30), 3)),
        (Misfire.ONCE, 25, Firing(at(20), at(30), 2)),
        (Misfire.ALL, 25, Firing(at(0), at(10), 0)),
        # A slot in time is due as well.
        (Misfire.SKIP, 20.5, Firing(at(20), at(30), 2)),
        (Misfire.ONCE, 20.5, Firing(at(20), at(30), 2)),
        (Misfire.ALL, 20.5, Firing(at(0), at(10), 0)),
        # One alone is too late.
        (Misfire.SKIP, 5, Firing(None, at(10), 1)),
        (Misfire.ONCE, 5, Firing(at(0), at(10), 0)),
        (Misfire.ALL, 5, Firing(at(0), at(10), 0)),
    ],
)
def test_slots_that_were_missed_go_by_the_policy(misfire: Misfire, minutes: float, fired: Firing) -> None:
    assert firing_of(schedule(misfire=misfire), at(minutes)) == fired


def test_the_latest_slots_are_made_up_for_and_no_more_than_the_bound() -> None:
    bounded = schedule(misfire=Misfire.ALL, max_catch_up=2)

    assert firing_of(bounded, at(45)) == Firing(at(30), at(40), 3)
    assert firing_of(replace(bounded, slot=at(40)), at(45)) == Firing(at(40), at(50), 0)


def test_the_grace_is_the_schedules_own() -> None:
    strict = schedule(misfire=Misfire.SKIP, misfire_grace=timedelta(0))
    patient = schedule(misfire=Misfire.SKIP, misfire_grace=timedelta(hours=1))

    assert firing_of(strict, NINE) == Firing(NINE, at(10), 0)
    assert firing_of(strict, NINE + timedelta(microseconds=1)) == Firing(None, at(10), 1)
    assert firing_of(patient, at(59)) == Firing(NINE, at(10), 0)


@pytest.mark.parametrize("tried", [{"attempts": 1}, {"waiting_for": "run-1"}])
def test_a_slot_that_was_tried_or_waited_for_is_not_given_up(tried: dict[str, Any]) -> None:
    held = replace(schedule(misfire=Misfire.SKIP), **tried)

    assert firing_of(held, at(600)) == Firing(NINE, at(10), 0)


def test_after_years_the_count_of_missed_slots_stops_at_a_bound() -> None:
    firing = firing_of(schedule("* * * * * *"), NINE + timedelta(days=800))

    assert firing == Firing(NINE + timedelta(days=800, seconds=-60), NINE + timedelta(days=800, seconds=-59), COUNTED)


def test_a_slot_that_a_change_of_the_zones_rules_took_out_of_the_timetable_is_still_settled() -> None:
    odd = schedule(slot=NINE + 3 * MINUTE, misfire=Misfire.ONCE)

    assert firing_of(odd, at(9)) == Firing(at(3), at(10), 0)
    assert firing_of(replace(odd, rule=replace(odd.rule, misfire=Misfire.ALL)), at(9)) == Firing(at(3), at(10), 0)
    assert firing_of(replace(odd, rule=replace(odd.rule, misfire=Misfire.SKIP)), at(9)) == Firing(None, at(10), 1)


def test_the_last_slot_of_all_has_none_after_it() -> None:
    last = schedule("0 9 7 1 * 0 2030")

    assert firing_of(last, NINE) == Firing(NINE, None, 0)
    assert firing_of(last, at(90)) == Firing(NINE, None, 0)
