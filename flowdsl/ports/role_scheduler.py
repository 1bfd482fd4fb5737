"""The role scheduler: leases on named roles."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from flowdsl.model.instance import Lease


class RoleScheduler(Protocol):
    """At most one live member holds a role. Nothing's safety depends on it: it saves work, it protects no write."""

    @abstractmethod
    def campaign(self, member: str, roles: Sequence[str], ttl: timedelta) -> Sequence[Lease]:
        """Renew what the member holds of `roles`, take what is free, give back what is too much; all leases then held.

        One round trip whatever the number of roles. A lease lasts `ttl` from this call. Roles are spread evenly (to within one)
        over the live members that want them, altogether and within each group: roles whose names differ only behind the last
        `/`, the consumers of one status say. A member that has too much gives back, and takes no free role that would be too
        much unless nobody else wants it; `flowdsl.model.fair_share` is the rule. Roles held earlier and not named are given
        back. A role that changes hands gets a greater token.
        """

    @abstractmethod
    def resign(self, member: str) -> None:
        """Give everything back at once. Unknown members are fine."""

    @abstractmethod
    def close(self) -> None:
        """Let go of every connection."""
