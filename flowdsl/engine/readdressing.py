"""Kept callbacks of a status that is no more: for the one that a migration leads to from now on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flowdsl.dsl.migration import MigrationSpec
from flowdsl.engine.core import Core
from flowdsl.model.bulk import UNFINISHED
from flowdsl.model.change import AddRow, CommitResult
from flowdsl.model.pending import NOW, NewRow, PendingRow, RowKind
from flowdsl.model.query import Cursor, Order, RunQuery
from flowdsl.model.record import RunRecord
from flowdsl.naming import callback_topic

BATCH = 100


def readdressed(core: Core, workflow: str, spec: MigrationSpec) -> dict[str, str]:
    """Topics of the old status's kept callbacks, each with that of the new status's callback of the same name."""
    callbacks = core.workflows[workflow].definition().callbacks.get(spec.to_key, ())
    return {
        callback_topic(workflow, spec.from_key, callback.label): callback_topic(workflow, spec.to_key, callback.label)
        for callback in callbacks
    }


class Readdressing:
    """One walk over the unfinished runs of a workflow, in bounded batches: a callback may have been kept for the old status long
    before the run comes there, or by older code after it has left.

    Those of runs that are still in the old status are left alone: older code may be about to apply them, and the migration
    takes the run along.
    """

    def __init__(self, core: Core, workflow: str, spec: MigrationSpec, counted: Callable[[], None]) -> None:
        self._core = core
        self._workflow = workflow
        self._spec = spec
        self._counted = counted
        """Called for each callback that has its new address."""
        self._topics = readdressed(core, workflow, spec)
        self._after: Cursor | None = None
        self.finished = not self._topics

    def step(self) -> bool:
        """One batch, submitted; to be followed by a flush of the committer. True: something is to do. Raises StoreError."""
        store = self._core.store
        query = RunQuery(
            namespace=self._core.namespace,
            workflows=(self._workflow,),
            states=UNFINISHED,
            order=Order.OLDEST_FIRST,
            limit=BATCH,
            after=self._after,
        )
        page = store.runs(query)
        self._after, self.finished = page.next, page.next is None
        runs = {record.run_id: record for record in page.runs if record.status != self._spec.from_key}
        rows = self._waiting(store.rows(list(runs)))
        for row in rows:
            self._readdress(runs[row.run_id], row)
        return bool(rows)

    def _waiting(self, rows: Sequence[PendingRow]) -> list[PendingRow]:
        return [row for row in rows if row.kind is RowKind.CALLBACK and row.topic in self._topics and row.owner is None]

    def _readdress(self, record: RunRecord, row: PendingRow) -> None:
        core, change_id = self._core, self._core.ids()
        arrived = record.status == self._spec.to_key
        new = NewRow(
            row_id=f"{record.run_id}:{change_id}",
            topic=self._topics[row.topic],
            kind=RowKind.CALLBACK,
            receiver=self._spec.to_key,
            delay=NOW if arrived else None,
            priority=row.priority,
            payload=row.payload,
        )
        change = AddRow(
            change_id=change_id,
            namespace=record.namespace,
            workflow=record.workflow,
            run_id=record.run_id,
            version=record.version,
            row=new,
            instead_of=row.row_id,
        )

        def done(result: CommitResult) -> None:
            if not result.applied:
                return  # the run has gone on meanwhile: the next walk finds what is left
            self._counted()
            if arrived:
                core.wake([new.topic])

        core.committer.submit(change, done, _next_walk)


def _next_walk(_: Exception) -> None:
    """The next walk finds it again."""
