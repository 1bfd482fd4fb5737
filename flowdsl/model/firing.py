"""Which slot a schedule fires now: a function of the timetable, the policies and the time, and of nothing else."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from flowdsl.model.schedule import Misfire, Schedule
from flowdsl.timetable import Timetable

TICK = timedelta(microseconds=1)
COUNTED = 1000
"""Slots left out at once are counted up to here."""


class Firing(NamedTuple):
    """What is to be done about a schedule that is due."""

    slot: datetime | None
    """The slot to start a run for; None: all that passed are left out."""
    following: datetime | None
    """The slot that comes after it; None: there is none any more."""
    missed: int
    """How many slots are left out before."""


def firing_of(schedule: Schedule, now: datetime) -> Firing | None:
    """None: nothing is due. A slot that was tried or waited for is not given up, however late it has become."""
    timetable, rule, first = schedule.timetable, schedule.rule, schedule.slot
    if first is None or first > now:
        return None
    tried = schedule.attempts > 0 or schedule.waiting_for is not None
    if tried or now - first <= rule.misfire_grace:
        return Firing(first, timetable.after(first), 0)
    if rule.misfire is Misfire.ALL:
        # Without any in the timetable the time zone's rules have changed since the slot was reckoned: it is kept as it is.
        kept = timetable.latest(first - TICK, now, rule.max_catch_up) or [first]
        return Firing(kept[0], timetable.after(kept[0]), _count(timetable, first, kept[0]))
    in_time = timetable.after(now - rule.misfire_grace - TICK)
    if in_time is not None and in_time <= now:
        return Firing(in_time, timetable.after(in_time), _count(timetable, first, in_time))
    last = (timetable.latest(first - TICK, now, 1) or [first])[0]
    if rule.misfire is Misfire.SKIP:
        return Firing(None, in_time, _count(timetable, first, last) + 1)
    return Firing(last, in_time, _count(timetable, first, last))


def _count(timetable: Timetable, first: datetime, end: datetime) -> int:
    """How many slots there are from `first` to before `end`."""
    return sum(1 for slot, _ in zip(timetable.following(first - TICK), range(COUNTED), strict=False) if slot < end)
