"""What follows a commit: the answers to changes that executed works have submitted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from functools import partial

from msgspec.structs import replace

from flowdsl.engine.control import request_move
from flowdsl.engine.core import Core
from flowdsl.engine.metrics import SkipReason
from flowdsl.engine.moving import moved_record
from flowdsl.engine.work import Work
from flowdsl.errors import FlowError, StoreError
from flowdsl.model.change import Change, CommitOutcome, CommitResult, DropRow, MoveRun, ParkRow, PutItems, Refusal
from flowdsl.model.item import ItemKey, NewItem
from flowdsl.model.pending import MOVERS, NewRow, RowKind
from flowdsl.model.record import Payload, RunRecord
from flowdsl.model.run_state import RunState

log = logging.getLogger("flowdsl.steps")
STORE_RETRY = timedelta(seconds=1)
LOOK_AGAIN = timedelta(milliseconds=50)
BUSY_RETRY = timedelta(seconds=1)
"""How soon a timeout or callback is tried again whose run is in the hands of its step."""

Done = Callable[[CommitResult], None]


class Results:
    """In: what to do with a work whose result the store refuses (it has failed)."""

    def __init__(self, core: Core, fail: Callable[[Work, BaseException], None]) -> None:
        self._core = core
        self._fail = fail

    def submit(self, work: Work, change: Change, done: Done) -> None:
        """Queue the change of a work; `done` gets the answer."""
        self._core.committer.submit(change, done, partial(self._unanswered, work, change, done))

    def submit_move(self, work: Work, change: MoveRun, payload: Payload | None) -> None:
        """Queue a change of the work's run. In: the object as the change stores it."""
        self.submit(work, change, partial(self.moved, work, change, payload))

    def drop(self, work: Work) -> None:
        """Remove a row that nothing needs any more."""
        change = DropRow(change_id=self._core.ids(), **work.claim)
        if work.lane.kind is RowKind.CALLBACK:
            self.give_up(work, change)
        else:
            self.submit(work, change, partial(self.given_back, work))

    def bury(self, work: Work, letter: Sequence[NewItem]) -> None:
        """Keep what nobody will be told of as a dead letter, and remove its row. First the letter, then the row: whatever happens
        in between, it is in one of the two."""
        core = self._core

        def buried(result: CommitResult) -> None:
            if not result.applied and result.refusal is not Refusal.KEY_TAKEN:
                log.warning("%s could not be buried: %s", work.lane.spec.name, result.detail, extra=fields(work))
                core.release(work, BUSY_RETRY)
            else:
                if result.applied and self._erased(work):
                    dug_up = tuple(ItemKey(item.kind, item.key) for item in letter)
                    gone = PutItems(change_id=core.ids(), namespace=core.namespace, drop=dug_up)
                    core.committer.submit(gone, _nothing, _left_to_the_row)
                if result.applied:
                    core.metrics.dead_letters.labels(work.lane.workflow.name, work.lane.name).inc()
                self.drop(work)
            core.commit_soon()

        self.submit(work, PutItems(change_id=core.ids(), namespace=core.namespace, items=tuple(letter)), buried)

    def _erased(self, work: Work) -> bool:
        """Whether the data of the run is gone since it was read, of which the letter holds some. A deletion that is only on its
        way will find the letter."""
        try:
            record = self._core.store.lookup([work.record.run_id]).get(work.record.run_id)
        except StoreError:
            return False
        return record is None or (record.state is RunState.DATA_DELETED and work.record.state is not RunState.DATA_DELETED)

    def _unanswered(self, work: Work, change: Change, done: Done, error: StoreError) -> None:
        """The store could not answer: the change is tried again while the claim is ours; afterwards it is somebody else's row."""
        core = self._core
        if work.owner != core.owner:
            if isinstance(change, MoveRun):
                core.not_committed(change.row)
            core.close(work)
            return
        core.delayed.call(STORE_RETRY, partial(self._again, work, change, done))

    def _again(self, work: Work, change: Change, done: Done) -> None:
        self.submit(work, change, done)
        self._core.commit_soon()

    def moved(self, work: Work, change: MoveRun, payload: Payload | None, result: CommitResult) -> None:
        """After a change of the work's run was committed, or was not."""
        core, lane, record = self._core, work.lane, work.record
        if work.began >= 0:
            lane.metrics.latency.observe(core.clock.monotonic() - work.began)
        if not result.applied:
            core.not_committed(change.row)
            self._not_moved(work, result)
            return
        after = moved_record(record, change, payload, result)
        core.metrics.moved(record.workflow, record.state, after.state)
        core.close(work)
        core.committed(change.row, after)
        if after.state is change.to_state:
            core.waiter.notify(after)
        else:
            core.waiter.refresh(after.run_id)  # a request was applied: whose, and why, is in the store

    def _not_moved(self, work: Work, result: CommitResult) -> None:
        core, lane = self._core, work.lane
        if result.refusal is Refusal.BAD_DATA or result.refusal is Refusal.KEY_TAKEN:
            self._fail(work, FlowError(f"the store refused the result: {result.detail}"))
            core.commit_soon()
            return
        lane.metrics.skipped(SkipReason.STOPPED if result.refusal is Refusal.FINISHED else SkipReason.LOWER_VERSION)
        log.info("the result of %s came too late: the run had moved on", lane.spec.name, extra=fields(work))
        if lane.kind is RowKind.STEP:
            core.close(work)
            return
        # Whatever changed the run left this row where it was, unless it is void: then it is nobody's already.
        core.release(work, BUSY_RETRY if result.refusal is Refusal.CLAIMED else None)
        core.commit_soon()

    def given_back(self, work: Work, result: CommitResult) -> None:
        """After a change that gave up the claim: a pause or cancel that waited for it has its turn, unless it waits for another
        function of the run, too."""
        core = self._core
        core.close(work)
        if result.outcome is CommitOutcome.APPLIED and result.requested is not None and work.lane.kind in MOVERS:
            change = request_move(core, work.record, result.requested, unless_moving=True)
            self._request(change, work.record)
            core.commit_soon()
        elif work.lane.next_look() is not None:
            core.wake(())

    def give_up(self, work: Work, change: ParkRow | DropRow, instead: NewRow | None = None, *, looks: int = 1) -> None:
        """Give up the claim of what may move the run and does not. A pause or cancel that waits for it is applied by the change
        that gives the claim up: this process may die before it does anything else. In: what is left of a parked row that a pause
        would let go on."""
        core = self._core

        def asked(result: CommitResult) -> None:
            request = result.requested
            if result.refusal is not Refusal.REQUESTED or request is None:
                self.given_back(work, result)
                return
            held = self.held_beside(work, MOVERS)
            if held == []:
                move = request_move(
                    core,
                    work.record,
                    request,
                    settle=work.row_id if isinstance(change, DropRow) or instead is not None else None,
                    side_rows=() if instead is None else (instead,),
                    unless_claimed=work.lane.kind is not RowKind.STEP,
                )
                self.submit(work, move, partial(stopped, move))
                core.commit_soon()
            elif looks and first_of_those(work, held):
                self.look_again(work, partial(self.give_up, work, change, instead, looks=looks - 1))
            else:
                leave_it_to_others()

        def stopped(move: MoveRun, result: CommitResult) -> None:
            if result.applied:
                self.moved(work, move, None, result)
            else:
                leave_it_to_others()

        def leave_it_to_others() -> None:
            """The run has gone on, or another function of it is executed, whose commit applies what waits."""
            self.submit(work, change, partial(self.given_back, work))
            core.commit_soon()

        self.submit(work, replace(change, unless_requested=True), asked)

    def held_beside(self, work: Work, kinds: Collection[RowKind]) -> Sequence[str] | None:
        """The other rows of the run, of these kinds, that somebody holds. None: the store does not say."""
        run_id = work.record.run_id
        try:
            rows = self._core.store.rows([run_id])
        except Exception as error:  # whatever it is, the work must not be lost by it
            log.info("what waits for run %s could not be read: %s", run_id, error)
            return None
        return [row.row_id for row in rows if row.owner is not None and row.kind in kinds and row.row_id != work.row_id]

    def look_again(self, work: Work, look: Callable[[], None]) -> None:
        """In a moment: by then whoever only came to apply a request has let go of the row."""
        core = self._core

        def again() -> None:
            try:
                look()
            except Exception:
                log.exception("a second look at run %s failed", work.record.run_id)
                core.release(work, BUSY_RETRY)
            core.commit_soon()

        core.delayed.call(LOOK_AGAIN, again)

    def told(self, work: Work, result: CommitResult) -> None:
        """After the row of a work was removed."""
        if work.began >= 0:
            work.lane.metrics.latency.observe(self._core.clock.monotonic() - work.began)
        self._core.close(work)

    def _request(self, change: MoveRun, record: RunRecord) -> None:
        """Apply what waited for a row that nobody holds any more and that may never be due again, however long it takes."""
        core = self._core

        def again() -> None:
            self._request(change, record)
            core.commit_soon()

        core.committer.submit(change, partial(self._requested, change, record), lambda _: core.delayed.call(STORE_RETRY, again))

    def _requested(self, change: MoveRun, record: RunRecord, result: CommitResult) -> None:
        if not result.applied:
            return
        after = moved_record(record, change, None, result)
        self._core.metrics.moved(record.workflow, record.state, after.state)
        if after.state is change.to_state:
            self._core.waiter.notify(after)
        else:
            self._core.waiter.refresh(after.run_id)


def _nothing(_: CommitResult) -> None:
    """Nothing follows."""


def _left_to_the_row(_: StoreError) -> None:
    """The store could not answer, and its row goes on without it."""


def first_of_those(work: Work, held: Sequence[str] | None) -> bool:
    """Whether a work, of those whose rows are held, is the one that stays: the row beside the step's with the least id. The
    step's does not, since nothing beside it could commit then."""
    return held is not None and work.row_id == min({work.row_id, *held} - {work.record.run_id}, default=None)


def fields(work: Work, *, attempt: int | None = None) -> dict[str, object]:
    """What a log line about a run carries: ids, never the object."""
    record = work.record
    return {
        "workflow": record.workflow,
        "run_id": record.run_id,
        "foreign_id": record.foreign_id,
        "status": record.status,
        "attempt": attempt if attempt is not None else work.failures + 1,
    }
