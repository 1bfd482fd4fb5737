"""A schedule as the command line shows it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from flowdsl.errors import TimetableError
from flowdsl.model.schedule import JournalEntry, Note, Schedule, ScheduleOrigin, ScheduleRule


class ScheduleView(Struct, frozen=True, kw_only=True):
    """A schedule without the object of its runs."""

    workflow: str
    name: str
    state: str
    """active, paused, failing, waiting, over (its last time has passed), removed."""
    origin: ScheduleOrigin
    rule: ScheduleRule
    words: str
    """When it fires, in words."""
    next: datetime | None
    last_slot: datetime | None
    last_run_id: str | None
    started: int
    skipped: int
    busy: int
    missed: int
    attempts: int
    error: str | None
    waiting_for: str | None
    paused: Note | None
    removed: Note | None
    created: Note
    changed: Note
    revision: int

    @classmethod
    def of(cls, schedule: Schedule) -> ScheduleView:
        copied = {
            name: getattr(schedule, name)
            for name in cls.__struct_fields__
            if name not in ("state", "words", "next") and hasattr(schedule, name)
        }
        return cls(**copied, state=_state(schedule), words=_words(schedule), next=schedule.slot if schedule.active else None)

    @property
    def note(self) -> str:
        """What a person should know about it, if anything."""
        if self.removed is not None:
            return f"by {self.removed.by}{f': {self.removed.reason}' if self.removed.reason else ''}"
        if self.paused is not None:
            return f"by {self.paused.by}: {self.paused.reason}"
        if self.error is not None:
            return f"attempt {self.attempts}: {self.error}"
        return f"for run {self.waiting_for}" if self.waiting_for is not None else ""


class WholeScheduleView(Struct, frozen=True, kw_only=True):
    """A schedule with its next firings, in its time zone, and the newest entries of its journal."""

    schedule: ScheduleView
    firings: Sequence[datetime]
    journal: Sequence[JournalEntry]


def _state(schedule: Schedule) -> str:
    if schedule.removed is not None:
        return "removed"
    if schedule.paused is not None:
        return "paused"
    if schedule.slot is None:
        return "over"
    if schedule.attempts:
        return "failing"
    return "waiting" if schedule.waiting_for is not None else "active"


def _words(schedule: Schedule) -> str:
    try:
        return schedule.timetable.describe()
    except TimetableError as error:
        return f"unknown here: {error}"
