"""The world of one simulation: one clock, one store, some processes, and a random number that says who acts next."""

from __future__ import annotations

import random
from collections.abc import Collection
from datetime import timedelta
from typing import Any

from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.auto_resume import AutoResume
from flowdsl.model.run_state import RunState
from flowdsl.ports.record_store import RecordStore
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.simulation.broker import Broker
from flowdsl.testing.simulation.building import build
from flowdsl.testing.simulation.customers import Customers
from flowdsl.testing.simulation.evidence import Evidence, every_run
from flowdsl.testing.simulation.fault import Fault
from flowdsl.testing.simulation.gate import Outages
from flowdsl.testing.simulation.journal import Held, Journal
from flowdsl.testing.simulation.node import Node
from flowdsl.testing.simulation.off_the_loop import off_the_loop
from flowdsl.testing.simulation.plan import Plan
from flowdsl.testing.simulation.role_office import RoleOffice
from flowdsl.testing.simulation.stage import Stage
from flowdsl.testing.simulation.stores import Stores
from flowdsl.testing.simulation.weather import Weather
from flowdsl.testing.simulation.workloads import WORKLOADS

DEEPEST = 3
"""How many processes may stand still within a call while others act."""
STRIDE = 5.0
"""Seconds after which heartbeats get their turn when much time passes at once."""
LONGEST_RECOVERY = timedelta(hours=2)
"""What failed again and again waits for up to an hour, by the library's own policy."""
QUIET = timedelta(minutes=3)
"""How long it is watched that nothing moves any more."""
NAMESPACE = "default"


class World:
    """In: the plan; whether to write a story for people."""

    def __init__(self, plan: Plan, *, story: bool = False) -> None:
        self.plan = plan
        self.clock = ManualClock()
        self.weather = Weather(plan.seed, plan.faults, plan.intensity, plan.most_faults)
        self.outages = Outages(self.clock)
        self.journal = Journal(self.clock, lines=[] if story else None)
        self.broker = Broker(self.clock, self.weather)
        self.office = RoleOffice(self.clock, self.weather, self.journal)
        self.stores = Stores(plan.store, self.clock)
        self.workload = WORKLOADS[plan.workload]
        self.auto_resume = AutoResume(self.workload.auto_resume, self.workload.auto_resumes, multiplier=1.0)
        self._rng = random.Random(f"{plan.seed}/turns")
        self.stack: list[Node] = []
        """The processes that are in the middle of something, outermost first."""
        self._held: tuple[tuple[str, str], ...] = ()
        stage = Stage(plan.seed, self.journal, self.weather, lambda: self.stack[-1], self.interrupt)
        by_name = {flow.name: build(flow, stage) for flow in self.workload.flows}
        stage.workflows = by_name
        self.workflows: tuple[Workflow[Any, Any], ...] = tuple(by_name.values())
        self.nodes = [Node(f"worker-{number}", self, works=True) for number in range(1, plan.workers + 1)]
        self.nodes += [Node(f"client-{number}", self, works=False) for number in range(1, plan.clients + 1)]
        self.customers = Customers(plan, self.workload, self.journal, self.nodes, by_name)

    def deceased(self, owner: str) -> bool:
        """Whether its process has ended on the machine of all the others."""
        return self.plan.one_machine and any(owner in node.ended for node in self.nodes)

    def alive(self, owners: Collection[str]) -> None:
        """These owners' heartbeats are all that there are: the claims of everybody else were freed."""
        for node in self.nodes:
            node.bereft(owners)

    # -- the turns ------------------------------------------------------------------------------------------------------------

    def run(self) -> Evidence:
        """Everything: the turns with faults, the recovery without, and what there is to see afterwards."""
        try:
            for node in self.nodes:
                node.start()
            for _ in range(self.plan.rounds):
                self._round()
            recovery = self._recover()
            return Evidence.collect(
                store=self.stores.open(),
                journal=self.journal,
                workload=self.workload,
                faults=self.plan.faults,
                recovery=recovery,
                leftovers=[what for node in self.nodes for what in node.leftovers()],
            )
        finally:
            for node in self.nodes:
                node.close()
            self.stores.close()

    def interrupt(self) -> None:
        """A process is between two lines: others may act now, and for a stalled one a long time passes."""
        depth = len(self.stack)
        if self.weather.calm or depth > DEEPEST:
            return
        stalls = self.weather.strikes(Fault.STALL, 0.003 / depth)
        if stalls or self._rng.random() < self.plan.interruptions / depth**2:  # or interruptions of interruptions never end
            with off_the_loop():
                self._let_others_act(stalls)

    def _let_others_act(self, stalls: bool) -> None:
        if stalls:
            self.journal.say(self.stack[-1].name, "stands still")
            seconds = self.weather.uniform(Fault.STALL, 5, 90)
            for _ in range(int(seconds / STRIDE) + 1):
                self._pass(STRIDE)
                for _ in range(4):
                    self._turn()
            return
        for _ in range(self._rng.choice((1, 1, 2, 4, 8))):
            self._round()

    def _round(self) -> None:
        roll = self._rng.random()
        if roll < 0.15:
            self._let_time_pass()
        elif roll < 0.25:
            self.customers.act()
        else:
            self._turn()

    def _turn(self) -> None:
        node = self._rng.choice(self.nodes)
        if not node.up:
            if self._rng.random() < 0.3:
                node.start()
        elif self.weather.strikes(Fault.RESTART, 0.01):
            node.leave()
        else:
            if self.weather.strikes(Fault.CLOCK_JUMP, 0.01):
                node.jump()
            node.turn()
        self._note_roles()

    # -- time -----------------------------------------------------------------------------------------------------------------

    def _let_time_pass(self) -> None:
        roll = self._rng.random()
        if roll < 0.6:
            self._pass(self._rng.uniform(0, 0.4))
        elif roll < 0.9:
            self._pass(self._rng.uniform(0.4, STRIDE))
        else:
            for _ in range(self._rng.randint(1, 4)):
                self._pass(STRIDE)

    def _pass(self, seconds: float) -> None:
        """Time goes on. Whoever is not in the middle of it gets to keep heartbeat and leases."""
        self.clock.advance(timedelta(seconds=seconds))
        if seconds >= 1:
            for node in self.nodes:
                node.vital()
        self._note_roles()

    def ring(self) -> None:
        """Something was committed: whoever listens hears of it."""
        for node in self.nodes:
            node.ring()

    def _note_roles(self) -> None:
        held = tuple((role, node.name) for node in self.nodes for role in node.holds())
        if held != self._held:
            self._held = held
            when = self.journal.tick()
            for role in sorted({role for role, _ in held}):
                self.journal.held.append(Held(role, tuple(name for other, name in held if other == role), when))

    # -- the end --------------------------------------------------------------------------------------------------------------

    def _recover(self) -> timedelta | None:
        """Without faults and without anybody's help: how long until nothing is left to do; None: too long."""
        self.weather.calm = True
        self.outages.end()
        self.journal.say("world", "faults end")
        self._settle()
        self.customers.settle()
        began = self.clock.now()
        store = self.stores.open()
        while True:
            self._settle()
            took = self.clock.now() - began
            if self._at_rest(store):
                break
            if took > LONGEST_RECOVERY:
                return None
            self._stride(store)
        end = self.clock.now() + QUIET
        while self.clock.now() < end or not self._at_rest(store):  # a schedule may have fired in its last moment
            if self.clock.now() - end > LONGEST_RECOVERY:
                return None
            self._stride(store)
            self._settle()
        self.customers.look()
        return took

    def _settle(self) -> None:
        for _ in range(10_000):
            for node in self.nodes:
                if not node.up:
                    node.start()
            did = [node.settle() for node in self.nodes]
            self._note_roles()
            if not any(did):
                return
        self.journal.accidents.append("the fleet works without an end and without time passing")

    def _stride(self, store: RecordStore) -> None:
        topics = sorted({topic for node in self.nodes if node.engine is not None for topic in node.engine.core.topics})
        now = store.now()
        dues = [due for due in (store.next_due(NAMESPACE, topics), store.next_due_item(NAMESPACE, ["auto_resume"])) if due]
        ahead = [(due - now).total_seconds() for due in dues if due > now]
        self.clock.advance(timedelta(seconds=min([STRIDE, *ahead])))
        self._note_roles()

    def _at_rest(self, store: RecordStore) -> bool:
        """Nothing waits for anything but a person."""
        if store.next_due_item(NAMESPACE, ["auto_resume"]) is not None:
            return False
        records = every_run(store)
        rows = store.rows([record.run_id for record in records])
        if any(row.due_at is not None for row in rows):
            return False
        with_rows = {row.run_id for row in rows}
        steps = {(flow.name, step.from_.value) for flow in self.workload.flows for step in flow.steps}
        going = (RunState.INITIATED, RunState.RUNNING)
        return all(
            record.run_id in with_rows or (record.workflow, record.status) not in steps
            for record in records
            if record.state in going
        )
