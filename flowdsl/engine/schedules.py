"""Schedules from outside: those of the code and those that are made while the fleet runs, in one table."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from datetime import datetime
from enum import Enum
from typing import Any, TypeVar, Unpack

from msgspec import structs

from flowdsl.clock import IdSource
from flowdsl.dsl.schedule import ScheduleOptions, schedule_rule
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.control import TRIES, default_actor
from flowdsl.engine.core import Core
from flowdsl.engine.handle import RunHandle
from flowdsl.engine.loop_guard import refuse_on_loop
from flowdsl.engine.schedule_book import Kept, ScheduleBook
from flowdsl.engine.schedule_run import declared, make_object, prepare_run
from flowdsl.engine.starter import Starter
from flowdsl.errors import (
    BadDataError,
    ConfigurationError,
    DefinitionError,
    PayloadError,
    ScheduleError,
    ScheduleExistsError,
    ScheduleNotFoundError,
    TimetableError,
    WorkflowInProgressError,
)
from flowdsl.model.change import Refusal
from flowdsl.model.limits import unfit_note
from flowdsl.model.record import Payload
from flowdsl.model.schedule import Event, JournalEntry, Note, Schedule, ScheduleOrigin, ScheduleRule, timetable_of

ObjectT = TypeVar("ObjectT")
StatusT = TypeVar("StatusT", bound=Enum)
MOST_PREVIEWED = 1000
Act = Callable[[Schedule, datetime], Schedule]


class Schedules:
    """`engine.schedules`. Schedules of the code get here when an instance with the code has begun to work; those made here are
    stored at once. Every verb raises StoreError; who did what and when is in the journal.

    A schedule is named by its workflow (the Workflow, or its name) and its own name.
    """

    def __init__(self, core: Callable[[], Core]) -> None:
        self._core = core

    # -- looking --------------------------------------------------------------------------------------------------------------

    def list(self, workflow: Workflow[Any, Any] | str | None = None, *, removed: bool = False) -> builtins.list[Schedule]:
        """All schedules, or those of one workflow, by name. In: whether those that were removed are to be listed too, as long as
        they are remembered."""
        refuse_on_loop("engine.schedules.list", "engine.aio.schedules.list")
        found = [kept.schedule for kept in ScheduleBook(self._core()).all(None if workflow is None else _name(workflow))]
        return [schedule for schedule in found if removed or schedule.removed is None]

    def get(self, workflow: Workflow[Any, Any] | str, name: str) -> Schedule:
        """One schedule. Raises ScheduleNotFoundError."""
        refuse_on_loop("engine.schedules.get", "engine.aio.schedules.get")
        return self._get(_name(workflow), name).schedule

    def journal(self, workflow: Workflow[Any, Any] | str, name: str) -> builtins.list[JournalEntry]:
        """What became of its slots and who changed it, oldest first, as far back as it is kept. Raises ScheduleNotFoundError."""
        refuse_on_loop("engine.schedules.journal", "engine.aio.schedules.journal")
        kept = self._find(_name(workflow), name)
        if kept is None:
            raise _unknown(_name(workflow), name)
        return ScheduleBook(self._core()).journal(kept.schedule)

    def preview(self, workflow: Workflow[Any, Any] | str, name: str, count: int = 5) -> builtins.list[datetime]:
        """When it fires next, in its time zone; for one that is paused, when it would. Raises ScheduleNotFoundError."""
        refuse_on_loop("engine.schedules.preview", "engine.aio.schedules.preview")
        if not 1 <= count <= MOST_PREVIEWED:
            raise ConfigurationError(f"count={count} is not from 1 to {MOST_PREVIEWED}.", remedy="Ask for a few.")
        schedule = self._get(_name(workflow), name).schedule
        timetable = schedule.timetable
        if schedule.paused is None and schedule.slot is not None:
            moments = [schedule.slot, *timetable.preview(schedule.slot, count - 1)]
        else:
            moments = timetable.preview(self._core().store.now(), count)
        return [timetable.local(moment) for moment in moments]

    # -- changing -------------------------------------------------------------------------------------------------------------

    def create(
        self,
        workflow: Workflow[ObjectT, StatusT],
        name: str,
        spec: str,
        obj: ObjectT | None = None,
        *,
        foreign_id: str | None = None,
        start_status: StatusT | None = None,
        replace: bool = False,
        actor: str | None = None,
        **options: Unpack[ScheduleOptions],
    ) -> Schedule:
        """Store a schedule; from now on it starts a run with the object `obj` at each of its times.

        In: `spec`, a cron expression (see `flowdsl.cron`); the `foreign_id` of its runs (default: its name); `start_status`;
        `replace`, to change one of this name that was made at run time, of which the times begin anew if they are others; one
        that is like that already is left alone; `options`: see ScheduleOptions. Raises TimetableError for what cannot be
        understood or has no time left to come, ConfigurationError, BadDataError, PayloadError, and ScheduleExistsError.
        """
        refuse_on_loop("engine.schedules.create", "engine.aio.schedules.create")
        core, book, code = self._core(), ScheduleBook(self._core()), self._workflow(workflow)
        status, by = self._start_status(code, start_status), _checked(actor or default_actor())
        rule = schedule_rule(code.name, name, spec, foreign_id if foreign_id is not None else name, status, options)
        payload = self._payload(code, obj)
        if name in declared(code):
            raise _exists(code.name, name, "It is in the code: change it there.")
        for _ in range(TRIES):
            kept, now = self._find(code.name, name), core.store.now()
            if kept is not None and kept.schedule.removed is None:
                if kept.schedule.origin is ScheduleOrigin.CODE:
                    raise _exists(code.name, name, "It is in other code of this workflow: change it there.")
                if not replace:
                    raise _exists(code.name, name, "Ask to replace it (replace=True, --replace), or give another name.")
            after = _made(kept, code.name, name, rule, payload, Note(by, now), core.ids)
            if after.slot is None:
                raise TimetableError(f"{spec!r} has no time left to come.", remedy="Give years that are not over.")
            if kept is not None and structs.replace(after, changed=kept.schedule.changed) == kept.schedule:
                return kept.schedule  # it is like that already: nothing is changed, so nothing is noted
            event = Event.CREATED if kept is None or kept.schedule.removed is not None else Event.CHANGED
            if book.put(book.change(kept, after, JournalEntry(event=event, at=now, by=by), now)):
                return self._get(code.name, name).schedule
        raise _restless(code.name, name)

    def pause(self, workflow: Workflow[Any, Any] | str, name: str, reason: str, actor: str | None = None) -> Schedule:
        """It fires no more until it is resumed; deployments do not change that. Raises ScheduleNotFoundError, ScheduleError."""
        refuse_on_loop("engine.schedules.pause", "engine.aio.schedules.pause")
        if not isinstance(reason, str) or not reason.strip():
            raise BadDataError("a pause needs a reason.", remedy="Say why: it is kept with the schedule.")
        who = _checked(actor or default_actor(), reason)

        def act(schedule: Schedule, now: datetime) -> Schedule:
            if schedule.paused is not None:
                raise _refused(schedule, "is paused already", f"By {schedule.paused.by}: {schedule.paused.reason}")
            return structs.replace(schedule, paused=Note(who, now, reason))

        return self._change(_name(workflow), name, Event.PAUSED, who, act, reason)

    def resume(self, workflow: Workflow[Any, Any] | str, name: str, actor: str | None = None) -> Schedule:
        """Let it fire again, from the first slot after now: those that passed meanwhile, and one that kept failing, are left out.
        Raises ScheduleNotFoundError, ScheduleError."""
        refuse_on_loop("engine.schedules.resume", "engine.aio.schedules.resume")
        who = _checked(actor or default_actor())

        def act(schedule: Schedule, now: datetime) -> Schedule:
            if schedule.paused is None:
                raise _refused(schedule, "is not paused", "Only a paused schedule can be resumed.")
            slot = schedule.timetable.after(max(now, schedule.passed or now))
            return _anew(structs.replace(schedule, paused=None), slot)

        return self._change(_name(workflow), name, Event.RESUMED, who, act)

    def delete(self, workflow: Workflow[Any, Any] | str, name: str, reason: str = "", actor: str | None = None) -> Schedule:
        """Remove a schedule that was made at run time: its object goes, its journal is kept for a while. One of the code is to
        be removed there. Raises ScheduleNotFoundError, ScheduleError."""
        refuse_on_loop("engine.schedules.delete", "engine.aio.schedules.delete")
        who = _checked(actor or default_actor(), reason)

        def act(schedule: Schedule, now: datetime) -> Schedule:
            if schedule.origin is ScheduleOrigin.CODE:
                raise _refused(schedule, "is in the code", "Remove it there, or pause it.")
            return structs.replace(schedule, object=None, removed=Note(who, now, reason), error=None)

        return self._change(_name(workflow), name, Event.REMOVED, who, act, reason)

    def trigger(self, workflow: Workflow[Any, Any] | str, name: str, actor: str | None = None) -> RunHandle[Any, Any] | None:
        """Start a run of it now, whether it is paused or not; its next slot comes when it would have come. None: its function
        wants no run. The function is called in this process, so the workflow's code has to be here.

        Raises ScheduleNotFoundError, ConfigurationError, WorkflowInProgressError, and what the function raises.
        """
        refuse_on_loop("engine.schedules.trigger", "engine.aio.schedules.trigger")
        core, book, who = self._core(), ScheduleBook(self._core()), _checked(actor or default_actor())
        schedule = self._get(_name(workflow), name).schedule
        code = self._workflow(workflow)
        starter, now = Starter(core), core.store.now()
        made = make_object(core, code, schedule, now)
        if made is None:
            return None
        for _ in range(TRIES):
            change = prepare_run(starter, code, schedule, made, now, who, slot=False)
            try:
                entry = JournalEntry(event=Event.TRIGGERED, at=now, by=who, run_id=change.run_id)
                items = book.noted(code.name, name, entry)
            except BaseException:
                core.not_committed(change.row)
                raise
            if items is None:
                core.not_committed(change.row)
                raise _unknown(code.name, name)
            result = starter.commit(structs.replace(change, items=(*change.items, *items)))
            if result.refusal is not Refusal.KEY_TAKEN:
                break
        else:
            raise _restless(code.name, name)  # the schedule changed each time between being read and being written
        if result.refusal is Refusal.IN_PROGRESS:
            raise WorkflowInProgressError(
                f"{code.name} {change.foreign_id!r} has an unfinished run.",
                run_id=result.run_id,
                workflow=code.name,
                foreign_id=change.foreign_id,
                remedy="Wait for it to end, or cancel it.",
            )
        if not result.applied:
            raise BadDataError(f"the store refused run {change.foreign_id!r} of {code.name}: {result.detail or result.refusal}")
        return RunHandle(core, code, change.run_id, change.foreign_id, created=True)

    # -- inside ---------------------------------------------------------------------------------------------------------------

    def _find(self, workflow: str, name: str) -> Kept | None:
        return ScheduleBook(self._core()).get(workflow, name)

    def _get(self, workflow: str, name: str) -> Kept:
        kept = self._find(workflow, name)
        if kept is None or kept.schedule.removed is not None:
            raise _unknown(workflow, name)
        return kept

    def _change(self, workflow: str, name: str, event: Event, who: str, act: Act, reason: str = "") -> Schedule:
        """Do something to a schedule as it is now, again if somebody else was quicker."""
        core, book = self._core(), ScheduleBook(self._core())
        for _ in range(TRIES):
            kept, now = self._get(workflow, name), core.store.now()
            after = structs.replace(act(kept.schedule, now), changed=Note(who, now, reason))
            entry = JournalEntry(event=event, at=now, by=who, reason=reason)
            if book.put(book.change(kept, after, entry, now)):
                return structs.replace(after, revision=kept.schedule.revision + 1)
        raise _restless(workflow, name)

    def _workflow(self, workflow: Workflow[Any, Any] | str) -> Workflow[Any, Any]:
        core = self._core()
        known = core.workflows.get(_name(workflow))
        if known is None or (isinstance(workflow, Workflow) and known is not workflow):
            raise ConfigurationError(
                f"workflow {_name(workflow)!r} is not one of this engine's.",
                remedy="Name it when the engine is made: Engine(workflow, ...).",
            )
        return known

    def _start_status(self, workflow: Workflow[Any, Any], member: Enum | None) -> str | None:
        if member is None:
            return None
        definition, key = workflow.definition(), workflow.key(member)
        if key in definition.terminal or key not in definition.statuses:
            raise DefinitionError(
                f"a run of {workflow.name} cannot start in {key!r}: nothing leaves it.",
                remedy=f"Start in one of {', '.join(sorted(definition.statuses - definition.terminal))}.",
            )
        return key

    def _payload(self, workflow: Workflow[Any, Any], obj: object) -> Payload | None:
        if obj is not None:
            return workflow.codec.encode(obj)
        if not workflow.codec.allows_none:
            raise PayloadError(
                f"a run of {workflow.name} needs an object of type {workflow.object_type!r}, not None.", remedy="Pass obj=."
            )
        return None


def _made(
    kept: Kept | None, workflow: str, name: str, rule: ScheduleRule, payload: Payload | None, note: Note, ids: IdSource
) -> Schedule:
    """A schedule of somebody's, new or in the place of one of that name. Only with other times does it begin anew."""
    timetable = timetable_of(workflow, name, rule)
    text, version = (None, 1) if payload is None else (payload.data.decode(), payload.schema_version)
    if kept is None:
        return Schedule(
            workflow=workflow,
            name=name,
            id=ids(),
            revision=1,
            origin=ScheduleOrigin.RUNTIME,
            rule=rule,
            object=text,
            object_version=version,
            created=note,
            changed=note,
            slot=timetable.after(note.at),
        )
    old = kept.schedule
    after = structs.replace(old, origin=ScheduleOrigin.RUNTIME, rule=rule, object=text, object_version=version, changed=note)
    if old.removed is not None:
        after = structs.replace(after, created=note, removed=None, paused=None)
    elif old.rule.times == rule.times:
        return after
    return _anew(after, timetable.after(max(note.at, old.passed or note.at)))


def _anew(schedule: Schedule, slot: datetime | None) -> Schedule:
    """It goes on from this slot, whatever became of the one before."""
    return structs.replace(schedule, slot=slot, attempts=0, error=None, waiting_for=None, waits=0)


def _name(workflow: Workflow[Any, Any] | str) -> str:
    return workflow.name if isinstance(workflow, Workflow) else workflow


def _checked(actor: str, reason: str = "") -> str:
    """The actor. Raises BadDataError for what no store can hold."""
    if problem := unfit_note(actor=actor, reason=reason):
        raise BadDataError(f"{problem}.")
    return actor


def _unknown(workflow: str, name: str) -> ScheduleNotFoundError:
    return ScheduleNotFoundError(
        f"{workflow} has no schedule {name!r}.",
        workflow=workflow,
        schedule=name,
        remedy="flowdsl schedules list shows them; one of the code is there once a worker with that code has started.",
    )


def _refused(schedule: Schedule, why: str, remedy: str) -> ScheduleError:
    return ScheduleError(
        f"schedule {schedule.name!r} of {schedule.workflow} {why}.",
        workflow=schedule.workflow,
        schedule=schedule.name,
        remedy=remedy,
    )


def _exists(workflow: str, name: str, remedy: str) -> ScheduleExistsError:
    return ScheduleExistsError(f"{workflow} has a schedule {name!r} already.", workflow=workflow, schedule=name, remedy=remedy)


def _restless(workflow: str, name: str) -> ScheduleError:
    text = f"schedule {name!r} of {workflow} kept changing; nothing was stored."
    return ScheduleError(text, workflow=workflow, schedule=name, remedy="Try again.")
