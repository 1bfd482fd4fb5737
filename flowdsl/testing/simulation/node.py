"""A simulated process: an engine without threads whose every call passes a gate, and which can be gone from one moment to the
next. What production gives to threads are turns here, that the world hands out."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Any, Protocol, cast

from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.auto_resume import AutoResume
from flowdsl.engine.executor import InlineExecutor
from flowdsl.engine.worker import Worker
from flowdsl.errors import FlowError, StoreError
from flowdsl.ports.event_streamer import EventStreamer
from flowdsl.ports.record_store import RecordStore
from flowdsl.ports.role_scheduler import RoleScheduler
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.simulation.broker import Broker, StreamerProxy
from flowdsl.testing.simulation.fault import Fault
from flowdsl.testing.simulation.gate import CrashedError, Gate, Outages, Port
from flowdsl.testing.simulation.journal import Journal, Loss
from flowdsl.testing.simulation.node_clock import NodeClock
from flowdsl.testing.simulation.plan import Plan
from flowdsl.testing.simulation.role_office import RoleOffice, RolesProxy
from flowdsl.testing.simulation.simulated_engine import Shuffled, SimulatedEngine
from flowdsl.testing.simulation.store_proxy import StoreProxy
from flowdsl.testing.simulation.stores import Stores
from flowdsl.testing.simulation.weather import Weather

JUMP = 3600.0
DRIFT = 0.1
DRAIN = 20.0
"""Seconds after which a process that drains goes, whatever still runs."""


class Surroundings(Protocol):
    """What a process finds in its world."""

    plan: Plan
    clock: ManualClock
    weather: Weather
    outages: Outages
    journal: Journal
    broker: Broker
    office: RoleOffice
    workflows: tuple[Workflow[Any, Any], ...]
    auto_resume: AutoResume

    stack: list[Node]
    """The processes that are in the middle of something, outermost first."""
    stores: Stores

    def ring(self) -> None: ...
    def interrupt(self) -> None: ...
    def deceased(self, owner: str) -> bool: ...
    def alive(self, owners: Collection[str]) -> None: ...


class Node:
    """One process, through all its lives."""

    def __init__(self, name: str, world: Surroundings, *, works: bool) -> None:
        self.name = name
        self.works = works
        self._world = world
        self._rng = random.Random(f"{world.plan.seed}/{name}")
        self._lives = 0
        self.engine: SimulatedEngine | None = None
        self.gone = False
        """This life of it has ended; frames of it that are still on the stack must not go on."""
        self.busy: list[str] = []
        """Threads of it that are in the middle of something, outermost first."""
        self.owners: list[str] = []
        """The names under which it has claimed, through all its lives."""
        self._owner = ""
        """The present one."""
        self._executors: list[InlineExecutor] = []
        self._leaving_until: float | None = None
        self._bereft = False
        """Its claims were freed, and it does not know yet."""
        self.ended: set[str] = set()
        """Those of lives that have ended."""
        self.clock = NodeClock(world.clock)

    # -- life -----------------------------------------------------------------------------------------------------------------

    @property
    def up(self) -> bool:
        """Whether it lives and has joined: before that, nothing in it has its turn."""
        return self.engine is not None and "start" not in self.busy

    def start(self) -> None:
        """A new life, unless it lives already, or frames of the last life are still on the stack. If the store does not let it
        join, that was a short one."""
        if self.busy or self.engine is not None:
            return
        world, plan = self._world, self._world.plan
        self.gone = False
        self._lives += 1
        rate = 1.0
        if world.weather.strikes(Fault.CLOCK_DRIFT, 0.5):
            rate += world.weather.uniform(Fault.CLOCK_DRIFT, -DRIFT, DRIFT)
        self.clock = NodeClock(world.clock, rate)
        store = world.stores.open()
        rings = None if world.stores.listens else world.ring
        gate = self._gate(Port.STORE)
        proxy = StoreProxy(store, gate, self.name, world.journal, world.weather, world.deceased, rings, world.alive, self._heard)
        streamer = StreamerProxy(world.broker, self._gate(Port.STREAMER)) if plan.streamer else None
        self._ports = (proxy, streamer)
        engine = SimulatedEngine(
            *world.workflows,
            turns=self._rng,
            clock=cast(Any, self.clock),
            store=cast(RecordStore, proxy),
            roles=cast(RoleScheduler, RolesProxy(world.office, self._gate(Port.ROLES))),
            streamer=cast("EventStreamer | None", streamer),
            seed=self._rng.getrandbits(64),
            handoff=plan.handoff,
            auto_resume=world.auto_resume,
            works=self.works,
        )
        self.engine = engine
        try:
            if self.works:
                self._in("start", lambda: _ignore(engine.__enter__()))
        except StoreError:
            self._end(lost=True)
        else:
            if self.works and self.up:
                self._executors.append(cast(InlineExecutor, engine.worker.executor))
            self._note_owner()

    def _gate(self, port: Port) -> Gate:
        world = self._world
        return Gate(port, self, world.weather, world.outages, world.interrupt)

    def crash(self) -> None:
        """Gone, at once."""
        if self.engine is not None:
            self._world.journal.say(self.name, "is gone")
            self._end(lost=True)

    def _end(self, *, lost: bool) -> None:
        self._note_owner()
        journal = self._world.journal
        if (lost or self._bereft) and self._owner:
            journal.losses.append(Loss(self.name, self._owner, journal.tick()))
        self.ended.add(self._owner)
        self.engine, self._owner, self._leaving_until, self._bereft = None, "", None, False
        self.gone = True
        for wait in journal.waits:
            if wait.node == self.name and not wait.done:
                wait.abandoned = True
        store, streamer = self._ports
        store.hang_up()
        if streamer is not None:
            streamer.hang_up()

    def close(self) -> None:
        """After the simulation."""
        for executor in self._executors:
            executor.stop()

    def leave(self) -> None:
        """Begin to drain."""
        if self.engine is not None and self._leaving_until is None and self.works and not self.busy:
            self._world.journal.say(self.name, "drains")
            self._leaving_until = self._world.clock.monotonic() + DRAIN
            worker = self.engine.worker
            self._in("leave", worker.stop_taking)

    @property
    def leaving(self) -> bool:
        return self._leaving_until is not None

    def _try_to_leave(self) -> None:
        engine, until = self.engine, self._leaving_until
        if engine is None or until is None or self.busy:
            return
        drained = engine.worker.drained
        if drained or self._world.clock.monotonic() >= until:
            self._world.journal.say(self.name, "leaves" if drained else "leaves with bodies still running")
            self._in("leave", engine.exit)
            if self.engine is not None:
                self._end(lost=not drained)

    # -- turns ----------------------------------------------------------------------------------------------------------------

    def turn(self) -> None:
        """One thread of the process does one piece of work."""
        if self.leaving and self._rng.random() < 0.3:
            self._try_to_leave()
        threads = self._threads()
        if threads:
            name = self._rng.choice(list(threads))
            self._in(name, threads[name])

    def _threads(self) -> dict[str, Callable[[], object]]:
        """What may go on now: each thread once, bodies and customers' calls beside themselves."""
        engine = self.engine
        if engine is None:
            return {}
        core = engine.core
        threads: dict[str, Callable[[], object]] = {"waiter": core.waiter.step}
        if core.committer.waiting:
            threads["commit"] = core.committer.flush
        if core.publisher is not None and core.publisher.waiting:
            threads["publish"] = core.publisher.flush
        if self.works:
            worker = engine.worker
            threads["vital"] = lambda: self._vital(worker)
            if not core.committer.leading:  # some of it waits for its own commit
                threads["house"] = lambda: [process.step() for process in worker.slow_processes]
            threads["dispatch"] = worker.dispatcher.step
            if worker.reader is not None:
                threads["stream"] = worker.reader.step
            executor = cast(Shuffled, worker.executor)
            if executor.ready():
                threads["body"] = executor.step
        return {name: thread for name, thread in threads.items() if name == "body" or name not in self.busy}

    def vital(self) -> None:
        """Its heartbeat and leases get their turn, if they are not in the middle of one."""
        engine = self.engine
        if engine is not None and self.up and self.works and "vital" not in self.busy:
            worker = engine.worker
            self._in("vital", lambda: self._vital(worker))

    def _vital(self, worker: Worker) -> None:
        for process in worker.vital_processes:
            process.step()
        self._note_owner()

    def settle(self) -> bool:
        """A round of everything, as long as nobody interrupts. True: something was done."""
        engine = self.engine
        if engine is None:
            return False
        did = False
        if self.leaving:
            self._try_to_leave()
            did = not self.up
        if self.engine is None:
            return did

        def all_of_it() -> None:
            nonlocal did
            if self.works:
                did = engine.step() or did
            else:
                core = engine.core
                did = core.committer.step() or (core.publisher is not None and core.publisher.step()) or did
            did = engine.core.waiter.step() or did

        self._in("all", all_of_it)
        self._note_owner()
        return did

    def ask(self, question: Callable[[SimulatedEngine], None]) -> bool:
        """A customer calls, in a thread of its own. False: it has to wait for a commit that is under way, or nobody is there."""
        engine = self.engine
        if engine is None or not self.up or engine.core.committer.leading:
            return False
        self._in("customer", lambda: question(engine))
        return True

    def _in(self, thread: str, work: Callable[[], object]) -> None:
        journal = self._world.journal
        self.busy.append(thread)
        self._world.stack.append(self)
        try:
            work()
        except CrashedError:
            if self.engine is not None and not self.gone:
                self.crash()
        except StoreError:
            if thread in ("start", "leave"):
                raise
            if thread != "waiter":
                journal.accidents.append(f"the {thread} thread of {self.name} let a StoreError pass")
        except FlowError as error:
            journal.accidents.append(f"the {thread} thread of {self.name} let pass {type(error).__name__}: {error}")
        except Exception as error:
            journal.accidents.append(f"the {thread} thread of {self.name} failed: {type(error).__name__}: {error}")
        finally:
            self._world.stack.pop()
            self.busy.pop()

    def jump(self) -> None:
        """The machine's time of day is set."""
        self.clock.skew = timedelta(seconds=self._world.weather.uniform(Fault.CLOCK_JUMP, -JUMP, JUMP))

    def ring(self) -> None:
        """Rows wait."""
        if self.engine is not None:
            self._ports[0].ring()

    def _note_owner(self) -> None:
        """Under which name it claims now; a change of it within one life means that the claims of the old one are lost."""
        if self.engine is None or not self.works:
            return
        owner = self.engine.core.owner
        if owner and owner != self._owner:
            if self._owner:
                journal = self._world.journal
                journal.losses.append(Loss(self.name, self._owner, journal.tick()))
            self.owners.append(owner)
            self._owner, self._bereft = owner, False

    def bereft(self, alive: Collection[str]) -> None:
        """Its claims are free if its heartbeat is not among those alive. Its next one tells it, if it lives to hear that."""
        if self._owner and self._owner not in alive:
            self._bereft = True

    def _heard(self) -> None:
        self._bereft = False

    # -- what it holds --------------------------------------------------------------------------------------------------------

    def holds(self) -> list[str]:
        """Housekeeping roles that it acts in, by its own account; none while it renews them, for what it gives back with that it
        hears of only with the answer."""
        engine = self.engine
        if engine is None or not self.up or not self.works or self.leaving or "vital" in self.busy:
            return []
        return [name for name, holds in engine.worker._housekeeping.items() if holds()]

    def leftovers(self) -> list[str]:
        """What should be empty once nothing is left to do."""
        engine = self.engine
        if engine is None:
            return []
        core = engine.core
        found = [f"{lane.open} rows in hand in {lane.topic}" for lane in core.lanes.values() if lane.open]
        found += [f"{lane.running} bodies counted as running in {lane.topic}" for lane in core.lanes.values() if lane.running]
        if core.committer.waiting:
            found.append("changes wait for a commit")
        if core.publisher is not None and core.publisher.waiting:
            found.append("events wait to be published")
        if core.delayed.next_due() is not None:
            found.append("delayed calls are left")
        return [f"{self.name}: {what}" for what in found]


def _ignore(_: object) -> None:
    """The engine is known already."""
