"""The same engine in one thread: a test decides when time passes, and nothing happens behind its back."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from flowdsl.clock import Clock, seeded_ids
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.auto_resume import AutoResume
from flowdsl.engine.core import Core
from flowdsl.engine.discovery import open_roles, open_store, open_streamer
from flowdsl.engine.engine import Engine
from flowdsl.engine.event_calls import InlineCalls
from flowdsl.engine.executor import InlineExecutor
from flowdsl.engine.steps import Steps
from flowdsl.engine.worker import Worker
from flowdsl.errors import ConfigurationError, FlowError
from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.memory.role_scheduler import MemoryRoleScheduler
from flowdsl.model.item import ItemKind
from flowdsl.model.schedule import schedule_kind
from flowdsl.ports.event_streamer import EventStreamer
from flowdsl.ports.record_store import RecordStore
from flowdsl.ports.role_scheduler import RoleScheduler
from flowdsl.testing import coverage
from flowdsl.testing.clock import ManualClock

ROUNDING = timedelta(milliseconds=1)
"""What a store may lose of a time that it was told."""


class NotIdleError(FlowError):
    """The engine still found work after very many steps: something repeats itself without waiting."""


class SteppedEngine(Engine):
    """An Engine without threads. Its verbs are the same; what they caused happens in `run_until_idle` and `advance`.

    In: the workflows; a store and roles that take their time from `clock` (default: memory ones; `from_url` opens those of a
    database); a seed for identifiers and jitter; the settings of Engine. `handle.wait` of a run that is not there yet would wait
    for ever: call `run_until_idle` first.
    """

    def __init__(
        self,
        *workflows: Workflow[Any, Any],
        clock: ManualClock | None = None,
        store: RecordStore | None = None,
        roles: RoleScheduler | None = None,
        seed: int = 0,
        auto_resume: AutoResume | None = None,
        **settings: Any,
    ) -> None:
        self.clock = clock or ManualClock()
        self.store: RecordStore = store if store is not None else MemoryRecordStore(self.clock)
        self.roles: RoleScheduler = roles if roles is not None else MemoryRoleScheduler(self.clock)
        self._resume_policy = auto_resume or AutoResume()
        super().__init__(
            *workflows,
            store=self.store,
            roles=self.roles,
            clock=self.clock,
            ids=seeded_ids(seed, self.clock),
            rng=random.Random(seed),
            auto_resume=auto_resume,
            **settings,
        )
        self._stepped: Worker | None = None
        self._ours: list[RecordStore | RoleScheduler | EventStreamer] = []
        """What `from_url` opened: nobody else closes it."""

    @classmethod
    def from_url(  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride] # a clock that can be moved
        cls,
        *workflows: Workflow[Any, Any],
        store: str,
        streamer: str | None = None,
        roles: str | None = None,
        clock: ManualClock | None = None,
        **settings: Any,
    ) -> Self:
        """The same on the store that the URL names, e.g. sqlite:///test.db: for code that writes in the database itself, such as
        `engine.trigger(..., session=session)`. Unlike Engine's it is opened at once, and told the time by `clock` (default: one
        of the engine's own, at `engine.clock`); it is closed with the engine. Raises ConfigurationError for a store that has a
        time of its own, StoreError."""
        clock = clock or ManualClock()
        opened: list[RecordStore | RoleScheduler | EventStreamer] = []
        try:
            opened.append(database := open_store(store, clock))
            _refuse_other_time(store, database, clock)
            opened.append(office := open_roles(roles if roles is not None else store, clock))
            if streamer is not None:
                opened.append(open_streamer(streamer, clock))
                settings["streamer"] = opened[-1]
            engine = cls(*workflows, store=database, roles=office, clock=clock, **settings)
        except BaseException:
            _close(opened)
            raise
        engine._ours = opened
        return engine

    def _start(self, loop: Any) -> None:
        core = self._the_core()
        core.waiter.threaded = False
        core.commit_soon = _later  # commits are steps of their own here
        if core.publisher is not None:
            core.committer.grouped = _later
        self._stepped = Worker(
            core,
            self.roles,
            lambda steps: self._executor(steps, core.clock),
            streamer=self._streamer,
            connectors=lambda executor: self._connectors(core, InlineCalls(executor.event_loop)),
            auto_resume=self._resume_policy,
            beat=self._beat,
            lapse=self._lapse,
            lease=self._lease,
        )
        self._worker = self._stepped
        self._stepped.open()

    def _executor(self, steps: Steps, clock: Clock) -> InlineExecutor:
        """What runs the bodies."""
        return InlineExecutor(steps, clock)

    def _stop(self, drain: timedelta | None) -> bool:
        if coverage.current is not None:
            coverage.current.observe(self._the_core().store, self.workflows, self.namespace)
        if self._stepped is not None:
            self._stepped.stop_taking()
            if self._stepped.reader is not None:
                self._stepped.reader.close()
            self._stepped.close()
            self._stepped = None
        if self._ours:
            _close(self._ours)
            self._closed, self._core, self._ours = True, None, []
        return True

    def _the_core(self) -> Core:
        core = super()._the_core()
        core.waiter.threaded = False
        return core

    def crash(self) -> None:
        """Lose the process: nothing is given back, nothing more happens. Make another SteppedEngine on the same store."""
        worker, self._stepped = self._stepped, None
        if worker is not None:
            worker.connectors.lose()
            worker.executor.stop()
            self._the_core().accepting = False

    @property
    def worker(self) -> Worker:
        """The worker and its processes, for tests that step one of them alone."""
        if self._stepped is None:
            raise FlowError("this engine is not started.", remedy="Use `with SteppedEngine(...) as engine:`.")
        return self._stepped

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop(None)

    def __enter__(self) -> Self:
        if self.works:
            self._start(None)
        return self

    def step(self) -> bool:
        """One round: every process once, then bodies and commits until none is ready. True: something happened."""
        worker, core = self.worker, self._the_core()
        did = False
        for process in (*worker.vital_processes, *worker.slow_processes):
            did = process.step() or did
        did = worker.dispatcher.step() or did
        if worker.reader is not None:
            did = worker.reader.step() or did
        for consumer in worker.connectors.consumers:
            did = consumer.step() or did
        executor = worker.executor
        ready: Callable[[], bool] = executor.step if isinstance(executor, InlineExecutor) else bool
        while ready():
            did = True
        while core.committer.step():
            did = True
        while core.publisher is not None and core.publisher.step():
            did = True
        return did

    def run_until_idle(self, most: int = 100_000) -> None:
        """Step until nothing is left to do at this moment of the clock. Raises NotIdleError after `most` rounds."""
        self.worker.dispatcher.wake_all()
        for _ in range(most):
            if not self.step():
                return
        raise NotIdleError(f"the engine was not idle after {most} rounds.", remedy="Look for a step that repeats without an end.")

    def advance(self, duration: timedelta) -> None:
        """Let time pass: the clock stops at every moment at which something is due, and what is due is done."""
        if not isinstance(duration, timedelta):
            raise ConfigurationError(f"{duration!r} is not a duration.", remedy=f"Write timedelta(seconds={duration!r}).")
        self.run_until_idle()
        end = self.clock.now() + duration
        while True:
            moment = self._next_moment()
            if moment is None or self.clock.now() + moment >= end:
                break
            self._pass(moment)
        self._pass(max(timedelta(0), end - self.clock.now()))  # a body may have moved the clock itself

    def _pass(self, duration: timedelta) -> None:
        self.worker.membership.cover(duration)
        self.clock.advance(duration)
        self.run_until_idle()

    def _next_moment(self) -> timedelta | None:
        """How long until a row, an item or a call is due. Heartbeats and sweeps happen at each stop."""
        core = self._the_core()
        waits: list[timedelta] = []
        now = self.store.now()
        for due in (
            self.store.next_due(core.namespace, list(core.topics)),
            self.store.next_due_item(core.namespace, [ItemKind.AUTO_RESUME, *map(schedule_kind, core.workflows)]),
        ):
            if due is not None and due > now:
                waits.append(due - now)
        for call in (core.delayed.next_due(), *(consumer.next_due() for consumer in self.worker.connectors.consumers)):
            if call is not None and call > self.clock.monotonic():
                waits.append(timedelta(seconds=call - self.clock.monotonic()) + timedelta(microseconds=1))
        return min(waits, default=None)


def _refuse_other_time(url: str, store: RecordStore, clock: ManualClock) -> None:
    """Raises ConfigurationError for a store whose time nobody can move. In: its URL, of which a password is not shown."""
    if abs(store.now() - clock.now()) > ROUNDING:
        raise ConfigurationError(
            f"the {url.partition(':')[0]} store does not take its time from this engine's clock: a test cannot move time in it.",
            remedy="Use one that does, e.g. sqlite:///test.db. Engines that share a store in memory share its clock=.",
        )


def _close(opened: Sequence[RecordStore | RoleScheduler | EventStreamer]) -> None:
    for port in reversed(opened):
        port.close()


def _later() -> None:
    """The next `step` commits."""
