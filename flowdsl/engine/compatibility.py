"""Does the code of a workflow fit the runs that are stored? Asked before it is deployed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from flowdsl.dsl.migration import MigrationSpec
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.core import Core
from flowdsl.engine.migrating import rewritten
from flowdsl.engine.misfit_text import Found, worded
from flowdsl.errors import NewerSchemaError, PayloadError, UnknownStatusError
from flowdsl.model.bulk import UNFINISHED
from flowdsl.model.misfit import Fit, MisfitKind
from flowdsl.model.pending import PendingRow, RowKind
from flowdsl.model.query import MAX_PAGE, Cursor, Order, RunQuery
from flowdsl.model.record import RunRecord

DEFAULT_SAMPLE = 100
"""Runs of each status and schema version whose object and rows are read."""


class Comparison:
    """Walks the unfinished runs of one workflow of the engine, page by page. Every run is counted; of each status and schema
    version a sample is looked at. In: the sample's size."""

    def __init__(self, core: Core, workflow: Workflow[Any, Any], sample: int = DEFAULT_SAMPLE) -> None:
        self._core = core
        self._workflow = workflow
        self._definition = workflow.definition()
        self._sample = sample
        self._runs = self._migrating = 0
        self._sampled: Counter[tuple[str, int]] = Counter()
        self._found: dict[tuple[MisfitKind, str, str], Found] = {}

    def fit(self) -> Fit:
        """Raises StoreError."""
        after: Cursor | None = None
        while True:
            query = RunQuery(
                namespace=self._core.namespace,
                workflows=(self._workflow.name,),
                states=UNFINISHED,
                order=Order.OLDEST_FIRST,
                limit=MAX_PAGE,
                after=after,
            )
            page = self._core.store.runs(query)
            self._look(page.runs)
            after = page.next
            if after is None:
                break
        looked_at: Counter[str] = Counter()
        for (status, _), number in self._sampled.items():
            looked_at[status] += number
        misfits = [worded(found, self._definition, looked_at[found.status]) for found in self._found.values()]
        return Fit(
            workflow=self._workflow.name,
            runs=self._runs,
            sampled=looked_at.total(),
            migrating=self._migrating,
            misfits=sorted(misfits, key=lambda misfit: (misfit.status, misfit.kind)),
        )

    def _look(self, records: Sequence[RunRecord]) -> None:
        chosen: dict[str, RunRecord] = {}
        for record in records:
            self._runs += 1
            self._place(record)
            group = (record.status, 0 if record.payload is None else record.payload.schema_version)
            if self._sampled[group] < self._sample:
                self._sampled[group] += 1
                chosen[record.run_id] = record
        for record in chosen.values():
            self._object(record)
        for row in self._core.store.rows(list(chosen)):
            self._row(row, chosen[row.run_id])

    def _place(self, record: RunRecord) -> None:
        """Where the run would be in this code."""
        status, definition = record.status, self._definition
        if status in definition.migrations:
            self._migrating += 1
        elif status in definition.terminal:
            self._note(MisfitKind.ENDED_STATUS, record)
        elif status not in definition.statuses:
            self._note(MisfitKind.NO_WAY_ON if self._is_member(status) else MisfitKind.UNKNOWN_STATUS, record)

    def _is_member(self, status: str) -> bool:
        try:
            self._workflow.member(status)
        except UnknownStatusError:
            return False
        return True

    def _object(self, record: RunRecord) -> None:
        """Whether this code could read it."""
        spec = self._definition.migrations.get(record.status)
        try:
            if spec is not None and spec.fn is not None:
                self._migrate(record, spec)
            else:
                self._workflow.codec.decode(record.payload)
        except NewerSchemaError:
            self._note(MisfitKind.NEWER_OBJECT, record)
        except PayloadError as error:
            self._note(MisfitKind.UNREADABLE_OBJECT, record, str(error).removesuffix(error.remedy or "").strip())

    def _migrate(self, record: RunRecord, spec: MigrationSpec) -> None:
        try:
            rewritten(self._core, spec, record)
        except NewerSchemaError:
            raise
        except Exception as error:  # a user's function may raise anything
            self._note(MisfitKind.FAILING_MIGRATION, record, f"{type(error).__name__}: {error}")

    def _row(self, row: PendingRow, record: RunRecord) -> None:
        """Whether anybody would take what waits beside its step."""
        if row.topic in self._core.topics:
            return
        if row.kind is RowKind.TIMEOUT and record.status not in self._definition.migrations:
            self._note(MisfitKind.LOST_TIMEOUT, record, row.receiver, per_detail=True)
        elif row.kind is RowKind.CALLBACK:
            self._note(MisfitKind.LOST_CALLBACK, record, row.topic.rpartition("/")[2], per_detail=True)

    def _note(self, kind: MisfitKind, record: RunRecord, detail: str = "", *, per_detail: bool = False) -> None:
        """Count a run; the first of its kind lends detail and id."""
        key = (kind, record.status, detail if per_detail else "")
        first = Found(self._workflow.name, kind, record.status, 0, detail, record.run_id)
        before = self._found.get(key, first)
        self._found[key] = replace(before, runs=before.runs + 1)
