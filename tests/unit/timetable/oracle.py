"""What a timetable should answer, found by looking at every minute of UTC in turn. It shares no code with the library: it reads
the expressions itself, and knows of clock changes only by seeing the clock on the wall jump."""

from __future__ import annotations

import calendar
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from typing import Literal
from zoneinfo import ZoneInfo, available_timezones

MINUTE = timedelta(minutes=1)
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
Overlap = Literal["once", "twice"]
GapChoice = Literal["next", "skip"]


def firings(
    text: str, zone: tzinfo, begin: datetime, end: datetime, gap: GapChoice, overlap: Overlap, step: timedelta = MINUTE
) -> list[datetime]:
    """Every moment from `begin` to `end`, `step` by `step`, at which the schedule fires."""
    fits = matcher(text)
    found: list[datetime] = []
    moment = begin.astimezone(UTC)
    shown = wall_at(moment - step, zone)
    latest = max(wall_at(moment - count * step, zone) for count in range(1, int(timedelta(hours=29) / step)))
    while moment <= end:
        wall = wall_at(moment, zone)
        leapt = gap == "next" and any(fits(shown + count * step) for count in range(1, (wall - shown) // step))
        again = wall <= latest
        if leapt or (fits(wall) and not (again and overlap == "once")):
            found.append(moment)
        shown, latest = wall, max(latest, wall)
        moment += step
    return found


def wall_at(moment: datetime, zone: tzinfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def matcher(text: str) -> Callable[[datetime], bool]:
    """Whether a time on the wall fits an expression of five fields, or of six with the second at the end."""
    minute, hour, day, month, weekday, *more = text.lower().split()
    minutes, hours, months = (numbers(minute, 0, 59), numbers(hour, 0, 23), numbers(month, 1, 12, MONTHS))
    seconds = numbers(more[0], 0, 59) if more else {0}
    # A field that covers everything is as good as `*` where the other one has a `*` in it.
    any_day = day in "*?" or ("*" in weekday and numbers(day.replace("l", "31"), 1, 31) == set(range(1, 32)))
    any_weekday = weekday in "*?" or (
        "*" in day and "#" not in weekday and weekday[0] != "l" and numbers(weekday, 0, 7, DAYS) >= set(range(7))
    )
    day_fits, weekday_fits = days_of_month(day), days_of_week(weekday)

    def fits(wall: datetime) -> bool:
        if wall.minute not in minutes or wall.hour not in hours or wall.month not in months or wall.second not in seconds:
            return False
        if any_day:
            return weekday_fits(wall)
        return day_fits(wall) if any_weekday else day_fits(wall) or weekday_fits(wall)

    return fits


def numbers(field: str, low: int, high: int, names: list[str] | None = None) -> set[int]:
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, dash, last = span.partition("-")
        if span in ("*", "?"):
            begin, end = low, high
        else:
            begin = number(first, low, names)
            end = number(last, low, names) if dash else (high if step else begin)
        found |= set(range(begin, end + 1, int(step or 1)))
    return found


def number(text: str, low: int, names: list[str] | None) -> int:
    return names.index(text) + low if names is not None and text in names else int(text)


def days_of_month(field: str) -> Callable[[datetime], bool]:
    if field in "*?":
        return lambda wall: True
    parts = field.split(",")
    plain = {n for part in parts if part != "l" for n in numbers(part, 1, 31)}
    return lambda wall: wall.day in plain or ("l" in parts and wall.day == calendar.monthrange(wall.year, wall.month)[1])


def days_of_week(field: str) -> Callable[[datetime], bool]:
    if field in "*?":
        return lambda wall: True
    parts = field.split(",")
    nth = {(number(p[:-2], 0, DAYS) % 7, int(p[-1])) for p in parts if "#" in p}
    last = {int(p[1:]) % 7 for p in parts if p[0] == "l"}
    plain = {n % 7 for part in parts if "#" not in part and part[0] != "l" for n in numbers(part, 0, 7, DAYS)}

    def fits(wall: datetime) -> bool:
        weekday = wall.isoweekday() % 7
        is_last = (wall + timedelta(days=7)).month != wall.month
        return weekday in plain or (weekday, (wall.day + 6) // 7) in nth or (is_last and weekday in last)

    return fits


def changes(zone: tzinfo, begin: datetime, end: datetime, stride: timedelta = timedelta(hours=6)) -> Iterator[datetime]:
    """The moments from which a zone has another offset than before."""
    moment, offset = begin, begin.astimezone(zone).utcoffset()
    while moment < end:
        earlier, offset = offset, (moment + stride).astimezone(zone).utcoffset()
        if earlier != offset:
            before, after = moment, moment + stride
            while after - before > timedelta(seconds=1):
                middle = (before + (after - before) // 2).replace(microsecond=0)
                if middle.astimezone(zone).utcoffset() == earlier:
                    before = middle
                else:
                    after = middle
            yield after
        moment += stride


@cache
def different_zones(begin: datetime, end: datetime) -> tuple[tuple[str, tuple[datetime, ...]], ...]:
    """A name and the changes of each zone that has any in that time; of zones that agree in all of them, one."""
    found: dict[tuple[tuple[datetime, timedelta | None], ...], tuple[str, tuple[datetime, ...]]] = {}
    for name in sorted(available_timezones()):
        zone = ZoneInfo(name)
        moments = tuple(changes(zone, begin, end, stride=timedelta(days=1)))  # no zone had two within a day
        agreeing = tuple((moment, moment.astimezone(zone).utcoffset()) for moment in moments)
        if moments:
            found.setdefault(agreeing, (name, moments))
    return tuple(found.values())
