"""The run of a slot: its object and the change that starts it, for slots that come and for runs started by hand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from msgspec.structs import replace

from flowdsl.dsl.codec import Leftover
from flowdsl.dsl.schedule import ScheduleSpec
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.awaiting import carry_out, settled
from flowdsl.engine.core import Core
from flowdsl.engine.starter import Starter
from flowdsl.engine.trigger_options import TriggerOptions
from flowdsl.errors import PayloadError, ScheduleError
from flowdsl.model.change import StartRun
from flowdsl.model.history import Origin
from flowdsl.model.record import Payload
from flowdsl.model.schedule import Schedule, ScheduleOrigin

NAME, SLOT = "schedule", "slot"
"""Metadata of a run: the name of its schedule and, unless somebody started it by hand, the time of its slot."""


class Made(NamedTuple):
    """The object of a run, and what is stored beside what its type knows."""

    object: Any
    leftover: Leftover | None = None


def declared(workflow: Workflow[Any, Any]) -> Mapping[str, ScheduleSpec]:
    """The schedules in the workflow's code, by name."""
    return {spec.label: spec for spec in workflow.registry.schedules}


def make_object(core: Core, workflow: Workflow[Any, Any], schedule: Schedule, moment: datetime) -> Made | None:
    """The object for a moment; None: the schedule's function wants no run. Raises what the function raises, ScheduleError where
    this code has no such function, and PayloadError."""
    if schedule.origin is ScheduleOrigin.RUNTIME:
        payload = None if schedule.object is None else Payload(schedule.object.encode(), schema_version=schedule.object_version)
        return Made(*workflow.codec.decode(payload))
    spec = declared(workflow).get(schedule.name)
    if spec is None:
        raise ScheduleError(
            f"schedule {schedule.name!r} is not in this code of {workflow.name}.",
            workflow=workflow.name,
            schedule=schedule.name,
            remedy="Use the code that declares it.",
        )
    answer = carry_out(settled(spec.fn(schedule.timetable.local(moment))), core.complete)
    return None if answer is None else Made(answer)


def prepare_run(
    starter: Starter, workflow: Workflow[Any, Any], schedule: Schedule, made: Made, moment: datetime, actor: str, slot: bool
) -> StartRun:
    """The change that starts the run. It may hold a place in this instance: it has to be committed, or its row be given to
    `core.not_committed`. In: whether the moment is a slot, or somebody starts it by hand.
    Raises PayloadError and whatever else a trigger raises."""
    rule = schedule.rule
    metadata = {NAME: schedule.name}
    if slot:
        metadata[SLOT] = moment.isoformat()
    options: TriggerOptions[Any] = {"metadata": metadata, "actor": actor}
    if rule.start_status is not None:
        options["start_status"] = workflow.member(rule.start_status)
    if made.object is None and not workflow.codec.allows_none:
        raise PayloadError(f"schedule {schedule.name!r} of {workflow.name} has no object.", remedy="Make it anew with one.")
    change = starter.change(workflow, rule.foreign_id_at(moment), made.object, options, handoff=True, leftover=made.leftover)
    return replace(change, origin=Origin(change.origin.cause, schedule.name, change.origin.actor))
