"""What the parts of one engine share."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from flowdsl.clock import Clock, IdSource
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.awaiting import complete_here
from flowdsl.engine.committer import Committer
from flowdsl.engine.delayed import Delayed
from flowdsl.engine.hooks import Hooks
from flowdsl.engine.lane import Lane
from flowdsl.engine.metrics import Metrics
from flowdsl.engine.publisher import Publisher
from flowdsl.engine.side_lanes import side_lanes
from flowdsl.engine.store_clock import StoreClock
from flowdsl.engine.timers import Timers
from flowdsl.engine.waiter import Waiter
from flowdsl.engine.work import Claim, Work
from flowdsl.errors import ConfigurationError
from flowdsl.model.change import CommitOutcome, CommitResult, ReleaseRow
from flowdsl.model.pending import NewRow, RowKind
from flowdsl.model.record import RunRecord
from flowdsl.naming import process_name, topic
from flowdsl.options import ZERO
from flowdsl.ports.record_store import RecordStore

GIVE_BACK_AFTER = timedelta(seconds=1)


class Core:
    """The engine's parts and what they agree on. No behaviour of its own beyond finding a lane and making a step's row."""

    def __init__(
        self,
        workflows: Sequence[Workflow[Any, Any]],
        *,
        store: RecordStore,
        clock: Clock,
        ids: IdSource,
        rng: random.Random,
        metrics: Metrics,
        namespace: str,
    ) -> None:
        self.store = store
        self.clock = clock
        self.ids = ids
        self.rng = rng
        self.metrics = metrics
        self.namespace = namespace
        self.committer = Committer(store, clock, metrics)
        self.store_clock = StoreClock(store, clock)
        self.complete: Callable[[Awaitable[Any]], Any] = complete_here
        """Waits for what a user's `async def` answers, on the loop where such functions run. Not to be called on a loop."""
        self.waiter = Waiter(store, clock)
        self.owner = ""
        """Under which name this instance claims; empty while it takes no work."""
        self.accepting = False
        """Whether new work may be taken: claims and handoffs."""
        self.handoff = True
        self.offer: Callable[[Sequence[Work]], None] = _no_executor
        self.wake: Callable[[Sequence[str]], None] = _nobody
        """Tells the dispatcher that rows wait in these topics."""
        self.commit_soon: Callable[[], None] = self.committer.flush
        """Makes sure that what was submitted is committed, without making the caller wait for it where somebody else can."""
        self.publisher: Publisher | None = None
        """Announces rows on the streamer; None: there is no streamer, and consumers look into the store."""
        self.room: Callable[[], None] = _no_reader
        """Tells the stream reader that a place has become free."""
        self.delayed = Delayed(clock)
        self.workflows: dict[str, Workflow[Any, Any]] = {}
        self.lanes: dict[tuple[str, str], Lane] = {}
        for workflow in workflows:
            self.workflows[workflow.name] = workflow
            metrics.of(workflow.name)
            for key, spec in workflow.definition().steps.items():
                slots = spec.options.parallel_count or 1
                name = process_name(key, slots=slots)
                process = metrics.process(workflow.name, name)
                self.lanes[workflow.name, key] = Lane(workflow, spec, topic(workflow.name, key), name, process, clock.monotonic)
        flows = self.workflows.values()
        self.side_lanes = [lane for workflow in flows for lane in side_lanes(workflow, metrics, clock.monotonic)]
        """Of rows beside the step rows: timeouts, kept callbacks, hooks, deletions."""
        self.all_lanes: Sequence[Lane] = (*self.lanes.values(), *self.side_lanes)
        self.topics: Mapping[str, Lane] = {lane.topic: lane for lane in self.all_lanes}
        self.timers = Timers(self.store_clock.now)
        self.hooks = Hooks(self.workflows, store, namespace, clock)
        self.committer.prepare = self.hooks.accompany

    def step_row(self, workflow: str, run_id: str, status: str, *, priority: int = 0, handoff: bool = True) -> NewRow | None:
        """The row for a run that enters `status`; None when nothing consumes it. With a place free in this instance the row is
        born ours: whoever commits it must then call `handed_over` or `not_handed_over`."""
        lane = self.lanes.get((workflow, status))
        if lane is None:
            if workflow in self.workflows:
                return None
            # Control from a process that has not the workflow's code: whether a step consumes the status is not known here.
            # A row that nobody asks for does no harm.
            return NewRow(row_id=run_id, topic=topic(workflow, status), priority=priority)
        lag = lane.options.consume_lag
        mine = handoff and self.handoff and self.accepting and lag == ZERO and lane.reserve()
        return NewRow(row_id=run_id, topic=lane.topic, delay=lag, owner=self.owner if mine else None, priority=priority)

    def committed(self, row: NewRow | None, record: RunRecord) -> None:
        """A change with this step row was applied and left the run as `record`: hand it over, or remember when it is due."""
        if row is None:
            return
        if row.owner is None and row.delay == ZERO:
            self.announce(row.topic, record)
        lane = self.topics.get(row.topic)
        if lane is None:
            return
        if row.owner is None:
            if row.delay:
                lane.expect(self.clock.monotonic() + row.delay.total_seconds())
                self.wake(())
            return
        if record.state.stopped:  # a request was waiting: the store kept no row
            lane.close(handed=True)
            return
        work = Work(lane, record, row_id=row.row_id, owner=row.owner, delivery=1, handed=True)
        if row.owner != self.owner or not self.accepting:
            self.release(work)
        else:
            self.offer([work])

    def not_committed(self, row: NewRow | None) -> None:
        """A change with this step row was not applied: its place is free again."""
        if row is not None and row.owner is not None:
            self.topics[row.topic].close(handed=True)

    def abandon(self, row: NewRow | None, version: int) -> None:
        """Nobody knows whether a change with this step row was applied, and nobody will ask again. If it was, the row is ours and
        unknown to us: it is given back as soon as the store answers, so that somebody finds it. In: the version that the change
        makes."""
        self.not_committed(row)
        if row is not None and row.owner is not None:
            claim = Claim(row_id=row.row_id, owner=row.owner, delivery=1, version=version)
            self._give_back_later(ReleaseRow(change_id=self.ids(), **claim), _ignore)

    def release(self, work: Work, delay: timedelta | None = None) -> None:
        """Give a row back whose body has not begun, or came to nothing, due again after `delay` (None: when it was); to be
        followed by `commit_soon`."""
        self.close(work)
        self.give_back(work.claim, lambda result: self._released(work, result), delay)

    def give_back(self, claim: Claim, done: Callable[[CommitResult], None], delay: timedelta | None = None) -> None:
        """The same for a row that no lane counts, again and again until the store answers: while this process lives, nobody else
        would."""
        self._give_back(ReleaseRow(change_id=self.ids(), **claim, delay=delay), done)

    def _give_back(self, change: ReleaseRow, done: Callable[[CommitResult], None]) -> None:
        self.committer.submit(change, done, lambda _: self._give_back_later(change, done))

    def _give_back_later(self, change: ReleaseRow, done: Callable[[CommitResult], None]) -> None:
        def again() -> None:
            if change.owner != self.owner:
                return  # it was freed together with the heartbeat
            self._give_back(change, done)
            self.commit_soon()

        self.delayed.call(GIVE_BACK_AFTER, again)

    def _released(self, work: Work, result: CommitResult) -> None:
        if result.outcome is CommitOutcome.APPLIED and work.lane.kind is RowKind.STEP:
            self.announce(work.lane.topic, work.record)

    def announce(self, topic: str, record: RunRecord) -> None:
        """A row of this run is due in the store, for whoever takes it."""
        if self.publisher is not None and not record.state.stopped:
            self.publisher.announce(topic, record, self.clock.now())

    def publish_soon(self) -> None:
        """Makes sure that what was announced is published, where no group of changes will be committed behind it."""
        if self.publisher is not None and self.publisher.waiting:
            self.committer.grouped()

    def close(self, work: Work) -> None:
        """A row has left our hands; the next claim may have become worth while."""
        self.close_lane(work.lane, work.handed)

    def close_lane(self, lane: Lane, handed: bool = False) -> None:
        if lane.close(handed):
            self.wake(())
        self.room()


def _ignore(_: object) -> None:
    """Nothing follows."""


def _no_reader() -> None:
    """No stream is read."""


def _no_executor(_: Sequence[Work]) -> None:
    raise ConfigurationError("this engine runs no steps.", remedy="Start it, or use Engine(...) instead of Engine.client(...).")


def _nobody(_: Sequence[str]) -> None:
    """No dispatcher listens."""
