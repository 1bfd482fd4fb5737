"""A live engine as the store knows it."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct


class Instance(Struct, frozen=True, kw_only=True):
    """One heartbeat row. Claims name their `owner`; when the row is gone, so are the claims."""

    owner: str
    """Unique to one engine and one life of it: an engine whose heartbeat lapsed comes back under a new one."""
    host: str = ""
    """Says on which machine, boot and process-id space `pid` means something."""
    pid: int = 0
    pid_started: str = ""
    """Tells the process from a later one of the same number."""
    expires_at: datetime | None = None
    """When it counts as gone unless its heart beats before, by the store's clock. The store's word; of no meaning in a beat."""

    @property
    def machine(self) -> str:
        """The name of the machine; empty where `host` does not say it, as that of older code."""
        name, *place = self.host.split("/", 1)
        return name if place and "/" in place[0] else ""


class Lease(Struct, frozen=True):
    """A role held by a member. `token` grows with every change of holder: a write guarded by it can refuse an earlier one."""

    role: str
    member: str
    token: int
    ttl: timedelta
