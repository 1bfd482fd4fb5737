"""The fleet at one moment: who works, and what waits for them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec import Struct


class FleetInstance(Struct, frozen=True, kw_only=True):
    """An instance whose heartbeat is alive."""

    instance: str
    """The id that it claims under: one engine, and one life of it."""
    machine: str
    """The machine's name; empty where it does not say."""
    pid: int
    expires_at: datetime | None
    """When it counts as gone unless it is heard of before, by the store's clock."""
    consumers: Mapping[str, int] | None
    """How many consumers it has, by topic. None: it has not said so yet."""


class FleetLane(Struct, frozen=True, kw_only=True):
    """What waits for one step, timeout, callback or hook, or for one of the chores of a workflow."""

    topic: str
    workflow: str
    kind: str
    """step, timeout, callback, hook, event or deletion."""
    name: str
    """Of a step its status, of a timeout or callback `status/name`, of a hook `event/name`."""
    due: int
    """Rows that anybody may take now."""
    oldest: timedelta
    """How long the first of them has been due."""
    waiting: int
    """Rows that are due later: retries, lags, timers."""
    consumers: int
    """Of all instances that have said what they consume."""


class Fleet(Struct, frozen=True, kw_only=True):
    """The instances of a namespace by id, and the lanes by topic: those of the asking engine's workflows, and those that an
    instance says it consumes."""

    namespace: str
    at: datetime
    """By the store's clock."""
    instances: tuple[FleetInstance, ...]
    lanes: tuple[FleetLane, ...]
