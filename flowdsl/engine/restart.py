"""Starting a finished run once more, as a new one."""

from __future__ import annotations

from enum import Enum
from typing import Any, TypeVar

from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.core import Core
from flowdsl.engine.starter import Started, Starter
from flowdsl.engine.trigger_options import TriggerOptions
from flowdsl.errors import IllegalMoveError, RunNotFoundError
from flowdsl.model.run_state import RunState

ObjectT = TypeVar("ObjectT")
StatusT = TypeVar("StatusT", bound=Enum)

DELETED = (RunState.DATA_DELETED, RunState.REQUESTED_DATA_DELETED)


def restart(
    core: Core,
    workflow: Workflow[ObjectT, StatusT],
    run_id: str,
    status: StatusT | None,
    obj: ObjectT | None,
    *,
    idempotency_key: str | None,
    actor: str | None,
) -> Started:
    """Start a run for the foreign id of a finished one, with its object, metadata, tags and priority; `parent_run_id` names it.
    In: the status to begin in (None: where the finished run began); another object (None: the one that the finished run had).

    Raises IllegalMoveError for an unfinished run and for one whose data was deleted, DefinitionError for a status in which no run
    can begin, WorkflowInProgressError, RunNotFoundError.
    """
    record = core.store.lookup([run_id]).get(run_id)
    if record is None:
        raise RunNotFoundError(f"there is no run {run_id}.", run_id=run_id)
    ids = {"run_id": run_id, "workflow": record.workflow, "foreign_id": record.foreign_id}
    if not record.state.finished:
        raise IllegalMoveError(
            f"run {run_id} is {record.state.label.lower()}: only a finished run is restarted.",
            remedy="move puts it into another status; cancel ends it.",
            **ids,
        )
    leftover: Any = None
    if obj is None:
        if record.state in DELETED:
            raise IllegalMoveError(
                f"the data of run {run_id} was deleted.", remedy="Restart it with an object (obj=, --object).", **ids
            )
        obj, leftover = workflow.codec.decode(record.payload)
    begin = status if status is not None else workflow.member(core.store.history(run_id)[0].to_status)
    options: TriggerOptions[StatusT] = {
        "start_status": begin,
        "idempotency_key": idempotency_key,
        "metadata": record.metadata,
        "tags": record.tags,
        "parent_run_id": run_id,
        "priority": record.priority,
        "actor": actor,
    }
    return Starter(core).start(workflow, record.foreign_id, obj, options, leftover)
