"""Cron expressions: when, on a clock on the wall. What time zones make of that is `flowdsl.timetable`'s business.

The fields are croniter's: minute, hour, day, month, weekday, then, if wanted, second and year. `*`, `?`, lists, ranges, steps,
names, `L` (last day; `L5`: last Friday), `5#2` (second Friday), `15W` (the working day nearest to the 15th), `H` (a value that
follows from the schedule's name, so that many schedules do not fire together), the usual @words, and `@every 90m`.
A day matches by day or by weekday where both are given.
"""

from __future__ import annotations

import calendar
import copy
import difflib
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from croniter import croniter

from flowdsl.errors import TimetableError

MAX_TEXT = 256
"""Characters of an expression."""
MAX_YEARS = 150
"""How far ahead a firing is looked for. Croniter's years end in 2099; leap days of a certain weekday are 28 years apart."""

WORDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
FIELDS = ("minute", "hour", "day", "month", "weekday", "second", "year")
RANGES = ("0-59", "0-23", "1-31", "1-12", "0-7 (0 and 7: Sunday)", "0-59", "1970-2099")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
NAMES = {3: MONTHS, 4: DAYS}
ORDINALS = ("first", "second", "third", "fourth", "fifth")
SHAPE = "Write minute hour day month weekday, e.g. '0 9 * * 1-5' for 9:00 on working days; a sixth field is the second."

_EVERY = re.compile(r"@every\s+(\S+)", re.ASCII)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(w|d|h|m|s)", re.ASCII)
_SECONDS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_HASHED = re.compile(r"h(\(|/|$)", re.ASCII)
_RANDOM = re.compile(r"r(\(|/|$)", re.ASCII)
_WORD = re.compile(r"[a-z]{2,}", re.ASCII)
_START = datetime(1970, 1, 1)  # noqa: DTZ001 - a clock on the wall has no zone


class Every:
    """`@every 90m`: each whole multiple of a duration since the start of 1970 in UTC, whatever clocks on walls do. So the moments
    are the same for everybody who reckons them, and a restart does not shift them."""

    def __init__(self, text: str, period: timedelta) -> None:
        self.text = text
        self.period = period

    def describe(self) -> str:
        """In words."""
        left, parts = int(self.period.total_seconds()), []
        for unit, seconds in _SECONDS.items():
            count, left = divmod(left, seconds)
            parts += [f"{count}{unit}"] if count else []
        return f"every {''.join(parts)}, counted from 1970 in UTC"

    def __repr__(self) -> str:
        return f"<Every {self.period}>"


class Cron:
    """Moments that a clock on the wall shows."""

    def __init__(self, text: str, parsed: croniter, words: list[str]) -> None:
        self.text = text
        self._parsed = parsed
        self._words = words
        self.names_hours = not words[1].startswith("*") and parsed.expanded[1] != ["*"]
        """Whether it says which hours; else it fires in all of them, or in every so many."""

    def after(self, local: datetime) -> datetime | None:
        """The first match later than `local`, which has no zone; None: there is none."""
        search = copy.copy(self._parsed)  # it keeps its place in itself
        try:
            found: datetime = search.get_next(datetime, start_time=local.replace(microsecond=0))
        except (ValueError, OverflowError):  # croniter's word for "none", and the end of the calendar
            return None
        return found

    def describe(self) -> str:
        """In words: the time of day where it is one, else field by field."""
        fields = dict(zip(FIELDS, self._parsed.expanded, strict=False))
        words = dict(zip(FIELDS, self._words, strict=False))
        single = [fields[name][0] for name in ("hour", "minute") if len(fields[name]) == 1 and isinstance(fields[name][0], int)]
        second = fields.get("second", [0])
        if len(single) == 2 and second == [0]:
            said = [f"at {single[0]:02}:{single[1]:02}"]
        else:
            minute = fields["minute"]
            said = [
                "" if second == [0] else _every("second", second),
                _every("minute", minute) if second == [0] else "" if minute == ["*"] else _said("minute", minute),
                "" if fields["hour"] == ["*"] else _said("hour", fields["hour"]),
            ]
        day = "" if fields["day"] == ["*"] else _said("day", words["day"] if "w" in words["day"] else fields["day"])
        weekday = "" if fields["weekday"] == ["*"] else self._weekdays(fields["weekday"])
        said.append(" or ".join(part for part in (day, weekday) if part))
        said += [_said(name, fields[name]) for name in ("month", "year") if fields.get(name, ["*"]) != ["*"]]
        return ", ".join(part for part in said if part)

    def _weekdays(self, days: Sequence[int | str]) -> str:
        nth = self._parsed.nth_weekday_of_month
        if not nth:
            return _said("weekday", days)
        every = [(day, which) for day, numbers in sorted(nth.items()) for which in sorted(numbers, key=str)]
        return "on the " + " and the ".join(
            f"{'last' if str(n) == 'l' else ORDINALS[int(n) - 1]} {_day_name(d)}" for d, n in every
        )

    def __repr__(self) -> str:
        return f"<Cron {self.text!r}>"


def parse(text: str, name: str = "") -> Cron | Every:
    """An expression. In: its text; the name that its `H` fields follow from. Raises TimetableError, with a remedy, for what
    cannot be understood and for what never fires."""
    if not isinstance(text, str) or not text.strip():
        raise TimetableError(f"{text!r} is no cron expression.", remedy=SHAPE)
    if len(text) > MAX_TEXT:
        raise TimetableError(f"a cron expression has at most {MAX_TEXT} characters, this one {len(text)}.", remedy=SHAPE)
    words = text.lower().split()
    if words[0] == "@every":
        return Every(text.strip(), _period(text))
    if words[0].startswith("@"):
        if " ".join(words) not in WORDS:
            near = difflib.get_close_matches(words[0], [*WORDS, "@every"], 1)
            hint = f"Did you mean {near[0]}? " if near else ""
            raise TimetableError(f"{text.strip()!r} is unknown.", remedy=f"{hint}Known: {', '.join(WORDS)}, @every 90m.")
        words = WORDS[words[0]].split()
    if not text.isascii():
        raise TimetableError(f"the cron expression {text!r} has characters outside ASCII.", remedy=SHAPE)
    if not 5 <= len(words) <= 7:
        raise TimetableError(f"the cron expression {text.strip()!r} has {_fields(len(words))}, not 5, 6 or 7.", remedy=SHAPE)
    for index, word in enumerate(words):
        if _RANDOM.match(word):
            raise TimetableError(
                f"{word!r} would be another {FIELDS[index]} in each process.",
                remedy="Write H instead of R: it follows from the schedule's name.",
            )
    parsed = _croniter(words, name)
    if parsed is None:
        raise _blame(text.strip(), words, name)
    by_both = parsed.expanded[2] != ["*"] and parsed.expanded[4] != ["*"]
    if by_both and (parsed.nth_weekday_of_month or "w" in words[2]):
        raise TimetableError(
            f"{text.strip()!r} has a day and a weekday, one with #, L or W: crons do not agree whether one or both must match.",
            remedy="Give one of them, or make two schedules.",
        )
    cron = Cron(text.strip(), parsed, words)
    if cron.after(_START - timedelta(seconds=1)) is None:
        raise TimetableError(
            f"{text.strip()!r} never fires.",
            remedy="Give a day that its months have, and years up to 2099; L is a month's last day.",
        )
    return cron


def _every(name: str, values: Sequence[int | str]) -> str:
    """A field of sixty: `every minute`, `every 15 minutes`, or which."""
    if values == ["*"]:
        return f"every {name}"
    step = 60 // len(values)
    return f"every {step} {name}s" if len(values) > 1 and values == list(range(0, 60, step)) else _said(name, values)


def _said(name: str, values: Sequence[int | str]) -> str:
    """One field: `minutes 0, 15, 30`, `hour 9`, `Monday to Friday`, runs of three and more as ranges."""
    if isinstance(values, str):
        return f"on day {values.upper()}"
    if values == ["l"]:
        return "on the last day"
    spelt = {"month": lambda n: calendar.month_name[n], "weekday": _day_name}.get(name, str)
    parts = [spelt(first) if first == last else f"{spelt(first)} to {spelt(last)}" for first, last in _runs(values)]
    text = ", ".join("the last day" if part == "l" else part for part in parts)
    if name in ("month", "weekday", "year"):
        return f"{'on' if name == 'weekday' else 'in'} {text}"
    return f"{'on ' if name == 'day' else ''}{name if len(parts) == 1 and ' to ' not in text else name + 's'} {text}"


def _runs(values: Sequence[int | str]) -> list[tuple[Any, Any]]:
    """First and last of each run of neighbours; two neighbours are no run."""
    runs: list[list[int | str]] = []
    for value in values:
        if runs and isinstance(value, int) and runs[-1][-1] == value - 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return [pair for run in runs for pair in ([(run[0], run[-1])] if len(run) > 2 else [(value, value) for value in run])]


def _day_name(day: int | str) -> str:
    return "day" if day == "*" else calendar.day_name[(int(day) - 1) % 7]


def _croniter(words: list[str], name: str) -> croniter | None:
    """None: croniter will not have it. It says so in more ways than its own errors."""
    hashed = name.encode("utf-8", "surrogatepass") if any(_HASHED.match(word) for word in words) else None
    try:
        return croniter(" ".join(words), _START, hash_id=hashed, max_years_between_matches=MAX_YEARS)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError):
        return None


def _blame(text: str, words: list[str], name: str) -> TimetableError:
    """Which field is wrong, found by trying each alone."""
    for index, word in enumerate(words):
        alone = ["*"] * len(words)
        alone[index] = word
        if _croniter(alone, name) is not None:
            continue
        known = NAMES.get(index, ())
        unknown = [part for part in _WORD.findall(word) if part not in known]
        near = difflib.get_close_matches(unknown[0], known, 1) if unknown else []
        hint = f"Did you mean {near[0].upper()}? " if near else ""
        names = f", {known[0].upper()} to {known[-1].upper()}" if known else ""
        return TimetableError(
            f"the {FIELDS[index]} {word!r} of the cron expression {text!r} cannot be understood.",
            remedy=f"{hint}It takes {RANGES[index]}{names}, with lists (1,5), ranges (1-5) and steps (*/5).",
        )
    return TimetableError(f"the fields of the cron expression {text!r} do not go together.", remedy=SHAPE)


def _period(text: str) -> timedelta:
    remedy = "Write whole seconds, one at least, as in @every 90m or @every 1h30m; the units are w, d, h, m and s."
    found = _EVERY.fullmatch(text.strip().lower())
    parts = _DURATION.findall(found[1]) if found is not None else []
    if found is None or "".join(number + unit for number, unit in parts) != found[1]:
        raise TimetableError(f"{text.strip()!r} has no duration.", remedy=remedy)
    try:
        period = sum((timedelta(seconds=float(number) * _SECONDS[unit]) for number, unit in parts), timedelta(0))
    except OverflowError:
        raise TimetableError(f"{text.strip()!r} is longer than a calendar.", remedy=remedy) from None
    if period < timedelta(seconds=1) or period.microseconds or period > timedelta(days=366 * MAX_YEARS):
        raise TimetableError(f"{text.strip()!r} is no duration that a schedule can have.", remedy=remedy)
    return period


def _fields(count: int) -> str:
    return f"{count} field" if count == 1 else f"{count} fields"
