"""Settling a slot: a run is started for it, or it is passed over, kept for later, or left out. Each is one commit."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.core import Core
from flowdsl.engine.declared_schedules import DeclaredSchedules
from flowdsl.engine.metrics import ProcessMetrics, SkipReason
from flowdsl.engine.schedule_book import Kept, ScheduleBook, read
from flowdsl.engine.schedule_run import declared, make_object, prepare_run
from flowdsl.engine.starter import Starter
from flowdsl.engine.steps import describe
from flowdsl.errors import BadDataError, NewerSchemaError, PayloadError, StoreError, TimetableError
from flowdsl.model.change import Refusal, StartRun
from flowdsl.model.firing import Firing, firing_of
from flowdsl.model.item import Item
from flowdsl.model.schedule import Event, IfRunning, JournalEntry, Schedule, ScheduleOrigin, schedule_kind
from flowdsl.options import DEFAULT_RETRY, Retry

log = logging.getLogger("flowdsl.scheduler")
SCHEDULER = "scheduler"
"""The name of this process in metrics and states, and of who starts a run, in its history."""
LONGEST_WAIT = timedelta(seconds=15)
"""Between two looks at whether the run that is in the way has ended; the first comes after a second, then twice as long each."""
SLOW = 1.0
"""A commit that took so many seconds has stored a time to fire next that is late by as much."""


class Slots:
    """Settles slots of the workflows whose code is here."""

    def __init__(self, core: Core, book: ScheduleBook, declarations: DeclaredSchedules) -> None:
        self._core = core
        self._book = book
        self._declarations = declarations
        self._starter = Starter(core)

    def settle(self, workflow: Workflow[Any, Any], item: Item) -> bool:
        """In: the item of a schedule that is due. False: nothing was changed, and to try again at once is of no use.
        Raises StoreError: nothing was changed, or it is known at the next look."""
        core = self._core
        try:
            kept = read(item)
        except PayloadError as error:
            log.warning("schedule %s/%s is left to newer code: %s", workflow.name, item.key, error)
            return False
        schedule, began, now = kept.schedule, core.clock.monotonic(), core.store.now()
        if schedule.removed is not None:
            return self._book.put(self._book.forget(kept, now))
        if schedule.origin is ScheduleOrigin.CODE:
            spec = declared(workflow).get(schedule.name)
            if spec is None or spec.rule != schedule.rule:  # other code has been here since ours was brought in
                return self._declarations.bring_in(workflow)
        try:
            firing = firing_of(schedule, now)
        except TimetableError as error:  # this machine's time zones are not those of the machine where it was made
            return self._failed(workflow, kept, Firing(schedule.slot, None, 0), error)
        if firing is None:
            return False  # the store's clock went back
        if firing.slot is None:
            settled = self._left_out(workflow, kept, firing, now)
        else:
            settled = self._fire(workflow, kept, firing, firing.slot)
        if core.clock.monotonic() - began > SLOW:
            self._put_right(workflow.name, schedule.name)
        return settled

    # -- what becomes of it ---------------------------------------------------------------------------------------------------

    def _fire(self, workflow: Workflow[Any, Any], kept: Kept, firing: Firing, slot: datetime) -> bool:
        core, schedule = self._core, kept.schedule
        before = core.store.latest(core.namespace, workflow.name, schedule.rule.foreign_id_at(slot))
        if before is not None and not before.finished:
            return self._in_the_way(workflow, kept, firing, before.run_id)
        try:
            made = make_object(core, workflow, schedule, slot)
            change = None if made is None else prepare_run(self._starter, workflow, schedule, made, slot, SCHEDULER, slot=True)
        except StoreError:
            raise
        except NewerSchemaError as error:
            log.info("a slot of schedule %s/%s is left to newer code: %s", workflow.name, schedule.name, error)
            return False
        except BaseException as error:  # whatever a function of the user's raises is its own failure
            if not core.accepting:
                return False  # unless the engine stops, which may be why
            return self._failed(workflow, kept, firing, error)
        if change is None:
            metrics(core, workflow).skipped(SkipReason.DECLINED)
            after = _settled(schedule, firing, skipped=schedule.skipped + 1)
            return self._put(kept, after, self._entry(Event.SKIPPED, firing))
        return self._start(workflow, kept, firing, slot, change)

    def _start(self, workflow: Workflow[Any, Any], kept: Kept, firing: Firing, slot: datetime, change: StartRun) -> bool:
        core, schedule = self._core, kept.schedule
        try:
            now = core.store.now()  # the function may have taken its time
            after = _settled(schedule, firing, started=schedule.started + 1, last_slot=slot, last_run_id=change.run_id)
            items = self._book.change(kept, after, self._entry(Event.STARTED, firing, change.run_id), now).items
        except BaseException:
            core.not_committed(change.row)
            raise
        result = self._starter.commit(replace(change, items=(*change.items, *items)))
        if result.applied:
            metrics(core, workflow).received((now - slot).total_seconds(), None)
            log.info(
                "schedule %s/%s started run %s for %s",
                workflow.name,
                schedule.name,
                change.run_id,
                slot.isoformat(),
                extra={"workflow": workflow.name, "run_id": change.run_id, "foreign_id": change.foreign_id},
            )
            return True
        if result.refusal is Refusal.IN_PROGRESS:
            return self._in_the_way(workflow, kept, firing, result.run_id or "")
        if result.refusal is Refusal.KEY_TAKEN:
            return False  # somebody else settled it
        return self._failed(workflow, kept, firing, BadDataError(f"the store refused the run: {result.detail or result.refusal}"))

    def _in_the_way(self, workflow: Workflow[Any, Any], kept: Kept, firing: Firing, run_id: str) -> bool:
        schedule = kept.schedule
        if schedule.rule.if_running is IfRunning.WAIT:
            waits = schedule.waits + 1
            after = replace(_held(schedule, firing), waiting_for=run_id, waits=waits)
            delay = min(LONGEST_WAIT, timedelta(seconds=2 ** min(waits - 1, 10)))
            return self._put(kept, after, self._entry(Event.WAITING, firing, run_id), delay)
        metrics(self._core, workflow).skipped(SkipReason.BUSY)
        log.info("schedule %s/%s passed a slot over: run %s has not ended", workflow.name, schedule.name, run_id)
        after = _settled(schedule, firing, busy=schedule.busy + 1)
        return self._put(kept, after, self._entry(Event.BUSY, firing, run_id))

    def _failed(self, workflow: Workflow[Any, Any], kept: Kept, firing: Firing, error: BaseException) -> bool:
        core, schedule = self._core, kept.schedule
        attempts = schedule.attempts + 1
        spec = declared(workflow).get(schedule.name)
        retry: Retry = spec.options.retry if spec is not None else DEFAULT_RETRY
        series = metrics(core, workflow)
        series.errors.inc()
        series.retries.inc()
        log.warning(
            "schedule %s/%s failed (attempt %d) and will be tried again: %s",
            workflow.name,
            schedule.name,
            attempts,
            type(error).__name__,  # its text may hold data of the object: it is in `flowdsl schedules`
            exc_info=error if log.isEnabledFor(logging.DEBUG) else None,
        )
        text = describe(error)
        after = replace(_held(schedule, firing), attempts=attempts, error=text)
        entry = self._entry(Event.FAILED, firing, error=text)
        return self._put(kept, after, entry, retry.delay(attempts, core.rng))

    def _left_out(self, workflow: Workflow[Any, Any], kept: Kept, firing: Firing, now: datetime) -> bool:
        metrics(self._core, workflow).skipped(SkipReason.MISSED)
        log.warning("schedule %s/%s left out %d slots that were too late", workflow.name, kept.schedule.name, firing.missed)
        return self._put(kept, replace(_settled(kept.schedule, firing), passed=now), self._entry(Event.MISSED, firing))

    def _put_right(self, workflow: str, name: str) -> None:
        """Make a schedule due at its slot, if it is due later."""
        core = self._core
        item = core.store.item(core.namespace, schedule_kind(workflow), name)
        if item is None or item.due_at is None:
            return
        kept = read(item)
        schedule = kept.schedule
        tried = schedule.attempts or schedule.waiting_for is not None
        if schedule.active and not tried and schedule.slot is not None and item.due_at - schedule.slot > timedelta(seconds=SLOW):
            self._put(kept, schedule, self._entry(Event.ADJUSTED, Firing(schedule.slot, None, 0)))

    # -- inside ---------------------------------------------------------------------------------------------------------------

    def _put(self, kept: Kept, after: Schedule, entry: JournalEntry, delay: timedelta | None = None) -> bool:
        now = self._core.store.now()
        due = None if delay is None else now + delay
        return self._book.put(self._book.change(kept, after, replace(entry, at=now), now, due=due))

    def _entry(self, event: Event, firing: Firing, run_id: str | None = None, error: str | None = None) -> JournalEntry:
        return JournalEntry(
            event=event,
            at=self._core.store_clock.now(),
            by=self._core.owner,
            slot=firing.slot,
            run_id=run_id,
            missed=firing.missed,
            error=error,
        )


def metrics(core: Core, workflow: Workflow[Any, Any]) -> ProcessMetrics:
    """The series of a workflow's scheduler."""
    return core.metrics.process(workflow.name, SCHEDULER)


def _settled(schedule: Schedule, firing: Firing, **changes: Any) -> Schedule:
    """The slot is done with; the next one's turn comes."""
    fresh: dict[str, Any] = {"attempts": 0, "error": None, "waiting_for": None, "waits": 0}
    passed = firing.slot if firing.slot is not None else schedule.passed
    return replace(schedule, slot=firing.following, passed=passed, missed=schedule.missed + firing.missed, **{**fresh, **changes})


def _held(schedule: Schedule, firing: Firing) -> Schedule:
    """The slot is kept for later; those before it are left out."""
    return replace(schedule, slot=firing.slot, missed=schedule.missed + firing.missed)
