"""One waiter for all waits: told of what this process commits, and asking the store about the rest in one statement."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress

from flowdsl.clock import Clock
from flowdsl.errors import EngineClosedError, RunEndedError, RunNotFoundError, StoreError, StoreUnavailableError
from flowdsl.model.history import HistoryRow
from flowdsl.model.record import RunRecord
from flowdsl.ports.record_store import RecordStore

log = logging.getLogger("flowdsl.waiter")
FIRST_POLL = 0.02
LAST_POLL = 0.5
"""Seconds between two looks at the store: short for a fresh wait, doubling for a long one."""
SOON = 5 * FIRST_POLL
"""Whoever waits no longer than that wants a look at once."""
FOLLOWED = 64
"""Runs begun here of which the newest version is remembered, each until LAST_POLL after the last news of it: by then others may
have gone on with it, or erased its data."""


class Wait:
    """One wait for a run to pass `status` (None: to finish)."""

    def __init__(self, run_id: str, status: str | None) -> None:
        self.run_id = run_id
        self.status = status
        self.future: Future[RunRecord] = Future()
        self.seen_version = 0

    def settle(self, record: RunRecord, history: Callable[[str], Sequence[HistoryRow]]) -> None:
        """Answer if the run got there, or cannot any more. The history is read only when the run has moved past what was seen."""
        if self.future.done() or record.version <= self.seen_version:
            return
        if self.status is None:
            if record.state.finished:
                self._answer(record)
        elif record.status == self.status:
            self._answer(record)
        elif record.version > self.seen_version + 1 or record.state.finished:
            if any(row.to_status == self.status for row in history(record.run_id)):
                self._answer(record)
            elif record.state.finished:
                self._refuse(
                    RunEndedError(
                        f"the run ended {record.state.label.lower()} in {record.status!r} without passing {self.status!r}.",
                        run_id=record.run_id,
                        workflow=record.workflow,
                        foreign_id=record.foreign_id,
                    )
                )
        self.seen_version = record.version

    def lost(self) -> None:
        self._refuse(RunNotFoundError(f"there is no run {self.run_id}.", run_id=self.run_id))

    def abandon(self) -> None:
        self._refuse(EngineClosedError("the engine was stopped while this was waited for.", remedy="Wait from another engine."))

    def _answer(self, record: RunRecord) -> None:
        with suppress(InvalidStateError):  # answered by another thread, or nobody waits any more
            self.future.set_result(record)

    def _refuse(self, error: Exception) -> None:
        with suppress(InvalidStateError):
            self.future.set_exception(error)


class Waiter:
    """Holds the waits of one engine. A thread of its own looks at the store while there are any."""

    def __init__(self, store: RecordStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._waits: dict[str, list[Wait]] = {}
        self._followed: dict[str, tuple[RunRecord, float]] = {}
        """With the monotonic time of the news; the run that was begun first is first."""
        self._next_look = 0.0
        """Of the thread; monotonic seconds."""
        self._fresh = False
        """A wait has begun since the thread chose its pause."""
        self._thread: threading.Thread | None = None
        self._news = threading.Event()
        self._closed = False
        self.threaded = True
        """False under test: `step` is called instead."""

    def wait(self, run_id: str, status: str | None, timeout: float | None = None) -> Wait:
        """Begin to wait. The first look at the store happens at once, in the caller's thread, but for a run that this process has
        begun a moment ago and goes on with itself: of that it knows what a look would say. In: how long its maker will wait, in
        seconds; None: for ever."""
        wait = Wait(run_id, status)
        self.begin(wait, timeout)
        return wait

    def begin(self, wait: Wait, timeout: float | None = None) -> None:
        """The same for a wait that its maker may cancel meanwhile."""
        with self._lock:
            if self._closed:
                wait.abandon()
                return
            self._waits.setdefault(wait.run_id, []).append(wait)
            known = self._known(wait.run_id)
        patient = self.threaded and (timeout is None or timeout > SOON)
        try:
            if known is not None and patient:
                self._settle([wait], known)
            else:
                self._look({wait.run_id: [wait]})
        except BaseException:
            self.cancel(wait)
            raise
        self._forget([wait.run_id])
        if not wait.future.done() and self.threaded:
            self._ensure_thread()

    def cancel(self, wait: Wait) -> None:
        """Nobody waits for it any more."""
        wait.future.cancel()
        self._forget([wait.run_id])

    def follow(self, record: RunRecord) -> None:
        """This process has begun this run and goes on with it itself."""
        with self._lock:
            self._followed[record.run_id] = record, self._clock.monotonic()
            if len(self._followed) > FOLLOWED:
                del self._followed[next(iter(self._followed))]

    def notify(self, record: RunRecord) -> None:
        """This process has committed this version of the run."""
        if record.run_id in self._followed:
            self._remember(record)
        waits = self._waits.get(record.run_id)
        if not waits:
            return
        try:
            for wait in list(waits):
                wait.settle(record, self._store.history)
        except StoreError:
            return  # what was committed stays committed; the thread's next look answers
        self._forget([record.run_id])

    def refresh(self, run_id: str) -> None:
        """This process has committed a version of the run that it does not know whole: look at it."""
        with self._lock:
            self._followed.pop(run_id, None)
            entries = list(self._waits.get(run_id, ()))
        if not entries:
            return
        try:
            self._look({run_id: entries})
        except StoreError:
            return  # the thread's next look answers
        self._forget([run_id])

    def step(self) -> bool:
        """Look at every run that is waited for. True: some wait was answered."""
        with self._lock:
            waits = {run_id: list(entries) for run_id, entries in self._waits.items()}
        if not waits:
            return False
        try:
            self._look(waits)
        except StoreUnavailableError:
            raise
        except StoreError:
            self._look_at_each(waits)
        return self._forget(waits)

    def close(self) -> None:
        """End every wait with an error."""
        with self._lock:
            self._closed = True
            waits, self._waits = [wait for entries in self._waits.values() for wait in entries], {}
        for wait in waits:
            wait.abandon()
        self._news.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=5)

    def _known(self, run_id: str) -> RunRecord | None:
        """The run as a look at the store would show it. To be called with the lock."""
        record, at = self._followed.get(run_id, (None, 0.0))
        return record if self._clock.monotonic() - at <= LAST_POLL else None

    def _remember(self, record: RunRecord) -> None:
        """Versions may be told out of order: who runs the next step may be done with it before this one is told."""
        with self._lock:
            before, _ = self._followed.get(record.run_id, (None, 0.0))
            if before is None or before.version >= record.version:
                return
            if record.state.data_goes:
                del self._followed[record.run_id]
            else:
                self._followed[record.run_id] = record, self._clock.monotonic()

    def _look(self, waits: dict[str, list[Wait]]) -> None:
        records = self._store.lookup(list(waits))
        for run_id, entries in waits.items():
            record = records.get(run_id)
            if record is not None:
                self._settle(entries, record)
                continue
            for wait in entries:
                wait.lost()

    def _look_at_each(self, waits: dict[str, list[Wait]]) -> None:
        """One of them cannot be read, which is no reason why the others should wait for ever."""
        for run_id, entries in waits.items():
            try:
                self._look({run_id: entries})
            except StoreError as error:
                log.info("a run that is waited for cannot be read, and is looked at again: %s", error)

    def _settle(self, entries: Iterable[Wait], record: RunRecord) -> None:
        for wait in entries:
            if wait.seen_version == 0 and record.version > 1:
                wait.seen_version = -1  # more than one version behind: read the history
            wait.settle(record, self._store.history)

    def _forget(self, run_ids: Iterable[str]) -> bool:
        """Drop the waits of these runs that have been answered. True: there were some."""
        dropped = False
        with self._lock:
            for run_id in run_ids:
                entries = self._waits.get(run_id, [])
                left = [wait for wait in entries if not wait.future.done()]
                dropped = dropped or len(left) < len(entries)
                if left:
                    self._waits[run_id] = left
                else:
                    self._waits.pop(run_id, None)
        return dropped

    def _ensure_thread(self) -> None:
        with self._lock:
            self._fresh = True
            if self._thread is not None and self._thread.is_alive():
                if self._next_look > self._clock.monotonic() + FIRST_POLL:
                    self._news.set()
            else:
                self._thread = threading.Thread(target=self._watch, name="flowdsl-waiter", daemon=True)
                self._thread.start()

    def _watch(self) -> None:
        pause = FIRST_POLL
        while True:
            if self._pause(pause):
                self._pause(FIRST_POLL)  # several waits begun together are one look
            if self._closed:
                return
            try:
                answered = self.step()
            except StoreError:
                answered = False
            except Exception:  # not the store's to raise: but they would wait for ever
                log.exception("a look at runs that are waited for failed, they are looked at again")
                answered = False
            with self._lock:
                if not self._waits:
                    self._thread = None
                    return
                pause = FIRST_POLL if answered or self._fresh else min(pause * 2, LAST_POLL)
                self._fresh = False
                self._next_look = self._clock.monotonic() + pause  # who begins to wait from here on can tell

    def _pause(self, seconds: float) -> bool:
        """True: somebody wants the next look sooner, or the waiter is closed."""
        self._next_look = self._clock.monotonic() + seconds
        disturbed = self._news.wait(seconds)
        self._news.clear()
        return disturbed
