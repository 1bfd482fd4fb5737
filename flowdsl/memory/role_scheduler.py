"""The role scheduler in memory: leases of one process's members."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import timedelta

from flowdsl.clock import Clock, SystemClock
from flowdsl.errors import RoleSchedulerError
from flowdsl.model.fair_share import allot
from flowdsl.model.instance import Lease
from flowdsl.ports.role_scheduler import RoleScheduler


class _Held:
    __slots__ = ("member", "token", "until")

    def __init__(self, member: str, token: int, until: float) -> None:
        self.member = member
        self.token = token
        self.until = until


class MemoryRoleScheduler(RoleScheduler):
    """In: the clock whose monotonic time leases are measured on."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}
        self._tokens: dict[str, int] = {}
        self._wanted: dict[str, tuple[frozenset[str], float]] = {}
        self._closed = False

    def campaign(self, member: str, roles: Sequence[str], ttl: timedelta) -> Sequence[Lease]:
        with self._lock:
            if self._closed:
                raise RoleSchedulerError("the role scheduler is closed.")
            now = self._clock.monotonic()
            until = now + ttl.total_seconds()
            self._wanted = {name: entry for name, entry in self._wanted.items() if entry[1] > now}
            self._wanted[member] = (frozenset(roles), until)
            holders = {role: held.member for role, held in self._held.items() if held.until > now}
            mine = allot(member, roles, {name: entry[0] for name, entry in self._wanted.items()}, holders)
            for role in [role for role, held in self._held.items() if held.member == member and role not in mine]:
                del self._held[role]
            for role in mine:
                held = self._held.get(role)
                if held is None or held.member != member or held.until <= now:
                    self._tokens[role] = self._tokens.get(role, 0) + 1
                    self._held[role] = _Held(member, self._tokens[role], until)
                else:
                    held.until = until
            return [Lease(role, member, self._held[role].token, ttl) for role in mine]

    def resign(self, member: str) -> None:
        with self._lock:
            self._wanted.pop(member, None)
            for role in [role for role, held in self._held.items() if held.member == member]:
                del self._held[role]

    def close(self) -> None:
        self._closed = True


_named: dict[str, MemoryRoleScheduler] = {}


def open_roles(url: str, *, clock: Clock | None = None) -> MemoryRoleScheduler:
    """`memory://` is a scheduler of its own; `memory://name` is shared by everybody in this process who names it."""
    name = url.partition("://")[2]
    if not name:
        return MemoryRoleScheduler(clock)
    scheduler = _named.get(name)
    if scheduler is None or scheduler._closed:
        scheduler = _named[name] = MemoryRoleScheduler(clock)
    return scheduler
