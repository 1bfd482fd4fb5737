"""Timetables: zones, policies, and the last firings before a moment."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowdsl.errors import TimetableError
from flowdsl.timetable import Gap, OverlapHour, Timetable, zone_of

SPRING, AUTUMN = datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
BERLIN = "Europe/Berlin"


def shown(timetable: Timetable, moment: datetime, count: int) -> list[str]:
    return [f"{timetable.local(firing):%d %H:%M %z}" for firing in timetable.preview(moment, count)]


def test_in_a_gap_the_firing_comes_at_the_first_moment_after_it_or_not_at_all() -> None:
    assert shown(Timetable("30 2 * * *", BERLIN), SPRING, 2) == ["29 03:00 +0200", "30 02:30 +0200"]
    assert shown(Timetable("30 2 * * *", BERLIN, gap=Gap.SKIP), SPRING, 1) == ["30 02:30 +0200"]


def test_several_firings_in_a_gap_and_one_right_after_it_are_one() -> None:
    assert shown(Timetable("*/30 2,3 * * *", BERLIN), SPRING, 3) == ["29 03:00 +0200", "29 03:30 +0200", "30 02:00 +0200"]


def test_in_an_overlap_a_named_hour_comes_once_and_unnamed_hours_go_on() -> None:
    assert shown(Timetable("45 2 * * *", BERLIN), AUTUMN, 2) == ["25 02:45 +0200", "26 02:45 +0100"]
    assert shown(Timetable("45 * * * *", BERLIN), AUTUMN, 3) == ["25 02:45 +0200", "25 02:45 +0100", "25 03:45 +0100"]
    assert shown(Timetable("45 */2 * * *", BERLIN), AUTUMN, 2) == ["25 02:45 +0200", "25 02:45 +0100"]


def test_an_overlap_comes_as_often_as_was_asked_for() -> None:
    once, twice = OverlapHour.ONCE, OverlapHour.TWICE

    assert shown(Timetable("45 2 * * *", BERLIN, overlap_hour=twice), AUTUMN, 2) == ["25 02:45 +0200", "25 02:45 +0100"]
    assert shown(Timetable("45 * * * *", BERLIN, overlap_hour=once), AUTUMN, 2) == ["25 02:45 +0200", "25 03:45 +0100"]


def test_a_duration_goes_by_elapsed_time_whatever_the_clocks_show() -> None:
    firings = Timetable("@every 40m", BERLIN).preview(AUTUMN, 20)

    assert {later - earlier for earlier, later in pairwise(firings)} == {timedelta(minutes=40)}


def test_moments_may_come_in_any_zone_and_are_answered_in_utc() -> None:
    timetable = Timetable("0 9 * * *", "Europe/London")
    in_tokyo = datetime(2026, 6, 1, 16, 30, tzinfo=timezone(timedelta(hours=9)))

    assert timetable.after(in_tokyo) == datetime(2026, 6, 1, 8, tzinfo=UTC)
    assert timetable.after(in_tokyo).tzinfo is UTC  # type: ignore[union-attr]
    in_an_overlap = datetime(2026, 10, 25, 2, 50, tzinfo=zoneinfo.ZoneInfo(BERLIN), fold=1)
    assert Timetable("55 * * * *", BERLIN).after(in_an_overlap) == datetime(2026, 10, 25, 1, 55, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Europe/Londn", "Did you mean 'Europe/London'?"),
        ("london", "Did you mean 'Europe/London'?"),
        ("New York", "Did you mean 'America/New_York'?"),
        ("europe/london ", "Did you mean 'Europe/London'?"),
        ("", "is no time zone"),
        ("x" * 100, "is no time zone"),
        ("/etc/passwd", "there is no time zone"),
        ("../../etc/passwd", "there is no time zone"),
        ("Europe", "there is no time zone"),
        ("\0", "there is no time zone"),
        (None, "is no time zone"),
    ],
)
def test_an_unknown_zone_is_refused_with_a_remedy(name: str, says: str) -> None:
    with pytest.raises(TimetableError) as refused:
        Timetable("* * * * *", name)
    assert says in str(refused.value)
    assert refused.value.remedy


def test_without_a_database_of_zones_utc_works_and_the_remedy_is_to_install_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise zoneinfo.ZoneInfoNotFoundError(name)

    monkeypatch.setattr("flowdsl.timetable.ZoneInfo", missing)
    monkeypatch.setattr("flowdsl.timetable.available_timezones", lambda: set[str]())

    assert zone_of("UTC") is UTC
    with pytest.raises(TimetableError, match="pip install tzdata"):
        zone_of("Europe/London")


@settings(max_examples=50, deadline=None)
@given(
    # An expression, and a time in which it fires about thirty times.
    spec=st.sampled_from(
        [
            ("* * * * * *", timedelta(seconds=30)),
            ("*/7 * * * *", timedelta(hours=4)),
            ("0 9 * * 1-5", timedelta(days=40)),
            ("0 0 1 1 *", timedelta(days=10_000)),
            ("@every 11s", timedelta(minutes=5)),
            ("0 0 1 1 * 0 2020", timedelta(days=700)),
        ]
    ),
    since=st.datetimes(datetime(2019, 1, 1), datetime(2026, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - in UTC
    part=st.floats(0, 1),
    count=st.integers(1, 5),
)
def test_the_last_firings_of_a_time_are_those_that_going_through_it_finds(
    spec: tuple[str, timedelta], since: datetime, part: float, count: int
) -> None:
    timetable, until = Timetable(spec[0], BERLIN), since + spec[1] * part
    every = [firing for firing in timetable.preview(since, 50) if firing <= until]

    assert timetable.latest(since, until, count) == every[-count:]


def test_the_last_firing_is_found_quickly_however_long_the_time_was(monkeypatch: pytest.MonkeyPatch) -> None:
    timetable, asked, after = Timetable("* * * * * *"), [0], Timetable.after

    def counting(self: Timetable, moment: datetime) -> datetime | None:
        asked[0] += 1
        return after(self, moment)

    monkeypatch.setattr(Timetable, "after", counting)

    assert timetable.latest(AUTUMN - timedelta(days=3650), AUTUMN, 1) == [AUTUMN]
    assert asked[0] < 100
