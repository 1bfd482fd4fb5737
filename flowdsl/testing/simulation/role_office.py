"""The simulated role scheduler: what its processes share, and how it may fail them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from flowdsl.clock import Clock
from flowdsl.memory.role_scheduler import MemoryRoleScheduler
from flowdsl.model.instance import Lease
from flowdsl.testing.simulation.fault import Fault
from flowdsl.testing.simulation.gate import Gate
from flowdsl.testing.simulation.journal import Granted, Journal
from flowdsl.testing.simulation.weather import Weather

FORGOTTEN, FOR_ALL = 0.01, 0.1


class RoleOffice:
    """A role scheduler in memory that may forget everything, or grant everything to everybody."""

    def __init__(self, clock: Clock, weather: Weather, journal: Journal) -> None:
        self._clock = clock
        self._weather = weather
        self._journal = journal
        self.roles = MemoryRoleScheduler(clock)

    def campaign(self, member: str, roles: Sequence[str], ttl: timedelta) -> Sequence[Lease]:
        if self._weather.strikes(Fault.ROLES_FORGOTTEN, FORGOTTEN):
            self.roles = MemoryRoleScheduler(self._clock)
        if self._weather.strikes(Fault.ROLES_FOR_ALL, FOR_ALL):
            return [Lease(role, member, 1, ttl) for role in roles]
        leases = self.roles.campaign(member, roles, ttl)
        when = self._journal.tick()
        self._journal.granted.extend(Granted(lease.role, lease.member, lease.token, when) for lease in leases)
        return leases

    def resign(self, member: str) -> None:
        self.roles.resign(member)


class RolesProxy:
    """A process's view of it."""

    def __init__(self, office: RoleOffice, gate: Gate) -> None:
        self._office = office
        self._gate = gate

    def campaign(self, member: str, roles: Sequence[str], ttl: timedelta) -> Sequence[Lease]:
        return self._gate.through("campaign", lambda: self._office.campaign(member, roles, ttl))

    def resign(self, member: str) -> None:
        self._gate.through("resign", lambda: self._office.resign(member))

    def close(self) -> None:
        """The world closes its office."""
