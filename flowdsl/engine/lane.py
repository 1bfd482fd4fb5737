"""A lane: one consumer in this instance, of a step say. It counts what is in hand and says how much more may be taken."""

from __future__ import annotations

import heapq
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from flowdsl.dsl.spec import FunctionSpec, StepSpec
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.metrics import ProcessMetrics
from flowdsl.engine.work import Work
from flowdsl.model.pending import RowKind

LOOK_AHEAD = 0.05
"""Seconds of work to hold beyond what runs: enough that a quick step never waits for the next claim, too little for a slow one
to keep rows from other instances."""
MAX_AHEAD = 240
QUICK_BODY, MOST_SLOW = 0.0005, 0.1
"""Seconds within which another thread would hardly have woken up; and the share of bodies that may take longer, because they wait
for the interpreter's lock now and then, before those of a lane are no longer called quick."""
OVERLOOK = 10.0
"""Seconds for which a lane whose stream has more than it can take is not looked for in the store: what waits there is announced
on the stream as well, except for the few rows whose event was lost."""


class Lane:
    """Counts for one topic: the steps of a status, a timeout or the kept callbacks of one, a hook, deletions. `open` are the rows
    in hand: ready, running or not yet committed."""

    def __init__(
        self,
        workflow: Workflow[Any, Any],
        spec: FunctionSpec,
        topic: str,
        name: str,
        metrics: ProcessMetrics,
        monotonic: Callable[[], float],
        kind: RowKind = RowKind.STEP,
    ) -> None:
        self.workflow = workflow
        self.spec = spec
        self.kind = kind
        self.options = spec.options
        self.topic = topic
        self.name = name
        self.metrics = metrics
        self.status = spec.from_key if isinstance(spec, StepSpec) else ""
        """The status whose runs it is about; empty: of any."""
        self.queue = self.status if kind is RowKind.STEP else name.removesuffix("-consumer")
        """What people call the rows that wait for it."""
        self.destinations: dict[object, str] = dict(zip(spec.to, spec.to_keys, strict=True)) if isinstance(spec, StepSpec) else {}
        self.terminal = workflow.definition().terminal
        self._monotonic = monotonic
        self._slots = 1
        self._leases: Sequence[float] | None = None if spec.options.parallel_count is None else ()
        self.hungry = True
        """There may be rows that were not taken for want of room, or that a wake-up announced."""
        self.more = False
        """The streamer has more events for it than it asked for."""
        self.next_poll = 0.0
        self.next_due: float | None = None
        """Of a lane that nobody polls: the monotonic time at which the first row that waits in the store is due."""
        self._lock = threading.Lock()
        self._open = 0
        self._handed = 0  # of those in hand: handed over by the commit that made them
        self._running = 0
        self._waiting: deque[Work] = deque()
        self._pace: float | None = None  # seconds per body, smoothed; None until one has been measured
        self._slow: float | None = None  # the share of bodies that were not quick, likewise
        self._expected: list[float] = []

    @property
    def slots(self) -> int:
        """How many consumers this instance is now: of a status with `parallel_count`, one for each role whose lease still runs,
        whether or not somebody has come to see that another has ended."""
        if self._leases is None:
            return self._slots
        now = self._monotonic()
        return sum(until > now for until in self._leases)

    def lease(self, leases: Sequence[float]) -> None:
        """Of a status with `parallel_count`: the monotonic times until which roles of it are held."""
        self._leases = leases

    def open_here(self, is_open: bool) -> None:
        """Whether this instance takes rows of the topic at all. Without a word it does."""
        self._slots = 1 if is_open else 0

    @property
    def limit(self) -> int:
        """Bodies that may run at once."""
        return self.slots * self.options.concurrency

    @property
    def open(self) -> int:
        return self._open

    @property
    def running(self) -> int:
        return self._running

    @property
    def stalled(self) -> bool:
        """Rows wait for a body to end though there is a place: a lease had run out when the last one ended, and was renewed."""
        with self._lock:
            return bool(self._waiting) and self._running < self.limit

    @property
    def quick(self) -> bool:
        """Its bodies are over sooner than another thread would have begun one."""
        return self._slow is not None and self._slow < MOST_SLOW

    def _ahead(self) -> int:
        if self._pace is None:
            return 0
        return min(MAX_AHEAD, int(self.limit * LOOK_AHEAD / max(self._pace, 1e-6)))

    def room(self) -> int:
        """How many rows a claim may take now; 0 while a claim would be too small to be worth its round trip."""
        limit = self.limit
        ahead = self._ahead() if limit else 0
        free = limit + ahead - self._shared(ahead)
        return free if free > ahead // 2 else 0

    def reserve(self) -> bool:
        """Keep a place for a row that is about to be handed over. As many as a claim looks ahead have places of their own:
        what is claimed would otherwise take every place, and every row take the long way. Of the rest, while rows wait in the
        store, half are left to those."""
        with self._lock:
            ahead = self._ahead()
            if self._handed >= ahead:
                capacity, used = self.limit + ahead, self._shared(ahead)
                if used >= ((capacity + 1) // 2 if self.hungry or self.more else capacity):
                    return False
            self._handed += 1
            self._open += 1
            return True

    def _shared(self, ahead: int) -> int:
        """How many rows in hand need a place that a claimed row might have."""
        return self._open - min(self._handed, ahead)

    def take(self, count: int) -> None:
        """`count` rows were claimed."""
        with self._lock:
            self._open += count

    def close(self, handed: bool) -> bool:
        """A row has left our hands, which had been handed over or else claimed. True: a claim is worth while again."""
        with self._lock:
            self._open -= 1
            self._handed -= handed
        return self.hungry and self.room() > 0

    def admit(self, work: Work) -> bool:
        """True: run it now. False: it was queued until a body ends."""
        with self._lock:
            if self._running < self.limit:
                self._running += 1
                return True
            if work.lapses:  # the shorter it is in hand, the less it is lost with another's process
                self._waiting.appendleft(work)
            else:
                self._waiting.append(work)
            return False

    def finish(self, seconds: float) -> Work | None:
        """A body ended; the next one to run in its place, if any waits."""
        with self._lock:
            slow = float(seconds > QUICK_BODY)
            self._pace = seconds if self._pace is None else self._pace + (seconds - self._pace) * 0.2
            self._slow = slow if self._slow is None else self._slow + (slow - self._slow) * 0.05
            if self._waiting and self._running <= self.limit:
                return self._waiting.popleft()
            self._running -= 1
            return None

    def retract(self) -> None:
        """An admitted work was taken back before its body began."""
        with self._lock:
            self._running -= 1

    def withdraw(self) -> list[Work]:
        """Take back every row whose body has not begun and is not about to."""
        with self._lock:
            waiting, self._waiting = list(self._waiting), deque()
        return waiting

    def expect(self, at: float) -> None:
        """A row of ours is due at this monotonic time."""
        with self._lock:
            heapq.heappush(self._expected, at)

    def next_look(self) -> float | None:
        """The monotonic time of the next look at the store that nobody has to ask for."""
        with self._lock:
            moments = [self._expected[0]] if self._expected else []
        if self.options.polling_frequency is not None:
            moments.append(self.next_poll + OVERLOOK if self.more else self.next_poll)
        if self.next_due is not None:
            moments.append(self.next_due)
        return min(moments, default=None)

    def should_look(self, now: float) -> bool:
        if self.hungry:
            return True
        moment = self.next_look()
        return moment is not None and moment <= now

    def rides_along(self, now: float) -> bool:
        """Its own look is near enough to be made with another lane's: one claim serves both from then on."""
        frequency = self.options.polling_frequency
        if frequency is None:
            return self.kind in (RowKind.DELETION, RowKind.EVENT)  # any look of another's will do
        return not self.more and self.next_poll - now <= frequency.total_seconds() / 2

    def looking(self) -> None:
        """A look begins. What is announced from now on it may not see."""
        self.hungry = False

    def looked(self, now: float, asked: int, got: int) -> None:
        """The store gave `got` of `asked` rows."""
        with self._lock:
            while self._expected and self._expected[0] <= now:
                heapq.heappop(self._expected)
        self.next_due = None
        if got >= asked and not self.more:
            self.hungry = True
        if self.options.polling_frequency is not None:
            self.next_poll = now + self.options.polling_frequency.total_seconds()
