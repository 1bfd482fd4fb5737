"""Group commit: whatever has finished is committed together; an idle engine commits a single change at once."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from flowdsl.clock import Clock
from flowdsl.engine.metrics import Metrics
from flowdsl.engine.trouble import Trouble
from flowdsl.errors import StoreError
from flowdsl.model.change import Change, CommitResult
from flowdsl.ports.record_store import RecordStore

log = logging.getLogger("flowdsl.commit")
MAX_GROUP = 256
SECOND_FROM = 16
"""A second group is only worth a transaction of its own when at least so many changes wait; fewer ride with the leader's next."""
QUICK_COMMIT = 0.0002
"""Seconds. Waking a thread and passing the interpreter's lock to it and back takes about as long."""
SMALL = 8
"""Changes in a group whose time tells how long a transaction takes, and not how much there was to do."""
INTERRUPTS = (KeyboardInterrupt, SystemExit)
"""What a signal may raise in any line of the main thread, where a trigger commits for others, too."""

Done = Callable[[CommitResult], None]
Failed = Callable[[StoreError], None]


class Committer:
    """Collects changes from any thread. There is no thread of its own in the way: whoever submits may lead the next group, the
    others' changes ride along, and what arrives during a transaction makes the next group."""

    def __init__(self, store: RecordStore, clock: Clock, metrics: Metrics) -> None:
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._trouble = Trouble(log, clock, "committing")
        self._queue: deque[tuple[Change, Done, Failed]] = deque()
        self.prepare: Callable[[Change], Change] = _as_it_is
        """Adds to each change what must be stored with it."""
        self.grouped: Callable[[], None] = _nobody
        """Told after each group, when all of its results have been followed up."""
        self._pace: float | None = None  # seconds per small transaction, smoothed; None until one has been measured
        self._leading = threading.Lock()
        self._second = threading.Lock() if store.parallel_commits > 1 else None

    def submit(self, change: Change, done: Done, failed: Failed) -> None:
        """Queue a change. `done` gets its result, `failed` the error if the store could not answer for the whole group; both run
        in the leader's thread and must be quick. Call `flush` or `step` afterwards. A change that could not be prepared fails
        at once."""
        try:
            prepared = self.prepare(change)
        except StoreError as error:
            failed(error)
            return
        self._queue.append((prepared, done, failed))

    @property
    def leading(self) -> bool:
        """What is queued will be taken along: somebody commits now and looks at the queue again before it stops."""
        if not self._leading.locked():
            return False
        return self._second is None or self._second.locked() or len(self._queue) < SECOND_FROM

    @property
    def quick(self) -> bool:
        """A transaction takes less than it costs to let another thread go on meanwhile."""
        return self._pace is not None and self._pace < QUICK_COMMIT

    @property
    def waiting(self) -> bool:
        """Changes are queued that no group has taken yet."""
        return bool(self._queue)

    @property
    def idle(self) -> bool:
        """Nothing is queued and no group is under way."""
        second = self._second
        return not self._queue and not self._leading.locked() and (second is None or not second.locked())

    def flush(self, enough: Callable[[], bool] | None = None) -> None:
        """Lead until the queue is empty, unless another thread leads already (it will take ours along), or until `enough`."""
        while self._queue:
            lock, least = self._leading, 1
            if not lock.acquire(blocking=False):
                if self._second is None or len(self._queue) < SECOND_FROM or not self._second.acquire(blocking=False):
                    return  # a leader looks at the queue again after it has let go of its lock
                lock, least = self._second, SECOND_FROM
            try:
                self._lead(lock, least, enough)
            except INTERRUPTS:  # this thread's, and not that of those who rely on it
                if self._queue:
                    threading.Thread(target=self.flush, name="flowdsl-rest", daemon=True).start()
                raise
            if enough is not None and enough():
                return

    def _lead(self, lock: threading.Lock, least: int, enough: Callable[[], bool] | None) -> None:
        try:
            while len(self._queue) >= least and not (enough is not None and enough()):
                self._commit_group()
        finally:
            lock.release()

    def step(self) -> bool:
        """Commit one group. False: there was nothing to commit."""
        if not self._queue:
            return False
        with self._leading:
            return self._commit_group()

    def _commit_group(self) -> bool:
        queue = self._queue
        group: deque[tuple[Change, Done, Failed]] = deque()
        while queue and len(group) < MAX_GROUP:
            group.append(queue.popleft())
        if not group:
            return False
        try:
            self._commit(group)
        except StoreError as error:
            self._trouble.failed(error)  # whatever has finished is tried again each second: one line for all of it
            self._unanswered(group, error)
        except Exception as error:  # not the store's to raise: but claims must not be held for good because of it
            log.exception("commit of %d changes failed", len(group))
            self._unanswered(group, StoreError(f"the store raised {type(error).__name__}: {error}"))
        except INTERRUPTS as error:
            self._unanswered(group, StoreError(f"the commit was interrupted by {type(error).__name__}."))
            raise
        else:
            self._trouble.over()
            self.grouped()
        return True

    def _commit(self, group: deque[tuple[Change, Done, Failed]]) -> None:
        """Commit, and tell each its result; whoever is told leaves the group."""
        count, began = len(group), self._clock.monotonic()
        results: Sequence[CommitResult] = self._store.commit([entry[0] for entry in group])
        took = self._clock.monotonic() - began
        if count <= SMALL or took > count * QUICK_COMMIT:
            pace = took if self._pace is None else self._pace
            self._pace = pace + (min(took, 4 * pace + QUICK_COMMIT) - pace) * 0.1
        self._metrics.batch.observe(count)
        self._metrics.commit.observe(took)
        for (_, done, _), result in zip(list(group), results, strict=True):
            group.popleft()
            self._call(done, result)

    def _unanswered(self, group: Iterable[tuple[Change, Done, Failed]], error: StoreError) -> None:
        for _, _, failed in group:
            self._call(failed, error)

    def _call(self, function: Callable[..., None], argument: object) -> None:
        try:
            function(argument)
        except Exception:  # one change's follow-up must not cost the others theirs
            log.exception("follow-up of a commit failed")


def _as_it_is(change: Change) -> Change:
    return change


def _nobody() -> None:
    """Nothing follows a group."""
