"""Membership: the one heartbeat that keeps this instance's claims, and the freeing of those whose owner is gone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import timedelta

from flowdsl.engine.core import Core
from flowdsl.engine.process_identity import ProcessIdentity
from flowdsl.engine.sentence import count
from flowdsl.engine.trouble import Trouble
from flowdsl.errors import StoreError
from flowdsl.model.instance import Instance

log = logging.getLogger("flowdsl.membership")
DEFAULT_BEAT = timedelta(seconds=10)
DEFAULT_LAPSE = timedelta(seconds=30)


class Membership:
    """Beats; when the heartbeat had lapsed, goes on under a new owner."""

    def __init__(
        self, core: Core, *, beat: timedelta = DEFAULT_BEAT, lapse: timedelta = DEFAULT_LAPSE, changed: Callable[[], None]
    ) -> None:
        self._core = core
        self._beat = beat.total_seconds()
        self._lapse = lapse
        self._changed = changed
        """Called when the owner changed: what is in hand and has not begun is not ours any more."""
        self._trouble = Trouble(log, core.clock, "the heartbeat")
        self._identity = ProcessIdentity.of_this_process()
        self._next = 0.0
        self._instance: Instance | None = None
        self._others: frozenset[str] = frozenset()
        """Owners that lived at the last beat."""

    def join(self) -> None:
        """The first heartbeat. Raises StoreError."""
        self._instance = self._new_instance()
        self._core.store.beat(self._core.namespace, self._instance, self._lapse)
        self._core.owner = self._instance.owner
        self._next = self._core.clock.monotonic()

    def step(self) -> bool:
        """Beat and free what others left behind, when it is time. True: claims were freed."""
        core = self._core
        now = core.clock.monotonic()
        if self._instance is None or now < self._next:
            return False
        self._next = now + self._beat
        try:
            if not core.store.beat(core.namespace, self._instance, self._lapse):
                log.warning("the heartbeat of %s had lapsed: its claims are somebody else's now", self._instance.owner)
                fresh = self._new_instance()
                core.store.beat(core.namespace, fresh, self._lapse)  # without an answer the next round begins here again
                self._instance, core.owner = fresh, fresh.owner
                self._changed()
            others = core.store.instances(core.namespace)
            dead = self._dead(others)
            freed = core.store.free_lapsed(core.namespace, dead)
        except StoreError as error:
            self._trouble.failed(error)
            self._next = now + min(1.0, self._beat)
            return False
        self._trouble.over()
        if freed:
            log.warning("freed %s of instances that are gone", count(freed, "claim"))
        living = frozenset(other.owner for other in others).difference(dead)
        if freed or self._others - living:
            core.wake(list(core.topics))  # what they held, and what they alone knew to be due, is announced by nobody
        self._others = living
        return freed > 0

    def cover(self, duration: timedelta) -> None:
        """Beat once for all of the coming `duration`: for whoever moves the clock by hand, and in great strides."""
        if self._instance is not None:
            self._core.store.beat(self._core.namespace, self._instance, duration + self._lapse)

    def next_due(self) -> float | None:
        return None if self._instance is None else self._next

    def leave(self) -> None:
        """End the heartbeat and free the claims."""
        if self._instance is not None:
            self._core.store.leave(self._core.namespace, self._instance.owner)
            self._instance = None
            self._core.owner = ""

    def _dead(self, others: Iterable[Instance]) -> list[str]:
        """Owners of this machine whose process has ended: no need to wait until their heartbeat lapses."""
        return [
            other.owner for other in others if other.pid and self._identity.knows_dead(other.host, other.pid, other.pid_started)
        ]

    def _new_instance(self) -> Instance:
        me = self._identity
        return Instance(owner=self._core.ids(), host=me.host, pid=me.pid, pid_started=me.started)
