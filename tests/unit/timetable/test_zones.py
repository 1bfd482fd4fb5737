"""Timetables across the clock changes of every time zone, compared with an oracle that looks at each minute of UTC."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import get_args
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import HealthCheck, Phase, assume, example, given, settings
from hypothesis import strategies as st

from flowdsl.errors import TimetableError
from flowdsl.timetable import Gap, OverlapHour, Timetable
from tests.unit.timetable.oracle import MINUTE, GapChoice, Overlap, changes, different_zones, firings

SPECS = ("*/20 * * * *", "30 2 * * *", "0 0 * * *", "15,45 1-3 * * *", "59 23 * * 0")
POLICIES = [(gap, overlap) for gap in get_args(GapChoice) for overlap in get_args(Overlap)]
HOUR = timedelta(hours=1)
YEARS = (datetime(2024, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))
ODD = {
    "Pacific/Apia": datetime(2011, 12, 30, tzinfo=UTC),  # a day left out
    "Pacific/Kwajalein": datetime(1993, 8, 20, tzinfo=UTC),  # the same
    "Australia/Lord_Howe": datetime(2024, 4, 6, tzinfo=UTC),  # half an hour
    "Antarctica/Troll": datetime(2024, 3, 31, tzinfo=UTC),  # two hours
    "America/Santiago": datetime(2024, 9, 8, tzinfo=UTC),  # at midnight
    "Africa/Casablanca": datetime(2024, 4, 14, tzinfo=UTC),  # Ramadan
    "Asia/Pyongyang": datetime(2018, 5, 4, tzinfo=UTC),  # half an hour, no daylight saving time
    "America/Caracas": datetime(2016, 5, 1, tzinfo=UTC),
    "Europe/Dublin": datetime(2024, 10, 27, tzinfo=UTC),  # daylight saving time in winter, with a negative amount
    "Asia/Kathmandu": datetime(1985, 12, 31, tzinfo=UTC),  # a quarter of an hour
    "Africa/Monrovia": datetime(1972, 1, 6, tzinfo=UTC),  # three quarters of an hour and thirty seconds
}


def compare(
    name: str, spec: str, gap: GapChoice, overlap: Overlap, begin: datetime, end: datetime, step: timedelta = MINUTE
) -> None:
    """All firings in that time, and the next one after moments in between."""
    zone = ZoneInfo(name)
    timetable = Timetable(spec, name, gap=Gap(gap), overlap_hour=OverlapHour(overlap))
    wanted = firings(spec, zone, begin, end, gap, overlap, step)
    found: list[datetime] = []
    for firing in timetable.following(begin - timedelta(seconds=1)):
        if firing > end:
            break
        found.append(firing)
    assert found == wanted, (name, spec, gap, overlap)
    chance = random.Random(f"{name}{spec}{begin}")
    for _ in range(3):
        moment = begin + timedelta(seconds=chance.randrange(int((end - begin).total_seconds())), microseconds=7)
        later = [firing for firing in wanted if firing > moment]
        answer = timetable.after(moment)
        assert answer is not None
        assert answer > moment
        assert not later or answer == later[0], (name, spec, gap, overlap, moment)


def test_over_every_zone_the_latest_changes_are_as_the_oracle_says() -> None:
    """Each zone with changes, each of its changes in two years, each policy; the specs take turns."""
    compared = 0
    for name, moments in different_zones(*YEARS):
        for index, change in enumerate(moments[-2:]):
            for turn, (gap, overlap) in enumerate(POLICIES):
                compare(name, SPECS[(index + turn) % len(SPECS)], gap, overlap, change - 4 * HOUR, change + 4 * HOUR)
                compared += 1
    assert compared > 200


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("spec", SPECS)
def test_odd_changes_are_as_the_oracle_says(name: str, spec: str) -> None:
    near = ODD[name]
    (change,) = changes(ZoneInfo(name), near - 36 * HOUR, near + 36 * HOUR)
    step = MINUTE / 2 if name == "Africa/Monrovia" else MINUTE
    for gap, overlap in POLICIES:
        compare(name, spec, gap, overlap, change.replace(second=0) - 30 * HOUR, change + 30 * HOUR, step)


@pytest.mark.parametrize("change", [datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)])
@pytest.mark.parametrize("spec", ["*/10 1,2 * * * */20", "0-30/15 * * * * 59", "59 * * * * *"])
def test_seconds_across_a_change_are_as_the_oracle_says(spec: str, change: datetime) -> None:
    for gap, overlap in POLICIES:
        compare("Europe/Berlin", spec, gap, overlap, change - 2 * HOUR, change + 2 * HOUR, timedelta(seconds=1))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_kind_of_change_of_every_zone_since_1972_is_as_the_oracle_says() -> None:
    """A kind: from one offset to another at one time on the wall. Each is compared where a zone has it first and last."""
    compared = 0
    for name, moments in different_zones(datetime(1972, 1, 8, tzinfo=UTC), datetime(2037, 12, 31, tzinfo=UTC)):
        zone = ZoneInfo(name)
        kinds: dict[object, list[datetime]] = {}
        for change in moments:
            before, after = (change - HOUR).astimezone(zone), change.astimezone(zone)
            kinds.setdefault((before.utcoffset(), after.utcoffset(), before.time()), []).append(change)
        for change in sorted({moment for of_kind in kinds.values() for moment in (of_kind[0], of_kind[-1])}):
            gap, overlap = POLICIES[compared % len(POLICIES)]
            compare(name, SPECS[compared % len(SPECS)], gap, overlap, change - 3 * HOUR, change + 3 * HOUR)
            compared += 1
    assert compared > 1_500  # how many there are depends on how the machine's database of zones is packed: 1,837 or over 3,000


def field(low: int, high: int) -> st.SearchStrategy[str]:
    """A field with numbers from low to high: everything, single ones, lists, ranges, steps."""
    one = st.integers(low, high).map(str)
    span = st.tuples(st.integers(low, high), st.integers(low, high)).filter(lambda p: p[0] < p[1]).map(lambda p: f"{p[0]}-{p[1]}")
    step = st.integers(1, high)
    stepped = st.builds(lambda what, n: f"{what}/{n}", st.one_of(st.just("*"), span), step)
    part = st.one_of(one, span, stepped)
    return st.one_of(st.just("*"), part, st.lists(part, min_size=2, max_size=3, unique=True).map(",".join))


weekday = st.one_of(
    field(0, 6),
    st.sampled_from(["?", "7", "SUN", "mon-fri", "SAT,SUN", "2#1", "FRI#2", "1#1,3#3", "L5", "L0"]),
)
day = st.one_of(field(1, 31), st.sampled_from(["?", "L", "1,L"]))
month = st.one_of(st.just("*"), field(1, 12), st.sampled_from(["JAN", "mar-jun", "feb,OCT"]))
specs = st.builds(lambda *fields: " ".join(fields), field(0, 59), field(0, 23), day, month, weekday)
ZONES = sorted(available_timezones() - {"localtime", "Factory"})


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], phases=set(Phase) - {Phase.shrink})
@given(
    spec=specs,
    name=st.sampled_from(ZONES),
    begin=st.datetimes(datetime(1973, 1, 1), datetime(2036, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - in UTC
    policy=st.sampled_from(POLICIES),
    where=st.sampled_from(["anywhere", "at a change", "at a firing"]),
)
@example("0 0 31 * 2", "Europe/Berlin", datetime(2024, 1, 1, tzinfo=UTC), ("next", "once"), "anywhere")
def test_any_expression_in_any_zone_is_as_the_oracle_says(
    spec: str, name: str, begin: datetime, policy: tuple[GapChoice, Overlap], where: str
) -> None:
    begin = begin.replace(second=0, microsecond=0)
    try:
        timetable = Timetable(spec, name)
    except TimetableError as error:
        assume("never fires" not in str(error) and "a day and a weekday" not in str(error))
        raise
    if where == "at a change":
        begin = next(changes(ZoneInfo(name), begin, begin + timedelta(days=400)), begin).replace(second=0) - 26 * HOUR
    elif where == "at a firing":
        begin = (timetable.after(begin) or begin).replace(second=0) - 26 * HOUR
    compare(name, spec, *policy, begin, begin + 52 * HOUR)
