"""Answers of the user's functions become changes of their run: judged by the declaration, built, and followed up."""

from __future__ import annotations

from enum import Enum
from typing import Any

from msgspec.structs import replace

from flowdsl.dsl.run import Run
from flowdsl.dsl.spec import StepSpec, TimeoutSpec
from flowdsl.engine.awaiting import Plan, refuse_unawaited
from flowdsl.engine.core import Core
from flowdsl.engine.lane import Lane
from flowdsl.engine.timers import arriving
from flowdsl.errors import ConfigurationError, StepOutcomeError, UndeclaredDestinationError, UnusedOutcomeError
from flowdsl.model.change import CommitResult, MoveRun
from flowdsl.model.history import Origin
from flowdsl.model.item import NewItem
from flowdsl.model.outcome import Outcome, OutcomeKind
from flowdsl.model.pending import NewRow
from flowdsl.model.record import Payload, RunRecord
from flowdsl.model.run_state import RunState


def judge(lane: Lane, run: Run[Any, Any], answer: object) -> tuple[str, Outcome | None]:
    """The status to go to and the outcome to apply. Raises StepOutcomeError when the declaration does not allow the answer."""
    spec, made = step_spec(lane), run.made
    what = f"{lane.kind.name.lower()} {spec.name}"
    refuse_unawaited(answer, what)
    if isinstance(answer, Outcome):
        if made != answer:
            raise UnusedOutcomeError(
                f"{what} returned an outcome that this attempt did not make last.",
                remedy="Return what run.pause(...) and the like answered.",
            )
        return run.record.status, answer
    if made is not None:
        raise UnusedOutcomeError(
            f"{what} called run.{made.kind.value}() and returned something else.",
            remedy=f"Write `return run.{made.kind.value}(...)`.",
        )
    if answer is None:
        if len(spec.to_keys) == 1:
            return spec.to_keys[0], None
        raise StepOutcomeError(
            f"{what} returned None but has {len(spec.to_keys)} destinations.",
            remedy=f"Return one of {', '.join(map(str, spec.to))}.",
        )
    try:
        return lane.destinations[answer], None
    except (KeyError, TypeError):
        raise UndeclaredDestinationError(
            f"{what} returned {_shown(answer)}, which is not among its destinations.",
            remedy=f"Return one of {', '.join(map(str, spec.to))}, or add it to `to=`.",
        ) from None


def moving(
    core: Core,
    lane: Lane,
    record: RunRecord,
    obj: object,
    payload: Payload | None,
    key: str,
    outcome: Outcome | None,
    origin: Origin,
    *,
    settle: str | None = None,
    unless_claimed: bool = False,
    items: tuple[NewItem, ...] = (),
) -> Plan[MoveRun]:
    """The change that an answer means; of a skip there is none. In: the run as it was read, its object and the same as it is to
    be stored (None: as it is), what `judge` said, and the side row that asked. Raises what an `at=` of the new status raises."""
    kind = outcome.kind if outcome is not None else None
    timers: tuple[NewRow, ...] = ()
    if kind is None and key in lane.workflow.definition().timeouts:
        timers = yield from core.timers.rows(lane.workflow, arriving(record, key), obj)
    elif kind is OutcomeKind.REPEAT and isinstance(lane.spec, TimeoutSpec):  # its time begins anew
        repeated = replace(record, version=record.version + 1)
        timers = yield from core.timers.rows(lane.workflow, repeated, obj, lane.spec)
    state, row = RunState.RUNNING, None
    if kind is OutcomeKind.PAUSE:
        state = RunState.PAUSED
    elif kind is OutcomeKind.CANCEL:
        state = RunState.CANCELLED
    elif kind is OutcomeKind.REPEAT:
        row = core.step_row(record.workflow, record.run_id, key, priority=record.priority, handoff=False)
    elif key in lane.terminal:
        state = RunState.COMPLETED
    else:
        row = core.step_row(record.workflow, record.run_id, key, priority=record.priority)
    return MoveRun(
        change_id=core.ids(),
        namespace=record.namespace,
        workflow=record.workflow,
        run_id=record.run_id,
        version=record.version,
        from_status=record.status,
        from_state=record.state,
        to_status=key,
        to_state=state,
        origin=origin,
        payload=payload,
        row=row,
        side_rows=timers,
        settle=settle,
        items=items,
        unless_claimed=unless_claimed,
        new_visit=kind is None,
        new_task=kind is None or kind is OutcomeKind.REPEAT,
        auto_resumes=0 if kind is None else record.auto_resumes,
    )


def moved_record(record: RunRecord, change: MoveRun, payload: Payload | None, result: CommitResult) -> RunRecord:
    """The run as an applied MoveRun left it."""
    state = result.state if result.state is not None else change.to_state
    return replace(
        record,
        status=change.to_status,
        state=state,
        version=change.version + 1,
        visit=record.visit + (1 if change.new_visit else 0),
        task_version=change.version + 1 if change.new_task else record.task_version,
        payload=payload if payload is not None else record.payload,
        updated_at=result.at if result.at is not None else record.updated_at,
        change_id=change.change_id,
        reason=change.origin.reason if state in (RunState.PAUSED, RunState.CANCELLED) else None,
        actor=change.origin.actor if state in (RunState.PAUSED, RunState.CANCELLED) else None,
        last_error=change.origin.error,
        auto_resumes=change.auto_resumes,
        requested=None,
    )


def step_spec(lane: Lane) -> StepSpec:
    """The lane's function as one that moves runs."""
    if not isinstance(lane.spec, StepSpec):
        raise ConfigurationError(f"{lane.name} moves no runs.")
    return lane.spec


def _shown(answer: object) -> str:
    """What a step returned, as an error may say it: errors are stored and logged, and the object must not be."""
    return repr(answer) if isinstance(answer, Enum) else f"a value of type {type(answer).__name__}"
