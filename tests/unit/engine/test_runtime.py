"""The threads of an engine: what holds up one thing does not hold up another."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from flowdsl.clock import SystemClock
from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.engine import Engine
from flowdsl.errors import StreamerError
from flowdsl.memory.event_streamer import MemoryEventStreamer
from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.memory.role_scheduler import MemoryRoleScheduler
from flowdsl.model.event import Event
from flowdsl.model.instance import Instance, Lease
from flowdsl.model.pending import RowKind
from tests.unit.engine.script import Order, Status

PATIENCE = 20.0


class CountingStore(MemoryRecordStore):
    """Tells of each heartbeat."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.beats = threading.Semaphore(0)

    def beat(self, namespace: str, instance: Instance, ttl: timedelta) -> bool:
        known = super().beat(namespace, instance, ttl)
        self.beats.release()
        return known


class SilentRoles(MemoryRoleScheduler):
    """A server that takes requests and does not answer."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.silent = False
        self.asked, self.answers = threading.Event(), threading.Event()

    def campaign(self, member: str, roles: Sequence[str], ttl: timedelta) -> Sequence[Lease]:
        if self.silent:
            self.asked.set()
            self.answers.wait(PATIENCE)
        return super().campaign(member, roles, ttl)


def workflow(**settings: Any) -> Workflow[Order, Status]:
    made = Workflow("orders", object_type=Order, status_type=Status, retired=[Status.SHIPPED], **settings)
    made.step(from_=Status.CREATED, to=Status.PAID)(lambda run: None)
    return made


def test_a_role_scheduler_that_does_not_answer_holds_up_no_heartbeat() -> None:
    store, roles = CountingStore(), SilentRoles()
    beat, lease = timedelta(milliseconds=20), timedelta(milliseconds=60)
    with Engine(workflow(), store=store, roles=roles, beat=beat, lease=lease):
        roles.silent = True
        assert roles.asked.wait(PATIENCE)
        while store.beats.acquire(blocking=False):
            """Those of before."""
        try:
            assert all(store.beats.acquire(timeout=PATIENCE / 4) for _ in range(3))
        finally:
            roles.answers.set()


class FullStore(MemoryRecordStore):
    """There is always more to purge."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.purging = threading.Event()

    def purge(self, namespace: str, workflow: str, states: Any, age: timedelta, limit: int, awaited: Any = ()) -> int:
        self.purging.set()
        return limit


def test_a_purge_of_very_much_does_not_hold_up_what_is_to_be_done_a_little_later() -> None:
    store, later = FullStore(), threading.Event()
    roles = MemoryRoleScheduler(SystemClock())
    with Engine(workflow(keep_completed=timedelta(days=1)), store=store, roles=roles) as engine:
        assert store.purging.wait(PATIENCE)
        engine._the_core().delayed.call(timedelta(0), later.set)
        assert later.wait(PATIENCE)


class LastingStore(MemoryRecordStore):
    """As others find it when one engine has closed it."""

    def close(self) -> None:
        """It goes on."""


class AwayStreamer(MemoryEventStreamer):
    """A broker that cannot be reached."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.tried = threading.Event()

    def publish(self, events: Sequence[Event]) -> Sequence[bool]:
        if any(event.body for event in events):
            self.tried.set()
        raise StreamerError("the broker is away.")


def test_a_stop_does_not_wait_for_a_broker_that_is_away() -> None:
    made = Workflow("orders", object_type=Order, status_type=Status, retired=[Status.SHIPPED])

    @made.step(from_=Status.CREATED, to=Status.PAID)
    def charge(run: Run[Order, Status]) -> None:
        run.publish("paid", {"total": run.object.total})

    store, streamer = LastingStore(SystemClock()), AwayStreamer()
    roles = MemoryRoleScheduler(SystemClock())
    with Engine(made, store=store, roles=roles, streamer=streamer, drain=timedelta(seconds=PATIENCE)) as engine:
        run = engine.trigger(made, "o", Order(1))
        assert streamer.tried.wait(PATIENCE)

        assert engine.stop(timedelta(seconds=PATIENCE / 2)), "no step is running"

    (row,) = store.rows([run.run_id])
    assert (row.kind, row.owner, row.attempts, row.lapses) == (RowKind.EVENT, None, 0, 0), "it is somebody else's to publish"
