"""Schedules as they are stored: one item each, due when the schedule fires next, and a journal of what became of its slots.

A slot is a moment at which a schedule fires. Every change of a schedule, a firing among them, puts a journal entry under the key
of the next revision, which must be free: so changes are compared and set, and a slot is settled once, whoever tries and however
often. The items of a workflow have kinds of their own, so that nobody is kept waiting by schedules whose code is elsewhere.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache

from msgspec import Struct

from flowdsl.model.item import ItemKind
from flowdsl.timetable import Gap, OverlapHour, Timetable


class Misfire(StrEnum):
    """What becomes of slots that were missed: whose time passed by more than the grace while nobody was there to fire them."""

    SKIP = "skip"
    """They are left out."""
    ONCE = "once"
    """Together they are one firing, of the latest of them; none, if a slot that is not too late fires anyhow."""
    ALL = "all"
    """They are made up for in order, the latest `max_catch_up` of them."""


class IfRunning(StrEnum):
    """What becomes of a slot while a run of the schedule's foreign id is unfinished."""

    SKIP = "skip"
    """It is passed over."""
    WAIT = "wait"
    """It is kept until that run has ended. Slots that come meanwhile are late then: `misfire` decides about them."""
    ALLOW = "allow"
    """It is started: each slot has a foreign id of its own, the schedule's with the slot's time behind it."""


class ScheduleOrigin(StrEnum):
    """Where a schedule was made."""

    CODE = "code"
    RUNTIME = "runtime"


class ScheduleRule(Struct, frozen=True, kw_only=True):
    """When a schedule fires, and what it starts."""

    spec: str
    foreign_id: str
    timezone: str = "UTC"
    gap: Gap = Gap.NEXT
    overlap_hour: OverlapHour = OverlapHour.AUTO
    misfire: Misfire = Misfire.ONCE
    misfire_grace: timedelta = timedelta(minutes=1)
    max_catch_up: int = 100
    if_running: IfRunning = IfRunning.SKIP
    start_status: str | None = None
    """The stored text of the status that runs start in; None: the workflow's first starting status."""

    @property
    def times(self) -> tuple[str, str, Gap, OverlapHour]:
        """What its slots depend on: two rules with the same fire at the same moments."""
        return (self.spec.strip(), self.timezone, self.gap, self.overlap_hour)

    def foreign_id_at(self, moment: datetime) -> str:
        """The foreign id of the run of a slot, or of a run that is started by hand at a moment."""
        if self.if_running is not IfRunning.ALLOW:
            return self.foreign_id
        return f"{self.foreign_id}@{moment.astimezone(UTC).isoformat().replace('+00:00', 'Z')}"


class Note(Struct, frozen=True):
    """Who did something, when and why."""

    by: str
    at: datetime
    reason: str = ""


class Schedule(Struct, frozen=True, kw_only=True):
    """A schedule as the store has it. Times are the store's, in UTC."""

    workflow: str
    name: str
    id: str
    """Tells it from an earlier schedule of the same name."""
    revision: int
    """1 when made, one more with every change, a firing among them. The compare-and-set is on this."""
    origin: ScheduleOrigin
    rule: ScheduleRule
    object: str | None = None
    """The object of its runs as JSON, for one that was made at run time. Code has a function for it."""
    object_version: int = 1
    """The object's schema version."""
    created: Note
    changed: Note
    """When a person or a deployment changed it last."""
    slot: datetime | None
    """The slot that comes next; None: there is none any more."""
    passed: datetime | None = None
    """The last slot that was settled: nothing up to here fires again."""
    paused: Note | None = None
    removed: Note | None = None
    """Deleted, or no longer in the code. What is left is its journal."""
    attempts: int = 0
    """Failed attempts at the slot that comes next."""
    error: str | None = None
    """What the last of them raised."""
    waiting_for: str | None = None
    """The unfinished run that the slot waits for."""
    waits: int = 0
    """How often it was looked whether that run has ended."""
    last_slot: datetime | None = None
    """The last slot that started a run."""
    last_run_id: str | None = None
    started: int = 0
    skipped: int = 0
    """Slots for which the function answered None."""
    busy: int = 0
    """Slots that were passed over because the run before had not ended."""
    missed: int = 0
    """Slots that were left out because they were too late; at least so many, after long times."""

    @property
    def active(self) -> bool:
        """It will fire."""
        return self.slot is not None and self.paused is None and self.removed is None

    @property
    def timetable(self) -> Timetable:
        """Raises TimetableError where this machine does not know the time zone."""
        return timetable_of(self.workflow, self.name, self.rule)


class Event(StrEnum):
    """What a journal entry tells. Stored as text: newer code may tell of more."""

    CREATED = "created"
    CHANGED = "changed"
    PAUSED = "paused"
    RESUMED = "resumed"
    REMOVED = "removed"
    TRIGGERED = "triggered"
    """Somebody started a run of it by hand."""
    STARTED = "started"
    SKIPPED = "skipped"
    BUSY = "busy"
    WAITING = "waiting"
    MISSED = "missed"
    FAILED = "failed"
    """An attempt failed; the slot is kept."""
    ADJUSTED = "adjusted"
    """The change before took so long to be stored that the time to fire next had become too late; it was put right."""


class JournalEntry(Struct, frozen=True, kw_only=True):
    """One change of a schedule."""

    event: str
    """One of Event."""
    at: datetime
    by: str
    """A person, an instance, or `deployment`."""
    schedule: str = ""
    """Its name."""
    revision: int = 0
    """The revision that this made."""
    reason: str = ""
    slot: datetime | None = None
    run_id: str | None = None
    """The run that was started, or that was in the way."""
    missed: int = 0
    """Slots left out before this one."""
    error: str | None = None


def schedule_kind(workflow: str) -> str:
    """The kind of the items that are a workflow's schedules, by name; due when they fire next."""
    return f"{ItemKind.SCHEDULE}/{workflow}"


def slot_kind(workflow: str) -> str:
    """The kind of the items that are its journal; due when they may be forgotten."""
    return f"{ItemKind.SLOT}/{workflow}"


def entry_key(schedule_id: str, revision: int) -> str:
    """The key of the journal entry of a revision. Entries of one schedule follow each other."""
    return f"{schedule_id}/{revision:010}"


@lru_cache(maxsize=4096)
def _timetable(spec: str, timezone: str, gap: Gap, overlap_hour: OverlapHour, name: str) -> Timetable:
    return Timetable(spec, timezone, gap=gap, overlap_hour=overlap_hour, name=name)


def timetable_of(workflow: str, name: str, rule: ScheduleRule) -> Timetable:
    """Raises TimetableError."""
    return _timetable(rule.spec, rule.timezone, rule.gap, rule.overlap_hour, f"{workflow}/{name}")
