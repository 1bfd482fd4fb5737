"""Putting a run into a status without a step: by hand, or by a migration."""

from __future__ import annotations

from collections.abc import Mapping

from flowdsl.engine.awaiting import carry_out
from flowdsl.engine.core import Core
from flowdsl.engine.timers import NOTHING_KEPT, arriving
from flowdsl.model.change import MoveRun
from flowdsl.model.history import Origin
from flowdsl.model.item import ItemKey, NewItem
from flowdsl.model.pending import NewRow, PendingRow
from flowdsl.model.record import Payload, RunRecord
from flowdsl.model.run_state import RunState


def placed(
    core: Core,
    record: RunRecord,
    status: str,
    state: RunState,
    origin: Origin,
    *,
    payload: Payload | None = None,
    new_task: bool,
    unless_claimed: bool = False,
    unless_moving: bool = False,
    handoff: bool = True,
    auto_resumes: int = 0,
    items: tuple[NewItem, ...] = (),
    drop_items: tuple[ItemKey, ...] = (),
    timers: Mapping[str, PendingRow] = NOTHING_KEPT,
) -> MoveRun:
    """The change that makes the run enter `status`, as a visit of its own. In: the state that it is in afterwards; `payload`, its
    object's new value (None keeps the stored one); `new_task`, whether what follows is new work with a new idempotency key;
    `timers`, by name, timeouts of the status before that run on in this one. Raises PayloadError and what an `at=` of the status
    raises."""
    stops = state.stopped
    begun: tuple[NewRow, ...] = ()
    workflow = core.workflows.get(record.workflow)
    if workflow is not None and not state.finished and workflow.definition().timeouts.get(status):
        obj = workflow.codec.decode(payload if payload is not None else record.payload).object
        begun = carry_out(core.timers.rows(workflow, arriving(record, status), obj, kept=timers), core.complete)
    row = None if stops else core.step_row(record.workflow, record.run_id, status, priority=record.priority, handoff=handoff)
    return MoveRun(
        change_id=core.ids(),
        namespace=record.namespace,
        workflow=record.workflow,
        run_id=record.run_id,
        version=record.version,
        from_status=record.status,
        from_state=record.state,
        to_status=status,
        to_state=state,
        origin=origin,
        payload=payload,
        row=row,
        side_rows=begun,
        items=items,
        drop_items=drop_items,
        new_visit=True,
        new_task=new_task,
        auto_resumes=auto_resumes,
        unless_claimed=unless_claimed,
        unless_moving=unless_moving,
    )
