"""The customers of the fleet: they start runs, call back, pause, resume and cancel, and ask again when there was no answer."""

from __future__ import annotations

import heapq
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from flowdsl import Engine, RunState
from flowdsl.engine.handle import RunHandle
from flowdsl.errors import IllegalMoveError, RoleSchedulerError, RunNotFoundError, StoreError, StreamerError
from flowdsl.model.callback_result import CallbackOutcome
from tests.chaos.flow import At, Collection, Fate, Parcel, parcels

BATCH = 4
AGAIN = 0.2
"""Seconds until a customer asks again."""
Handle = RunHandle[Parcel, At]
Deed = Callable[[], None]
Answer = TypeVar("Answer")


class GivenUp(Exception):
    """The answer is of no interest any more."""


@dataclass
class Stop:
    """A run was paused or cancelled, and its customer knew it: at `since`; it was resumed at `until` (monotonic seconds)."""

    run_id: str
    since: float
    until: float = float("inf")


@dataclass
class Load:
    """Two threads: one starts runs, one does what comes later. In: an engine that does not work; a seed's chance; runs a
    second; whether finished runs are removed, so that who comes late may find none."""

    client: Engine
    chance: random.Random
    rate: float
    prefix: str
    forgetful: bool = False
    runs: dict[str, Fate] = field(default_factory=dict)
    """What is to become of each run that was acknowledged, by its foreign id."""
    cancelled: set[str] = field(default_factory=set)
    """Foreign ids of runs that somebody asked to cancel."""
    stops: list[Stop] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    longest: float = 0.0
    """Seconds of the call that took longest until it was answered without an error."""

    def __post_init__(self) -> None:
        self._over, self._given_up = threading.Event(), threading.Event()
        self._later: list[tuple[float, int, Deed]] = []
        self._number = 0
        self._guard = threading.Condition()
        self._threads = [threading.Thread(target=self._guarded, args=(body,)) for body in (self._start_runs, self._go_on)]

    def begin(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """No new runs; what was to come later is done."""
        self._over.set()
        with self._guard:
            self._guard.notify()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def give_up(self) -> None:
        """Nobody waits for an answer any more."""
        self._given_up.set()
        self.end()

    def _guarded(self, body: Deed) -> None:
        try:
            body()
        except GivenUp:
            return
        except Exception as error:  # what no customer should ever see
            self.troubles.append(f"a customer got {type(error).__name__}: {error}")
            self._over.set()

    def _start_runs(self) -> None:
        while not self._over.is_set():
            entries: list[tuple[str, Parcel]] = []
            for _ in range(BATCH):
                self._number += 1
                fate = Fate.EXPIRED if self.chance.random() < 0.25 else Fate.COLLECTED
                entries.append((f"{self.prefix}-{self._number}", Parcel(fate)))
            handles = self._ask(partial(self.client.trigger_many, parcels, entries, key=_key))
            for handle, (foreign_id, parcel) in zip(handles, entries, strict=True):
                self.runs[foreign_id] = parcel.fate
                self._plan(handle, parcel.fate)
            self._over.wait(BATCH / self.rate)

    def _plan(self, handle: Handle, fate: Fate) -> None:
        if fate is Fate.COLLECTED:
            wait = self.chance.uniform(0, 2)
            self._at(wait, lambda: self._call_back(handle))
            if self.chance.random() < 0.2:
                self._at(wait + 0.3, lambda: self._call_back(handle))
        drawn = self.chance.random()
        if drawn < 0.06:
            self._at(self.chance.uniform(0, 1.5), lambda: self._cancel(handle))
        elif drawn < 0.14:
            self._at(self.chance.uniform(0, 1.5), lambda: self._pause(handle))

    def _call_back(self, handle: Handle) -> None:
        name = handle.foreign_id
        result = self._ask(
            lambda: self.client.callback(parcels, name, At.WAITING, Collection("ada"), idempotency_key=f"c-{name}")
        )
        self.counts[f"callbacks {result.outcome.value}"] += 1
        gone = self.forgetful and result.outcome in (CallbackOutcome.UNKNOWN_RUN, CallbackOutcome.STOPPED)
        if not result.accepted and name not in self.cancelled and not gone:
            self.troubles.append(f"the callback of {name} was answered {result.outcome.value}: {result.detail}")

    def _cancel(self, handle: Handle) -> None:
        self.cancelled.add(handle.foreign_id)
        try:
            record = self._ask(lambda: handle.cancel("the customer changed their mind"))
        except IllegalMoveError:  # it has ended, perhaps by the cancel whose answer was lost
            record = self._ask(handle.record)
        if record.state is RunState.CANCELLED:
            self.stops.append(Stop(handle.run_id, time.monotonic()))
        self.counts["cancels"] += 1

    def _pause(self, handle: Handle) -> None:
        try:
            record = self._ask(lambda: handle.pause("the customer is on holiday"))
        except IllegalMoveError:
            record = self._ask(handle.record)
        stop = Stop(handle.run_id, time.monotonic())
        if record.state is RunState.PAUSED:
            self.stops.append(stop)
        self.counts["pauses"] += 1
        self._at(self.chance.uniform(0.5, 1.5), lambda: self._resume(handle, stop))

    def _resume(self, handle: Handle, stop: Stop) -> None:
        stop.until = min(stop.until, time.monotonic())
        try:
            self._ask(handle.resume)
        except IllegalMoveError:
            record = self._ask(handle.record)
            if record.state is RunState.PAUSED or record.requested is not None:  # the pause is still a request
                self._at(0.5, lambda: self._resume(handle, stop))

    def _at(self, wait: float, deed: Deed) -> None:
        with self._guard:
            self.counts["deeds"] += 1
            heapq.heappush(self._later, (time.monotonic() + wait, self.counts["deeds"], deed))
            self._guard.notify()

    def _go_on(self) -> None:
        while True:
            with self._guard:
                now = time.monotonic()
                if not self._later and self._over.is_set() and not self._threads[0].is_alive():
                    return
                if not self._later or self._later[0][0] > now:
                    self._guard.wait(0.2 if not self._later else min(0.2, self._later[0][0] - now))
                    continue
                _, _, deed = heapq.heappop(self._later)
            try:
                deed()
            except RunNotFoundError:
                if not self.forgetful:
                    raise
                self.counts["came when the run had been removed"] += 1

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        """Until it is answered; what says no is passed on."""
        while not self._given_up.is_set():
            asked = time.monotonic()
            try:
                answer = question()
                self.longest = max(self.longest, time.monotonic() - asked)
                return answer
            except (StoreError, StreamerError, RoleSchedulerError) as error:
                self.counts[f"asked again after {type(error).__name__}"] += 1
                self._given_up.wait(AGAIN)
        raise GivenUp


def _key(foreign_id: str) -> str:
    return f"t-{foreign_id}"
