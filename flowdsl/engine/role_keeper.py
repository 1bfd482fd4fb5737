"""The role keeper: renews all roles of the instance in one call and knows which it may act on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta

from flowdsl.engine.core import Core
from flowdsl.engine.lane import Lane
from flowdsl.engine.trouble import Trouble
from flowdsl.errors import RoleSchedulerError, StoreError
from flowdsl.naming import consumer_role
from flowdsl.ports.role_scheduler import RoleScheduler

log = logging.getLogger("flowdsl.roles")
DEFAULT_LEASE = timedelta(seconds=15)
SAFE_PART = 2 / 3
"""A holder stops at this part of its lease, counted on its own clock from before it asked."""


class RoleKeeper:
    """Campaigns for the consumer slots of statuses with `parallel_count` and for the housekeeping roles."""

    def __init__(self, core: Core, roles: RoleScheduler, housekeeping: Sequence[str], lease: timedelta = DEFAULT_LEASE) -> None:
        self._core = core
        self._roles = roles
        self._lease = lease
        self._trouble = Trouble(log, core.clock, "campaigning for roles")
        self._next = 0.0
        self._until: dict[str, float] = {}
        self._slots = {
            lane: [
                consumer_role(core.namespace, lane.workflow.name, lane.status, slot, lane.options.parallel_count)
                for slot in range(1, lane.options.parallel_count + 1)
            ]
            for lane in core.lanes.values()
            if lane.options.parallel_count is not None
        }
        self._counts = dict.fromkeys(self._slots, 0)
        self._wanted = [*housekeeping, *(role for roles in self._slots.values() for role in roles)]

    def holds(self, role: str) -> bool:
        """Whether this instance may act in the role now."""
        return self._core.clock.monotonic() < self._until.get(role, 0.0)

    def step(self) -> bool:
        """Campaign when it is time, and stop what was lost. True: the roles held have changed."""
        now = self._core.clock.monotonic()
        changed = False
        if now >= self._next and self._core.owner:
            self._next = now + self._lease.total_seconds() / 3
            try:
                leases = self._roles.campaign(self._core.owner, self._wanted, self._lease)
            except (StoreError, RoleSchedulerError) as error:
                self._trouble.failed(error)
                self._next = now + min(1.0, self._lease.total_seconds() / 3)
            else:
                self._trouble.over()
                held = {lease.role: now + lease.ttl.total_seconds() * SAFE_PART for lease in leases}
                changed = held.keys() != self._until.keys()
                self._until = held
        return self._apply(now) or changed

    def next_due(self) -> float | None:
        ends = [until for until in self._until.values()]
        return min([self._next, *ends])

    def resign(self) -> None:
        """Give every role back."""
        self._until = {}
        self._apply(self._core.clock.monotonic())
        if self._core.owner:
            self._roles.resign(self._core.owner)

    def _apply(self, now: float) -> bool:
        self._until = {role: until for role, until in self._until.items() if until > now}
        changed = False
        for lane, roles in self._slots.items():
            leases = [self._until[role] for role in roles if role in self._until]
            lane.lease(leases)  # it counts for itself which of them still run, should we be held up
            slots = len(leases)
            if slots != self._counts[lane]:
                self._counts[lane] = slots
                lane.hungry = True
                changed = True
                self._give_back(lane)
            elif not slots or lane.stalled:
                self._give_back(lane)  # what was claimed or handed over while the role went, if only for a moment
        if changed:
            self._core.wake(())
        return changed

    def _give_back(self, lane: Lane) -> None:
        """Rows that wait in a lane are begun when a body ends there; one that has fewer places may never see that."""
        for work in lane.withdraw():
            self._core.release(work)
        if self._core.committer.waiting:
            self._core.commit_soon()
