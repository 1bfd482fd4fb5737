"""Taking one run out of a status that is no more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from flowdsl.dsl.migration import MigrationSpec
from flowdsl.engine.auto_resumer import pause_mark
from flowdsl.engine.control import request_move
from flowdsl.engine.core import Core
from flowdsl.engine.error_pause import paused_by_errors
from flowdsl.engine.placing import placed
from flowdsl.errors import NewerSchemaError
from flowdsl.model.bulk import UNFINISHED
from flowdsl.model.change import MoveRun
from flowdsl.model.history import Cause, Origin
from flowdsl.model.item import ItemKey, ItemKind, NewItem
from flowdsl.model.pending import PendingRow, RowKind
from flowdsl.model.query import Cursor, Order, RunQuery
from flowdsl.model.record import Payload, RunRecord
from flowdsl.model.run_state import RunState
from flowdsl.options import ZERO

Timers = Mapping[str, PendingRow]
"""Of one run, by name."""


def to_migrate(core: Core, workflow: str, statuses: Sequence[str], limit: int, after: Cursor | None) -> RunQuery:
    """Asks for unfinished runs in statuses that are no more, oldest first."""
    return RunQuery(
        namespace=core.namespace,
        workflows=(workflow,),
        statuses=tuple(statuses),
        states=UNFINISHED,
        order=Order.OLDEST_FIRST,
        limit=limit,
        after=after,
    )


def timers_of(rows: Iterable[PendingRow]) -> Timers:
    """The timeouts among the rows of a run. All are of its present visit: those of earlier ones are gone."""
    return {row.receiver: row for row in rows if row.kind is RowKind.TIMEOUT}


def rewritten(core: Core, spec: MigrationSpec, record: RunRecord) -> Payload | None:
    """The object as the migration leaves it; None: as it is. Raises PayloadError, NewerSchemaError, what the function raises."""
    codec = core.workflows[record.workflow].codec
    if not codec.upcasters.knows(record.payload):
        raise NewerSchemaError("its object is newer code's.")
    if spec.fn is None or record.payload is None:
        return None
    return codec.rewritten(record.payload, spec.fn)


def migrating(core: Core, spec: MigrationSpec, record: RunRecord, actor: str, timers: Timers) -> MoveRun:
    """The change that takes the run where the migration leads. A paused run stays paused, with the reason, the error and the
    automatic resume that it has; one that a pause or cancel waits for gets that first. The idempotency key stays: most often it
    is the same work under another name. For that reason a timeout of the new status is due when its namesake of the old one was,
    and a failed one's next try when it was. In: the run's `timers`. Raises as `rewritten` does, and what an `at=` of the new
    status raises."""
    if record.requested is not None:
        return request_move(core, record, record.requested, unless_moving=True)
    workflow = core.workflows[record.workflow]
    payload = rewritten(core, spec, record)
    ends = spec.to_key in workflow.definition().terminal
    paused = record.state is RunState.PAUSED and not ends
    origin = Origin(cause=Cause.MIGRATION, name=spec.name, actor=actor, reason=f"status {spec.from_key!r} is no more")
    if paused:  # what the run says of its pause is its history row's
        origin = Origin(
            cause=Cause.MIGRATION, name=spec.name, actor=record.actor or actor, reason=record.reason, error=record.last_error
        )
    return placed(
        core,
        record,
        spec.to_key,
        RunState.COMPLETED if ends else record.state,
        origin,
        payload=payload,
        new_task=False,
        unless_claimed=True,
        handoff=False,
        auto_resumes=record.auto_resumes if paused else 0,
        items=_resumption(core, record) if paused else (),
        drop_items=(ItemKey(ItemKind.AUTO_RESUME, record.run_id),) if record.state is RunState.PAUSED and ends else (),
        timers=timers,
    )


def _resumption(core: Core, record: RunRecord) -> tuple[NewItem, ...]:
    """The automatic resume of the pause, for the version that it has from now on."""
    if not paused_by_errors(record):
        return ()
    item = core.store.item(core.namespace, ItemKind.AUTO_RESUME, record.run_id)
    if item is None or item.due_at is None or item.body != pause_mark(record.version, record.actor):
        return ()
    delay = max(item.due_at - core.store.now(), ZERO)
    body = pause_mark(record.version + 1, record.actor)
    return (NewItem(kind=ItemKind.AUTO_RESUME, key=record.run_id, body=body, delay=delay, replace=True),)
