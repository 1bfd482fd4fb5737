"""One operation on many runs: an object that does a bounded piece of it at a time, and can be gone on with by any process."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from flowdsl.engine.audit import audit_item, audit_key
from flowdsl.engine.control import commit_one
from flowdsl.engine.core import Core
from flowdsl.engine.repair import Repair
from flowdsl.errors import (
    ConfigurationError,
    OperationError,
    OperationStoppedError,
    PayloadError,
    RunError,
    RunNotFoundError,
    StoreError,
)
from flowdsl.model.bulk import MOST_REASONS, STATES, BulkOrder, BulkReport, BulkState, BulkVerb, OperationEntry, Refused
from flowdsl.model.change import PutItems, Refusal
from flowdsl.model.condition import Subject
from flowdsl.model.item import ItemKey, ItemKind, NewItem
from flowdsl.model.pending import PendingRow
from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState
from flowdsl.model.where import Where

PAGE = 100
"""Runs between two times that the progress is kept: so many are looked at once more after a crash."""
_MOMENT = timedelta(microseconds=1)


class Turn(NamedTuple):
    """One run had its turn."""

    run: RunRecord
    """As it was found."""
    what: str
    """done, waiting, refused or passed: the report counts by these names."""
    why: str = ""


class BulkOperation:
    """Walks the runs that are meant, oldest first, and gives each its turn. A turn is an ordinary change of one run, by
    compare-and-set, with the reason and the operation's id in the run's history; whether the run is still meant is asked of the
    very version that is changed. Progress, the next runs and the audit entry are stored together, under a number that grows:
    two processes on one operation are told apart by it, since only one of them can store the next.

    In: the state to begin or go on from; `number`, under which it was found (0: it is new); `rate`, runs a second (None: as fast
    as it goes); `dry_run` looks and changes nothing; `seen` is told of each turn. Raises WhereError.
    """

    def __init__(
        self,
        core: Core,
        state: BulkState,
        *,
        number: int = 0,
        rate: float | None = None,
        dry_run: bool = False,
        seen: Callable[[Turn], None] | None = None,
    ) -> None:
        self._core = core
        self._order = state.order
        self._where = Where.parse(state.order.where)
        self._name = f"bulk {state.order.operation}"
        self._repair = Repair(core, self._name, self._guard)
        self._report = replace(state.report, dry_run=dry_run)
        self._batch = deque(state.batch)
        self._after, self._last = state.after, state.last
        self._number = number
        self._pause = 0.0 if rate is None or dry_run else 1 / rate
        self._not_before = 0.0
        self._dry_run = dry_run
        self._doubtful = frozenset(state.batch)
        """Runs that may have had their turn from a process whose progress was not stored."""
        self._seen = seen
        self._stopped = threading.Event()

    @property
    def report(self) -> BulkReport:
        """What has become of it so far."""
        return self._report

    @property
    def order(self) -> BulkOrder:
        return self._order

    def begin(self) -> None:
        """Store that it has begun. Raises StoreError."""
        self._advance()

    def run(
        self, progress: Callable[[BulkReport], None] | None = None, wait: Callable[[float], object] | None = None
    ) -> BulkReport:
        """Carry it out, to the end unless it is stopped. In: `progress` is told after each turn; `wait` sleeps that many seconds.

        Raises OperationStoppedError when the store does not answer: it can be gone on with. OperationError."""
        sleep = wait or self._stopped.wait
        while not self._report.finished and not self._stopped.is_set():
            if not self.step():
                sleep(max(0.0, self.next_due() - self._core.clock.monotonic()))
            elif progress is not None:
                progress(self._report)
        return self._report

    def stop(self) -> None:
        """Let `run` return after the turn that is under way. Safe from any thread."""
        self._stopped.set()

    def step(self) -> bool:
        """One turn, or one look for the runs that follow. False: there is nothing to do before `next_due`, or at all."""
        if self._report.finished or self._core.clock.monotonic() < self._not_before:
            return False
        try:
            if self._batch:
                self._turn(self._batch[0])
                self._batch.popleft()
            if not self._batch or self._enough:
                self._advance()
        except StoreError as error:
            raise OperationStoppedError(
                f"operation {self._order.operation} stopped after {self._report.turns} runs: {error}",
                operation=self._order.operation,
                remedy="Go on with it when the store answers: engine.bulk.go_on(id), or --continue ID.",
            ) from error
        return True

    def next_due(self) -> float:
        """The monotonic time of the next step."""
        return self._not_before

    # -- the runs that follow -------------------------------------------------------------------------------------------------

    @property
    def _enough(self) -> bool:
        limit = self._order.limit
        return limit is not None and self._report.done + self._report.waiting >= limit

    def _advance(self) -> None:
        """Look for the next runs, and store how far it is once there are some, or none will come."""
        if self._last or self._enough:
            self._report = replace(self._report, finished=True)
            self._batch.clear()
        else:
            self._read_page()
        if (self._batch or self._report.finished) and not self._dry_run:
            self._keep()

    def _read_page(self) -> None:
        core, order = self._core, self._order
        query = self._where.query(core.namespace, order.at, states=STATES[order.verb], limit=PAGE, after=self._after)
        if query is None:
            self._last = True
            return
        bound = order.at + _MOMENT
        if query.created_before is None or query.created_before > bound:
            query = replace(query, created_before=bound)
        page = core.store.runs(query)
        self._after, self._last = page.next, page.next is None
        rows = self._rows([record.run_id for record in page.runs])
        self._batch.extend(record.run_id for record in page.runs if self._where.holds(self._subject(record, rows)))

    def _rows(self, run_ids: list[str]) -> dict[str, PendingRow]:
        """The step rows of these runs, if anything depends on them."""
        if not self._where.reads_rows:
            return {}
        return {row.run_id: row for row in self._core.store.rows(run_ids) if row.row_id == row.run_id}

    def _subject(self, record: RunRecord, rows: dict[str, PendingRow]) -> Subject:
        return Subject(record, rows.get(record.run_id), self._order.at)

    def _keep(self) -> None:
        """Store the progress under the next number, in place of the one before. Raises OperationError when somebody else has."""
        core, order = self._core, self._order
        state = BulkState(order=order, report=self._report, batch=tuple(self._batch), after=self._after, last=self._last)
        kept = NewItem(kind=ItemKind.BULK, key=item_key(order.operation, self._number + 1), body=msgspec.json.encode(state))
        change = PutItems(
            change_id=core.ids(),
            namespace=core.namespace,
            items=(kept, audit_item(self._entry())),
            drop=(ItemKey(ItemKind.BULK, item_key(order.operation, self._number)),) if self._number else (),
        )
        result = commit_one(core, change)
        if result.refusal is Refusal.KEY_TAKEN:
            raise OperationError(
                f"operation {order.operation} is being carried out by another process.", remedy="Let that one finish."
            )
        if not result.applied:
            raise OperationError(f"the progress of operation {order.operation} cannot be stored: {result.detail}.")
        self._number += 1

    def _entry(self) -> OperationEntry:
        order, report = self._order, self._report
        details = {
            "to": order.to_status,
            "force": "yes" if order.force else None,
            "limit": None if order.limit is None else str(order.limit),
        }
        return OperationEntry(
            key=audit_key(order.at, order.operation),
            operation=order.operation,
            verb=order.verb.value,
            at=order.at,
            actor=order.actor,
            reason=order.reason,
            where=order.where,
            details={name: value for name, value in details.items() if value is not None},
            done=report.done,
            waiting=report.waiting,
            refused=report.refused,
            passed=report.passed,
            finished_at=self._core.store.now() if report.finished else None,
        )

    # -- turns ----------------------------------------------------------------------------------------------------------------

    def _turn(self, run_id: str) -> None:
        self._not_before = max(self._core.clock.monotonic(), self._not_before) + self._pause
        record = self._core.store.lookup([run_id]).get(run_id)
        if record is None:
            self._count("passed")
            return
        turn = self._given(record)
        self._count(turn.what, turn)
        if self._seen is not None:
            self._seen(turn)

    def _given(self, record: RunRecord) -> Turn:
        try:
            return self._check(record) if self._dry_run else self._act(record)
        except (_NotMeantError, RunNotFoundError):
            return Turn(record, "passed")
        except _DoneBeforeError:
            return Turn(record, "done")
        except (RunError, ConfigurationError, PayloadError) as error:
            why = str(error).removesuffix(error.remedy or "").replace(record.run_id, "RUN").strip()
            return Turn(record, "refused", why)

    def _act(self, record: RunRecord) -> Turn:
        repair, order, run_id = self._repair, self._order, record.run_id
        match order.verb:
            case BulkVerb.RETRY:
                after = repair.retry(run_id, order.reason, order.actor)
            case BulkVerb.MOVE:
                after = repair.move(run_id, order.to_status or "", order.reason, order.actor, force=order.force)
            case BulkVerb.PAUSE:
                after = repair.pause(run_id, order.reason, order.actor)
            case BulkVerb.RESUME:
                after = repair.resume(run_id, order.actor, order.reason)
            case BulkVerb.CANCEL:
                after = repair.cancel(run_id, order.reason, order.actor, force=order.force)
            case BulkVerb.DELETE:
                after = repair.delete_data(run_id, order.reason, order.actor)
        return Turn(record, "waiting" if after.requested is not None else "done")

    def _check(self, record: RunRecord) -> Turn:
        """What a turn would come to."""
        self._guard(record)
        repair, order = self._repair, self._order
        match order.verb:
            case BulkVerb.RETRY:
                repair.retrying(record, order.reason, order.actor, handoff=False)
                repair.refuse_claimed(record)
            case BulkVerb.MOVE:
                repair.moving(record, order.to_status or "", order.reason, order.actor, force=order.force, handoff=False)
                if not order.force:
                    repair.refuse_claimed(record)
            case BulkVerb.PAUSE:
                repair.allow(record, RunState.PAUSED)
            case BulkVerb.RESUME:
                repair.allow(record, RunState.RUNNING)
            case BulkVerb.CANCEL:
                repair.allow(record, RunState.CANCELLED)
            case BulkVerb.DELETE:
                repair.allow(record, RunState.REQUESTED_DATA_DELETED)
        return Turn(record, "done")

    def _guard(self, record: RunRecord) -> None:
        if record.run_id in self._doubtful and self._had_its_turn(record):
            raise _DoneBeforeError
        meant = record.state in STATES[self._order.verb]
        if not meant or not self._where.holds(self._subject(record, self._rows([record.run_id]))):
            raise _NotMeantError

    def _had_its_turn(self, record: RunRecord) -> bool:
        """Whether this operation has changed the run already, or left a request at it."""
        request, order = record.requested, self._order
        if request is not None and (request.reason, request.actor) == (order.reason, order.actor):
            return True
        return any(row.name == self._name for row in self._core.store.history(record.run_id))

    def _count(self, what: str, turn: Turn | None = None) -> None:
        report = self._report
        refusals = dict(report.refusals)
        if turn is not None and what == "refused" and (turn.why in refusals or len(refusals) < MOST_REASONS):
            before = refusals.get(turn.why, Refused(0, turn.run.run_id))
            refusals[turn.why] = Refused(before.count + 1, before.example)
        self._report = replace(report, refusals=refusals, **{what: getattr(report, what) + 1})


class _NotMeantError(Exception):
    """The run is no longer meant."""


class _DoneBeforeError(Exception):
    """The run has had its turn, by a process whose progress was not stored."""


def item_key(operation: str, number: int) -> str:
    """The key of an operation's state."""
    return f"{operation}/{number:012}"
