"""Traps at the ports: of streamers, and of what a store's caller knows and its connection does not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from flowdsl.errors import StreamerError
from flowdsl.model.change import Change, CommitResult, MoveRun, StartRun
from flowdsl.model.event import Event
from flowdsl.model.history import Cause
from flowdsl.model.instance import Instance, Lease
from flowdsl.model.pending import ClaimedRow, RowKind, TopicQuota
from flowdsl.ports.event_streamer import StartFrom
from tests.faults.trap import Action, Point, Trap
from tests.faults.trapped_sql import Traps


def lost() -> None:
    raise StreamerError("the connection was lost.")


def nothing() -> None:
    """The connection says what is wrong."""


class TrappedStore:
    """Tells the connection what it commits, and claims what timeouts there are."""

    def __init__(self, store: Any, trap: Trap, traps: Traps | None) -> None:
        self._store = store
        self._trap = trap
        self._traps = traps

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        special = next((point for point in map(_special, changes) if point is not None), None)
        if self._traps is None:  # a commit is one script: there is no connection to be trapped between its statements
            self._trap.here(Point.COMMIT_BEFORE, nothing)
            results: Sequence[CommitResult] = self._store.commit(changes)
            self._trap.here(Point.COMMIT_AFTER, nothing)
            if special is not None:
                self._trap.here(special, nothing)
            return results
        self._traps.committing = special
        try:
            return self._store.commit(changes)  # type: ignore[no-any-return]
        finally:
            self._traps.committing = None

    def claim(self, namespace: str, owner: str, quotas: Sequence[TopicQuota]) -> Sequence[ClaimedRow]:
        claimed: Sequence[ClaimedRow] = self._store.claim(namespace, owner, quotas)
        if claimed and self._traps is None:
            self._trap.here(Point.CLAIM, nothing)
        if self._trap.action is Action.KILL and any(entry.row.kind is RowKind.TIMEOUT for entry in claimed):
            self._trap.here(Point.TIMER_CLAIMED, nothing)
        return claimed

    def beat(self, namespace: str, instance: Instance, ttl: timedelta) -> bool:
        answer: bool = self._store.beat(namespace, instance, ttl)
        if self._traps is None:
            self._trap.here(Point.BEAT, nothing)
        return answer


class TrappedRoles:
    """Roles that are leased elsewhere than in a SQL database."""

    def __init__(self, roles: Any, trap: Trap) -> None:
        self._roles = roles
        self._trap = trap

    def __getattr__(self, name: str) -> Any:
        return getattr(self._roles, name)

    def campaign(self, member: str, roles: Sequence[str], ttl: timedelta) -> Sequence[Lease]:
        leases: Sequence[Lease] = self._roles.campaign(member, roles, ttl)
        self._trap.here(Point.LEASE, nothing)
        return leases


def _special(change: Change) -> Point | None:
    if isinstance(change, MoveRun) and change.origin.cause is Cause.TIMEOUT:
        return Point.TIMER_TX
    return Point.SLOT_TX if isinstance(change, StartRun) and "slot" in change.metadata else None


class TrappedStreamer:
    """Passes the trap at each call."""

    def __init__(self, streamer: Any, trap: Trap) -> None:
        self._streamer = streamer
        self._trap = trap

    def __getattr__(self, name: str) -> Any:
        return getattr(self._streamer, name)

    def publish(self, events: Sequence[Event]) -> Sequence[bool]:
        self._trap.here(Point.PUBLISH_BEFORE, lost)
        self._trap.before(Point.PUBLISH_AFTER, lost)
        confirmed: Sequence[bool] = self._streamer.publish(events)
        self._trap.after(Point.PUBLISH_AFTER, lost)
        return confirmed

    def receiver(self, name: str, topics: Sequence[str], start: StartFrom = StartFrom.OLDEST) -> Any:
        return TrappedReceiver(self._streamer.receiver(name, topics, start), self._trap)


class TrappedReceiver:
    def __init__(self, receiver: Any, trap: Trap) -> None:
        self._receiver = receiver
        self._trap = trap

    def receive(self, quotas: Sequence[TopicQuota], timeout: timedelta) -> Sequence[Event]:
        self._trap.before(Point.RECEIVE, lost)
        events: Sequence[Event] = self._receiver.receive(quotas, timeout)
        if events:
            self._trap.after(Point.RECEIVE, lost)
        return events

    def acknowledge(self, events: Sequence[Event]) -> None:
        self._trap.here(Point.ACK_BEFORE, lost)
        self._trap.before(Point.ACK_AFTER, lost)
        self._receiver.acknowledge(events)
        self._trap.after(Point.ACK_AFTER, lost)

    def close(self) -> None:
        self._receiver.close()
