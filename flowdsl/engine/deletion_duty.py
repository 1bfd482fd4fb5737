"""The duty of deletions: erase the data of a run, or what its workflow's on_delete leaves of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.awaiting import Plan
from flowdsl.engine.burying import letters_of_run
from flowdsl.engine.core import Core
from flowdsl.engine.duty import Duty, Opened
from flowdsl.engine.receipt import Receipt
from flowdsl.engine.results import Results
from flowdsl.engine.work import Work
from flowdsl.errors import UnknownStatusError
from flowdsl.model.change import MoveRun
from flowdsl.model.history import Cause, Origin
from flowdsl.model.item import ItemKey, ItemKind, NewItem
from flowdsl.model.pending import RowKind
from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState

BURIALS_FIRST = timedelta(seconds=1)
"""How soon a deletion is tried again for which kept callbacks have to go first."""


class DeletionDuty(Duty):
    """One move erases object, reasons, errors, kept callbacks and dead letters of the run and stores the receipt."""

    what = "on_delete"

    def __init__(self, core: Core, results: Results) -> None:
        self._core, self._results = core, results

    def admit(self, work: Work) -> bool:
        if work.record.state is RunState.REQUESTED_DATA_DELETED:
            return True
        self._results.drop(work)  # done already
        return False

    def open(self, work: Work) -> Opened:
        workflow, record = work.lane.workflow, work.record
        if workflow.definition().deletion is None:  # what cannot be read can be erased all the same
            return Opened(Run(record, None, _any(workflow, record.status)), None)
        obj, leftover = workflow.codec.decode(record.payload)
        return Opened(Run(record, obj, workflow.member(record.status), work.failures + 1), leftover)

    def finish(self, work: Work, opened: Opened, answer: object) -> Plan[None]:
        core, record, run = self._core, work.record, opened.run
        if self._burials_to_come(record):
            core.release(work, BURIALS_FIRST)
            return
        custom = work.lane.workflow.definition().deletion
        payload = None
        if custom is not None and run.object is not None:
            payload = work.lane.workflow.codec.encode(run.object)  # not what was stored beside it: nobody scrubbed that
        letters = letters_of_run(core.store, core.namespace, record.run_id)
        receipt = Receipt(
            run_id=record.run_id,
            workflow=record.workflow,
            requested_by=(work.payload or b"").decode(),
            erased_at=core.store_clock.now(),
            object="erased" if payload is None else f"scrubbed by {work.lane.spec.name}",
            dead_letters=sum(key.kind == ItemKind.DEAD_LETTER for key in letters),
        )
        change = MoveRun(
            change_id=core.ids(),
            namespace=record.namespace,
            workflow=record.workflow,
            run_id=record.run_id,
            version=record.version,
            from_status=record.status,
            from_state=record.state,
            to_status=record.status,
            to_state=RunState.DATA_DELETED,
            origin=Origin(cause=Cause.DELETION, name=work.lane.spec.name, actor=work.owner),
            payload=payload,
            erase=True,
            settle=work.row_id,
            items=(NewItem(kind=ItemKind.RECEIPT, key=record.run_id, body=msgspec.json.encode(receipt), replace=True),),
            drop_items=(ItemKey(ItemKind.AUTO_RESUME, record.run_id), *letters),
        )
        self._results.submit_move(work, change, payload)
        return
        yield  # a plan that waits for nothing

    def _burials_to_come(self, record: RunRecord) -> bool:
        """Whether callbacks that were kept for the run are still to become dead letters: one that is written after the letters of
        the run were erased would outlive them. A callback that no code knows any more is erased as a row."""
        rows = self._core.store.rows([record.run_id])
        return any(row.kind is RowKind.CALLBACK and row.topic in self._core.topics for row in rows)

    def give_up(self, work: Work, failures: int, error: str) -> MoveRun | None:
        return None


def _any(workflow: Workflow[Any, Any], status: str) -> Any:
    """The member of a status; the text itself where this code does not know it."""
    try:
        return workflow.member(status)
    except UnknownStatusError:
        return status
