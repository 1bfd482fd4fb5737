"""What the code says about its schedules, brought into the book."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from flowdsl.dsl.schedule import ScheduleSpec
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.core import Core
from flowdsl.engine.schedule_book import Kept, ScheduleBook
from flowdsl.engine.schedule_run import declared
from flowdsl.errors import PayloadError
from flowdsl.model.schedule import Event, JournalEntry, Note, Schedule, ScheduleOrigin, timetable_of

log = logging.getLogger("flowdsl.schedules")
DEPLOYMENT = "deployment"
"""Who changes a schedule when code does."""


class DeclaredSchedules:
    """A schedule that is new, or fires at other times than before, begins with the first slot after now. Other changes leave its
    place as it is, and so does a restart. One that the code no longer has fires no more. A schedule of code takes the place of
    one of its name that was made at run time. Whether it is paused stays as it was."""

    def __init__(self, core: Core, book: ScheduleBook) -> None:
        self._core = core
        self._book = book

    def bring_in(self, workflow: Workflow[Any, Any]) -> bool:
        """False: somebody else was changing the same; try again. Raises StoreError."""
        now = self._core.store.now()
        specs = declared(workflow)
        done = True
        for spec in specs.values():
            try:
                kept = self._book.get(workflow.name, spec.label)
            except PayloadError as error:
                log.warning("schedule %s/%s is left to newer code: %s", workflow.name, spec.label, error)
                continue
            done = self._bring_in(workflow.name, spec, kept, now) and done
        for kept in self._book.all(workflow.name):
            schedule = kept.schedule
            if schedule.origin is ScheduleOrigin.CODE and schedule.removed is None and schedule.name not in specs:
                note = Note(DEPLOYMENT, now)
                log.info("schedule %s/%s is no longer in the code and fires no more", workflow.name, schedule.name)
                done = self._put(kept, replace(schedule, removed=note, changed=note), Event.REMOVED, now) and done
        return done

    def _bring_in(self, workflow: str, spec: ScheduleSpec, kept: Kept | None, now: datetime) -> bool:
        note, timetable = Note(DEPLOYMENT, now), timetable_of(workflow, spec.label, spec.rule)
        if kept is None:
            fresh = Schedule(
                workflow=workflow,
                name=spec.label,
                id=self._core.ids(),
                revision=1,
                origin=ScheduleOrigin.CODE,
                rule=spec.rule,
                created=note,
                changed=note,
                slot=timetable.after(now),
            )
            return self._put(None, fresh, Event.CREATED, now)
        old = kept.schedule
        ours = old.origin is ScheduleOrigin.CODE and old.removed is None
        if ours and old.rule == spec.rule:
            return True
        if not ours and old.removed is None:
            log.warning("schedule %s/%s, made at run time, gives way to the one of its name in the code", workflow, old.name)
        after = replace(old, origin=ScheduleOrigin.CODE, rule=spec.rule, object=None, removed=None, changed=note)
        if not (ours and old.rule.times == spec.rule.times):
            slot = timetable.after(max(now, old.passed or now))
            after = replace(after, slot=slot, attempts=0, error=None, waiting_for=None, waits=0)
        return self._put(kept, after, Event.CHANGED, now)

    def _put(self, kept: Kept | None, after: Schedule, event: Event, now: datetime) -> bool:
        entry = JournalEntry(event=event, at=now, by=DEPLOYMENT)
        return self._book.put(self._book.change(kept, after, entry, now))
