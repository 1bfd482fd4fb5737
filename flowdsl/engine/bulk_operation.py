"""One operation on many runs: an object that does a bounded piece of it at a time, and can be gone on with by any process."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from datetime import timedelta

import msgspec
from msgspec.structs import replace

from flowdsl.engine.audit import audit_item, audit_key
from flowdsl.engine.bulk_turns import Turn, Turns
from flowdsl.engine.control import commit_one
from flowdsl.engine.core import Core
from flowdsl.errors import (
    OperationError,
    OperationStoppedError,
    StoreError,
)
from flowdsl.model.bulk import MOST_REASONS, STATES, BulkOrder, BulkReport, BulkState, OperationEntry, Refused
from flowdsl.model.change import PutItems, Refusal
from flowdsl.model.item import ItemKey, ItemKind, NewItem
from flowdsl.model.where import Where

PAGE = 100
"""Runs between two times that the progress is kept: so many are looked at once more after a crash."""
SLICE = 0.2
"""Seconds of the rate that may be spent at once: what has its turn together is committed together."""
_MOMENT = timedelta(microseconds=1)


class BulkOperation:
    """Walks the runs that are meant, oldest first, and gives each its turn. Progress, the next runs and the audit entry are
    stored together, under a number that grows: two processes on one operation are told apart by it, since only one of them can
    store the next.

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
        self._turns = Turns(core, state.order, self._where, state.batch)
        self._report = replace(state.report, dry_run=dry_run)
        self._batch = deque(state.batch)
        self._after, self._last = state.after, state.last
        self._number = number
        self._pause, self._at_once = 0.0, PAGE
        if rate is not None and not dry_run:
            self._pause, self._at_once = 1 / rate, max(1, min(PAGE, int(rate * SLICE)))
        self._not_before = 0.0
        self._dry_run = dry_run
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
        """Let `run` return after the turns that are under way. Safe from any thread."""
        self._stopped.set()

    def step(self) -> bool:
        """Some turns, or one look for the runs that follow. False: there is nothing to do before `next_due`, or at all."""
        if self._report.finished or self._core.clock.monotonic() < self._not_before:
            return False
        try:
            if self._batch:
                self._some_turns()
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
        self._batch.extend(self._turns.meant(page.runs))

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

    def _some_turns(self) -> None:
        """As many as may have theirs at once."""
        limit, report = self._order.limit, self._report
        size = self._at_once if limit is None else min(self._at_once, limit - report.done - report.waiting)
        run_ids = [self._batch[number] for number in range(min(size, len(self._batch)))]
        self._not_before = max(self._core.clock.monotonic(), self._not_before) + self._pause * len(run_ids)
        turns = self._turns.take(run_ids, dry_run=self._dry_run)
        for _ in run_ids:
            self._batch.popleft()
        self._count("passed", len(run_ids) - len(turns))
        for turn in turns:
            self._count(turn.what)
            if turn.what == "refused":
                self._note_refusal(turn)
            if self._seen is not None:
                self._seen(turn)

    def _count(self, what: str, number: int = 1) -> None:
        self._report = replace(self._report, **{what: getattr(self._report, what) + number})

    def _note_refusal(self, turn: Turn) -> None:
        refusals = dict(self._report.refusals)
        if turn.why in refusals or len(refusals) < MOST_REASONS:
            before = refusals.get(turn.why, Refused(0, turn.run.run_id))
            refusals[turn.why] = Refused(before.count + 1, before.example)
            self._report = replace(self._report, refusals=refusals)


def item_key(operation: str, number: int) -> str:
    """The key of an operation's state."""
    return f"{operation}/{number:012}"
