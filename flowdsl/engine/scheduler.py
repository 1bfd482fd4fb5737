"""The scheduler: starts runs by the calendar."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.core import Core
from flowdsl.engine.declared_schedules import DeclaredSchedules
from flowdsl.engine.schedule_book import ScheduleBook
from flowdsl.engine.slot import Slots
from flowdsl.engine.trouble import Trouble
from flowdsl.errors import StoreError
from flowdsl.model.item import Item
from flowdsl.model.schedule import schedule_kind
from flowdsl.naming import scheduler_role

log = logging.getLogger("flowdsl.scheduler")
LOOK_EVERY = 1.0
"""Seconds between two looks at what other processes have changed."""
EARLY = 0.001
"""A look that is meant for a moment may come this many seconds before it: a wait is not exact to the last bit."""
AFTER_ERROR = 1.0
CLEAN_EVERY = 60.0
BATCH = 500
AT_ONCE = 16
"""Slots that one instance settles at the same time. Each takes a thread, because schedules have functions."""


class Scheduler:
    """Fires the schedules of each workflow whose scheduler role this instance holds. The role saves work and no more: who settles
    a slot is decided in the store, by the revision of the schedule.

    In: who holds which role; how to make a call that may take its time.
    """

    def __init__(self, core: Core, holds: Callable[[str], bool], spawn: Callable[[Callable[[], None]], None]) -> None:
        self._core = core
        self._holds = holds
        self._spawn = spawn
        self._book = ScheduleBook(core)
        self._declared = DeclaredSchedules(core, self._book)
        self._slots = Slots(core, self._book, self._declared)
        self._roles = {name: scheduler_role(core.namespace, name) for name in core.workflows}
        self._ready: set[str] = set()
        """Workflows whose stored schedules have been made what the code says, since the role came."""
        self._trouble = Trouble(log, core.clock, "looking for due schedules")
        self._busy: set[tuple[str, str]] = set()
        self._rest: dict[tuple[str, str], float] = {}
        """Schedules that could not be settled, and until when they are left alone."""
        self._lock = threading.Lock()
        self._next = 0.0
        self._clean = 0.0

    @property
    def roles(self) -> Mapping[str, str]:
        """By workflow."""
        return self._roles

    def step(self) -> bool:
        """Begin to settle what is due. True: there may be more right away."""
        core, now = self._core, self._core.clock.monotonic()
        if now < self._next - EARLY or not core.accepting:
            return False
        self._next = now + LOOK_EVERY
        held = [name for name, role in self._roles.items() if self._holds(role)]
        self._ready &= set(held)
        try:
            did = self._look(held, now) if held else False
        except StoreError as error:
            self._trouble.failed(error)
            self._next = now + AFTER_ERROR
            return False
        if held:
            self._trouble.over()
        return did

    def next_due(self) -> float | None:
        return self._next

    def _look(self, held: list[str], now: float) -> bool:
        core, did = self._core, False
        for name in held:
            if name not in self._ready and self._declared.bring_in(core.workflows[name]):
                self._ready.add(name)
                did = True
        if now >= self._clean:
            dropped = [self._book.drop_old_entries(name, BATCH) for name in held]
            if BATCH not in dropped:
                self._clean = now + CLEAN_EVERY
            else:
                self._next = now
                did = True
        due = core.store.next_due_item(core.namespace, [schedule_kind(name) for name in held])
        if due is None:
            return did
        wait = (due - core.store.now()).total_seconds()
        if wait > 0:
            self._next = min(self._next, now + wait)
            return did
        for name, item in self._due(held, now):
            with self._lock:
                if len(self._busy) >= AT_ONCE:
                    return did  # whoever is done first makes us look again
                self._busy.add((name, item.key))
            try:
                self._spawn(partial(self._settle, core.workflows[name], item))
            except RuntimeError as error:
                with self._lock:
                    self._busy.discard((name, item.key))
                self._next = now + AFTER_ERROR
                log.warning("a schedule waits for a thread: %s", error)
                return False
            did = True
        return did

    def _due(self, held: list[str], now: float) -> Iterator[tuple[str, Item]]:
        with self._lock:
            self._rest = {key: until for key, until in self._rest.items() if until > now}
            taken = self._busy | self._rest.keys()
        for name in held:
            for item in self._book.due(name, BATCH + len(taken)):
                if (name, item.key) not in taken:
                    yield name, item

    def _settle(self, workflow: Workflow[Any, Any], item: Item) -> None:
        core, key = self._core, (workflow.name, item.key)
        try:
            settled = self._slots.settle(workflow, item)
        except StoreError as error:
            log.warning("schedule %s/%s could not be settled and stays due: %s", *key, error)
            settled = False
        except Exception as error:  # a fault of ours in one schedule must not stop the others
            # After the engine's stop its store is closed, for a function that took longer than the drain as well.
            level = logging.ERROR if core.accepting else logging.INFO
            log.log(level, "schedule %s/%s could not be settled and stays due", *key, exc_info=error)
            settled = False
        with self._lock:
            if not settled:
                self._rest[key] = core.clock.monotonic() + AFTER_ERROR
            self._busy.discard(key)
        self._next = core.clock.monotonic()
        core.delayed.changed()
