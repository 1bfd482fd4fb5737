"""A worker: the processes of one engine that takes work, made and stopped together. It has no thread of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial

from flowdsl.engine.auto_resume import AutoResume
from flowdsl.engine.auto_resumer import AutoResumer
from flowdsl.engine.connector_processes import ConnectorProcesses
from flowdsl.engine.core import Core
from flowdsl.engine.dispatcher import Dispatcher
from flowdsl.engine.executor import Executor
from flowdsl.engine.intake import Intake
from flowdsl.engine.membership import DEFAULT_BEAT, DEFAULT_LAPSE, Membership
from flowdsl.engine.metrics import ProcessState
from flowdsl.engine.migrator import Migrator, migration_roles
from flowdsl.engine.presence import Presence
from flowdsl.engine.process import Process
from flowdsl.engine.purger import Purger
from flowdsl.engine.role_keeper import DEFAULT_LEASE, RoleKeeper
from flowdsl.engine.scheduler import Scheduler
from flowdsl.engine.slot import SCHEDULER
from flowdsl.engine.steps import Steps
from flowdsl.engine.stream_reader import StreamReader
from flowdsl.engine.sweeper import Sweeper
from flowdsl.engine.work import Work
from flowdsl.errors import RoleSchedulerError, StoreError
from flowdsl.model.change import PutItems
from flowdsl.model.pending import RowKind
from flowdsl.naming import role
from flowdsl.ports.event_streamer import EventStreamer
from flowdsl.ports.role_scheduler import RoleScheduler

log = logging.getLogger("flowdsl.worker")

SWEEPER, AUTO_RESUMER, PURGER = "sweeper", "auto-resumer", "purger"


class Worker:
    """Wires the processes. In: the executor is made by `executor(steps)`, so that a test can bring its own."""

    def __init__(
        self,
        core: Core,
        roles: RoleScheduler,
        executor: Callable[[Steps], Executor],
        *,
        streamer: EventStreamer | None = None,
        connectors: Callable[[Executor], ConnectorProcesses],
        auto_resume: AutoResume,
        beat: timedelta = DEFAULT_BEAT,
        lapse: timedelta = DEFAULT_LAPSE,
        lease: timedelta = DEFAULT_LEASE,
    ) -> None:
        self._core = core
        self.steps = Steps(core, auto_resume)
        self.executor = executor(self.steps)
        self.connectors = connectors(self.executor)
        intake = Intake(core, self.steps)
        self.dispatcher = Dispatcher(core, intake)
        self.reader = StreamReader(core, intake, streamer) if streamer is not None else None
        self.membership = Membership(core, beat=beat, lapse=lapse, changed=self._disowned)
        names = {name: role(core.namespace, "", name) for name in (SWEEPER, AUTO_RESUMER, PURGER)}
        migrations = migration_roles(core.workflows, core.namespace)
        self.scheduler = Scheduler(core, lambda held: self.roles.holds(held), self.executor.spawn)
        own = [*names.values(), *migrations.values(), *self.scheduler.roles.values()]
        self.roles = RoleKeeper(core, roles, [*own, *self.connectors.roles], lease)
        self.connectors.begin(self.roles.holds)
        self._housekeeping: dict[str, Callable[[], bool]] = {
            name: partial(self.roles.holds, held) for name, held in names.items()
        }
        self.sweeper = Sweeper(core, self._housekeeping[SWEEPER])
        self.auto_resumer = AutoResumer(core, self._housekeeping[AUTO_RESUMER])
        self.purger = Purger(core, self._housekeeping[PURGER])
        self.migrator = Migrator(core, lambda key: self.roles.holds(migrations[key]))
        self.presence = Presence(core)
        self._unlisten: Callable[[], None] | None = None

    @property
    def slow_processes(self) -> Sequence[Process]:
        """What one housekeeping thread can step in turn: none of them is waited for."""
        slow = (self.scheduler, self.sweeper, self.auto_resumer, self.purger, self.migrator, self.presence)
        return (self._core.delayed, *slow)

    @property
    def vital_processes(self) -> Sequence[Process]:
        """What must never wait behind anything else: heartbeat and leases. Nor may the heartbeat wait for the leases, of which
        another server may be asked."""
        return (self.membership, self.roles)

    def open(self) -> None:
        """Join the fleet and take work from now on. Raises StoreError, and takes none then."""
        core = self._core
        self.membership.join()
        self._unlisten = core.store.listen(core.namespace, self._heard)
        try:
            self._register_hooks()
        except BaseException:
            self._unlisten()
            raise
        core.offer = self.executor.offer
        core.wake = self.dispatcher.wake
        if core.publisher is not None:
            core.publisher.begin()
        core.accepting = True
        core.complete = self.executor.complete
        for lane in core.side_lanes:
            if lane.kind is RowKind.EVENT:
                lane.open_here(core.publisher is not None)  # without a streamer they wait for an instance that has one
        if self.reader is not None:
            core.room = self.reader.room
        self.membership.step()
        self.roles.step()
        self.publish_states()

    def _heard(self, topics: Sequence[str]) -> None:
        if self.reader is not None:  # the rows of steps come over the streamer
            side = {lane.topic for lane in self._core.side_lanes}
            topics = [topic for topic in topics if topic in side] if topics else list(side)
            if topics:
                self.dispatcher.wake(topics)
        elif topics:
            self.dispatcher.wake(topics)
        else:
            self.dispatcher.wake_all()

    def _register_hooks(self) -> None:
        """So that a pause by a process without this code tells its hooks, too. Raises StoreError."""
        core = self._core
        items = core.hooks.registrations()
        if items:
            core.store.commit([PutItems(change_id=core.ids(), namespace=core.namespace, items=items)])

    def _disowned(self) -> None:
        """The owner's name changed: rows in hand that have not begun belong to whoever claims them next."""
        for work in self._not_begun():
            self._core.close(work)

    def _not_begun(self) -> list[Work]:
        works = list(self.executor.withdraw())
        return [*works, *(work for lane in self._core.all_lanes for work in lane.withdraw())]

    def stop_taking(self) -> None:
        """Begin to drain: no claim, no handoff, and what has not begun is given back."""
        core = self._core
        core.accepting = False
        if self._unlisten is not None:
            self._unlisten()
            self._unlisten = None
        for work in self._not_begun():
            core.release(work)
        core.committer.flush()
        if core.publisher is not None:
            core.publisher.stop()

    @property
    def drained(self) -> bool:
        """No claim is under way, no row is in hand (ready, running, or waiting for the store's answer), nothing waits for its
        commit."""
        claiming = self.dispatcher.claiming or (self.reader is not None and self.reader.claiming)
        in_hand = any(lane.open for lane in self._core.all_lanes)
        return not claiming and not in_hand and self.connectors.drained and self._core.committer.idle

    def close(self) -> None:
        """Leave the fleet. With a body still running the claims stay until this process is gone."""
        clean = self.drained
        try:
            self.roles.resign()
            if clean:
                self.presence.leave()
                self.membership.leave()
        except (StoreError, RoleSchedulerError) as error:
            log.warning("leaving failed, the claims lapse by themselves: %s", error)
        self.connectors.close()
        self.executor.stop()
        self.publish_states()

    def states(self) -> Mapping[tuple[str, str], ProcessState]:
        """Of every process (workflow, name): what it is doing."""
        up = self._core.accepting
        states: dict[tuple[str, str], ProcessState] = {}
        for lane in self._core.all_lanes:
            if lane.kind is RowKind.EVENT and self._core.publisher is None:
                continue
            state = ProcessState.RUNNING if lane.slots else ProcessState.IDLE
            states[lane.workflow.name, lane.name] = state if up else ProcessState.SHUTDOWN
        for name, holds in self._housekeeping.items():
            state = ProcessState.RUNNING if holds() else ProcessState.IDLE
            states["", name] = state if up else ProcessState.SHUTDOWN
        for workflow, held in self.scheduler.roles.items():
            state = ProcessState.RUNNING if self.roles.holds(held) else ProcessState.IDLE
            states[workflow, SCHEDULER] = state if up else ProcessState.SHUTDOWN
        return {**states, **self.connectors.states()}

    def publish_states(self) -> None:
        """Set the process-state metric."""
        for (workflow, name), state in self.states().items():
            self._core.metrics.states.labels(workflow, name).set(state)
