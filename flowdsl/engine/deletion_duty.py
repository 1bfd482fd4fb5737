"""The duty of deletions: erase the data of a run, or what its workflow's on_delete leaves of it."""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.awaiting import Plan
from flowdsl.engine.burying import letters_of_run
from flowdsl.engine.core import Core
from flowdsl.engine.duty import Duty, Opened
from flowdsl.engine.idle_intent import refuse_intents
from flowdsl.engine.receipt import Receipt
from flowdsl.engine.results import BUSY_RETRY, Results
from flowdsl.engine.work import Work
from flowdsl.errors import StoreError, UnknownStatusError
from flowdsl.model.change import MoveRun
from flowdsl.model.dead_letter import unbury
from flowdsl.model.history import Cause, Origin
from flowdsl.model.item import ItemKey, ItemKind, NewItem
from flowdsl.model.pending import RowKind
from flowdsl.model.record import Payload, RunRecord
from flowdsl.model.run_state import RunState

log = logging.getLogger("flowdsl.deletion")


class DeletionDuty(Duty):
    """One move erases object, reasons, errors, kept callbacks and dead letters of the run and stores the receipt."""

    what = "on_delete"

    def __init__(self, core: Core, results: Results) -> None:
        self._core, self._results = core, results

    def admit(self, work: Work) -> bool:
        if work.record.state is not RunState.REQUESTED_DATA_DELETED:
            self._results.drop(work)  # done already
            return False
        if self._burials_to_come(work):
            self._core.release(work, BUSY_RETRY)
            return False
        if work.record.payload is None and not work.lane.workflow.codec.allows_none:  # nothing that a function could scrub
            self._erase_at_once(work)
            return False
        return True

    def _erase_at_once(self, work: Work) -> None:
        try:
            self._erase(work, None)
        except StoreError as error:
            log.info("the dead letters of run %s could not be read: %s", work.record.run_id, error)
            self._core.release(work, BUSY_RETRY)

    def _burials_to_come(self, work: Work) -> bool:
        """Whether callbacks that were kept for the run are still to become dead letters, or a hook that may be given up is in
        somebody's hands: a letter that is written after those of the run were erased would outlive them. A callback that no code
        knows any more is erased as a row."""
        try:
            rows = self._core.store.rows([work.record.run_id])
        except StoreError as error:
            log.info("what waits for run %s could not be read: %s", work.record.run_id, error)
            return True
        return any(
            (row.kind is RowKind.CALLBACK and row.topic in self._core.topics)
            or (row.kind is RowKind.HOOK and row.attempts > 0 and row.owner is not None)
            for row in rows
        )

    def open(self, work: Work) -> Opened:
        workflow, record = work.lane.workflow, work.record
        if workflow.definition().deletion is None:  # what cannot be read can be erased all the same
            return Opened(Run(record, None, _any(workflow, record.status)), None)
        obj, leftover = workflow.codec.decode(record.payload)
        return Opened(Run(record, obj, workflow.member(record.status), work.failures + 1), leftover)

    def finish(self, work: Work, opened: Opened, answer: object) -> Plan[None]:
        run, workflow = opened.run, work.lane.workflow
        refuse_intents(run, f"on_delete {work.lane.spec.name}")
        payload = None
        if workflow.definition().deletion is not None and run.object is not None:
            payload = workflow.codec.encode(run.object)  # not what was stored beside it: nobody scrubbed that
        self._erase(work, payload)
        return
        yield  # a plan that waits for nothing

    def _erase(self, work: Work, payload: Payload | None) -> None:
        """In: what is left of the object."""
        core, record = self._core, work.record
        letters = letters_of_run(core.store, core.namespace, record.run_id)
        receipt = Receipt(
            run_id=record.run_id,
            workflow=record.workflow,
            requested_by=(work.payload or b"").decode(),
            erased_at=core.store_clock.now(),
            object=_fate(record, payload, work.lane.spec.name),
            dead_letters=len(letters),
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
            drop_items=(ItemKey(ItemKind.AUTO_RESUME, record.run_id), *(key for letter in letters for key in unbury(letter))),
        )
        self._results.submit_move(work, change, payload)

    def give_up(self, work: Work, failures: int, error: str, *, final: bool) -> MoveRun | None:
        return None


def _fate(record: RunRecord, left: Payload | None, name: str) -> str:
    if left is not None:
        return f"scrubbed by {name}"
    return "there was none" if record.payload is None else "erased"


def _any(workflow: Workflow[Any, Any], status: str) -> Any:
    """The member of a status; the text itself where this code does not know it."""
    try:
        return workflow.member(status)
    except UnknownStatusError:
        return status
