"""Timetables: a cron expression in a time zone, and what becomes of it when the zone's clocks are changed.

Croniter is asked for times on a clock on the wall alone; which moments those are is decided here. Where clocks go forward some
times on the wall do not exist (a gap), where they go back some come twice (an overlap). Any change of a zone's offset is one or
the other: daylight saving time, a country that moves to another zone, a day left out at the date line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from zoneinfo import ZoneInfo, available_timezones

from flowdsl.cron import Cron, Every, parse
from flowdsl.errors import TimetableError

SECOND = timedelta(seconds=1)
MAX_ZONE = 64
"""Characters of a zone's name."""


class Gap(StrEnum):
    """What becomes of a firing whose time on the wall does not exist, because the clocks go forward over it."""

    NEXT = "next"
    """It comes at the first moment after the gap; several become one."""
    SKIP = "skip"
    """It is left out."""


class OverlapHour(StrEnum):
    """What becomes of a firing whose time on the wall comes twice, because the clocks go back over it."""

    AUTO = "auto"
    """ONCE where the expression says which hours; TWICE where its hours begin with `*`, so that what fires every ten minutes
    does not pause for an hour."""
    ONCE = "once"
    """It comes the first time only."""
    TWICE = "twice"
    """It comes both times."""


class Timetable:
    """When a schedule fires. In: a cron expression (see `flowdsl.cron`), the name of a time zone, the policies, and the name that
    `H` fields follow from. Raises TimetableError for what cannot be understood or never fires.

    Moments may come in any zone and are answered in UTC: Python compares two times of one zone by what the wall shows.
    """

    def __init__(
        self,
        spec: str,
        timezone: str = "UTC",
        *,
        gap: Gap = Gap.NEXT,
        overlap_hour: OverlapHour = OverlapHour.AUTO,
        name: str = "",
    ) -> None:
        self.rule = parse(spec, name)
        self.spec = self.rule.text
        self.timezone = timezone
        self.zone = zone_of(timezone)
        self.gap = gap
        self.overlap_hour = overlap_hour
        names_hours = isinstance(self.rule, Cron) and self.rule.names_hours
        self._twice = overlap_hour is OverlapHour.TWICE or (overlap_hour is OverlapHour.AUTO and not names_hours)

    def after(self, moment: datetime) -> datetime | None:
        """The first firing later than `moment`; None: there is none any more."""
        instant = moment.astimezone(UTC).replace(microsecond=0)  # firings are on whole seconds
        if isinstance(self.rule, Every):
            return _multiple(instant, self.rule.period)
        return self._on_the_wall(instant, self.rule)

    def preview(self, moment: datetime, count: int) -> list[datetime]:
        """The next firings later than `moment`, at most `count`."""
        return [firing for firing, _ in zip(self.following(moment), range(count), strict=False)]

    def following(self, moment: datetime) -> Iterator[datetime]:
        """Every firing later than `moment`, in order."""
        firing = self.after(moment)
        while firing is not None:
            yield firing
            firing = self.after(firing)

    def latest(self, since: datetime, until: datetime, count: int) -> list[datetime]:
        """The last firings, at most `count`, that are later than `since` and not later than `until`, in order. The cost depends
        on `count`, not on how long that is."""
        since, until, span = since.astimezone(UTC), until.astimezone(UTC), timedelta(minutes=1)
        while True:
            begin = max(since, until - span) if until - since > span else since
            found: list[datetime] = []
            for firing in self.following(begin):
                if firing > until:
                    break
                found.append(firing)
            if len(found) >= count or begin == since:
                return found[-count:]
            span *= 4

    def local(self, moment: datetime) -> datetime:
        """A moment as the zone's clocks show it."""
        return moment.astimezone(self.zone)

    def describe(self) -> str:
        """In words, e.g. `at 09:00, on Monday to Friday (Europe/London)`."""
        return f"{self.rule.describe()} ({self.timezone})" if isinstance(self.rule, Cron) else self.rule.describe()

    def __repr__(self) -> str:
        return f"<Timetable {self.spec!r} {self.timezone}>"

    # -- moments --------------------------------------------------------------------------------------------------------------

    def _on_the_wall(self, instant: datetime, cron: Cron) -> datetime | None:
        wall = self._wall(instant)
        first, second = self._instants(wall)
        if first < second:  # it shows this twice
            change = self._change(first, second)
            ends = change.replace(tzinfo=None) + (wall - first.replace(tzinfo=None))
            if instant < change:
                found = cron.after(wall)
                if found is not None and found < ends:
                    return self._instants(found)[0]
                wall = self._wall(change) - SECOND
            if self._twice:
                found = cron.after(wall)
                if found is not None and found < ends:
                    return self._instants(found)[1]
            wall = ends - SECOND
        while True:
            found = cron.after(wall)
            if found is None:
                return None
            first, second = self._instants(found)
            if first <= second:
                return first
            change = self._change(second, first)
            if self.gap is Gap.NEXT:
                return change
            wall = self._wall(change) - SECOND

    def _wall(self, instant: datetime) -> datetime:
        """What the clock on the wall shows."""
        return instant.astimezone(self.zone).replace(tzinfo=None, fold=0)

    def _instants(self, wall: datetime) -> tuple[datetime, datetime]:
        """When the clock on the wall shows this: the same moment twice; or the first and the second time, in an overlap; or, in
        a gap, two moments in falling order, one on each side of the change."""
        return (
            wall.replace(tzinfo=self.zone, fold=0).astimezone(UTC),
            wall.replace(tzinfo=self.zone, fold=1).astimezone(UTC),
        )

    def _change(self, before: datetime, after: datetime) -> datetime:
        """The first moment, later than `before` and not later than `after`, with another offset than `before`."""
        offset = _offset(before, self.zone)
        while after - before > SECOND:
            middle = (before + (after - before) // 2).replace(microsecond=0)
            if _offset(middle, self.zone) == offset:
                before = middle
            else:
                after = middle
        return after


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def zone_of(name: str) -> tzinfo:
    """The time zone of a name, e.g. Europe/London. Raises TimetableError."""
    if name == "UTC":
        return UTC  # also where no database of time zones is installed
    if not isinstance(name, str) or not name or len(name) > MAX_ZONE:
        raise TimetableError(f"{name!r} is no time zone.", remedy="Give a name such as 'Europe/London', or 'UTC'.")
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # not there; no name of a file below; a folder
        known = available_timezones()
    if not known:
        raise TimetableError(
            f"the time zone {name!r} cannot be looked up: this machine has no database of time zones.",
            remedy="pip install tzdata",
        )
    by_case = {zone.lower(): zone for zone in known}
    wanted = name.strip().replace(" ", "_").lower()
    cities = {zone.rpartition("/")[2]: zone for zone in by_case}
    near = [wanted] if wanted in by_case else difflib.get_close_matches(wanted, by_case, 1)
    near = near or [cities[city] for city in difflib.get_close_matches(wanted.rpartition("/")[2], cities, 1)]
    hint = f"Did you mean {by_case[near[0]]!r}?" if near else "Give a name such as 'Europe/London', or 'UTC'."
    raise TimetableError(f"there is no time zone {name!r}.", remedy=hint)


def _multiple(instant: datetime, period: timedelta) -> datetime | None:
    try:
        return EPOCH + ((instant - EPOCH) // period + 1) * period
    except OverflowError:
        return None


def _offset(instant: datetime, zone: tzinfo) -> timedelta | None:
    return instant.astimezone(zone).utcoffset()
