"""What a hook is given: a run as it was, with its object as it is."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from flowdsl.dsl.run import Run
from flowdsl.dsl.spec import HookSpec
from flowdsl.dsl.workflow import Workflow
from flowdsl.model.failure import Failure
from flowdsl.model.history import Cause, HistoryRow
from flowdsl.model.record import RunRecord


def as_it_was(record: RunRecord, row: HistoryRow) -> RunRecord:
    """The run at the version of that row of its history; what history does not hold is as it is now."""
    return replace(
        record,
        status=row.to_status,
        state=row.to_state,
        version=row.version,
        reason=row.reason,
        actor=row.actor,
        last_error=row.error,
        updated_at=row.at,
    )


def failure_of(row: HistoryRow) -> Failure | None:
    """The failure that paused a run, by the row of its history that tells of the pause. None: somebody paused it."""
    return Failure(row.name, row.error or "", row.attempt) if row.cause is Cause.ERRORS else None


def hook_view(
    workflow: Workflow[Any, Any],
    spec: HookSpec,
    then: RunRecord,
    attempt: int,
    *,
    failure: Failure | None = None,
    mark: str = "",
) -> Run[Any, Any]:
    """In: the run as it was; what tells this from other things that the hook is told of the same version. The idempotency key
    is the same however often, and by whomever, it is told. Raises PayloadError, UnknownStatusError."""
    task = f"{then.version}:{spec.event}:{spec.label}" + (f":{mark}" if mark else "")
    return Run(then, workflow.codec.decode(then.payload).object, workflow.member(then.status), attempt, task, failure)
