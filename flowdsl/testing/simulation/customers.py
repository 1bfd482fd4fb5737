"""What customers of a simulated fleet do: trigger runs, control them, wait for them - from any process that is up."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.waiter import Wait
from flowdsl.errors import (
    ConflictError,
    FlowError,
    IllegalMoveError,
    RunEndedError,
    RunNotFoundError,
    StoreError,
    WorkflowInProgressError,
)
from flowdsl.model.callback_result import CallbackOutcome
from flowdsl.testing.simulation.journal import Call, Journal, Order, Told, Trigger, Waiting
from flowdsl.testing.simulation.node import Node
from flowdsl.testing.simulation.plan import Plan
from flowdsl.testing.simulation.simulated_engine import SimulatedEngine
from flowdsl.testing.simulation.workload import Cargo, Place, RanOutError, Workload, secret_of


class Customers:
    """All of them. In: the processes that they call; the workflows by name."""

    def __init__(
        self,
        plan: Plan,
        workload: Workload,
        journal: Journal,
        nodes: Sequence[Node],
        workflows: Mapping[str, Workflow[Cargo, Place]],
    ) -> None:
        self._plan = plan
        self._workload = workload
        self._journal = journal
        self._nodes = nodes
        self._workflows = workflows
        self._rng = random.Random(f"{plan.seed}/customers")
        self._started = 0
        self._reasons = 0
        self._waits: list[tuple[Wait, Waiting]] = []

    @property
    def satisfied(self) -> bool:
        """Every run of the plan was asked for."""
        return self._started >= self._plan.runs

    def act(self) -> None:
        """One thing."""
        verbs = self._workload.verbs
        if not self.satisfied and (self._rng.random() < 0.5 or not self._started):
            self.trigger()
        else:
            verb = self._rng.choices(list(verbs), list(verbs.values()))[0]
            if verb == "again":
                self._again()
            elif verb == "wait":
                self._wait()
            elif verb == "call":
                self._call_back()
            else:
                self._order(verb)

    def trigger(self) -> None:
        """The next run, or a few at once."""
        flow = self._rng.choice(self._workload.flows)
        many = self._rng.random() < 0.2
        names = [f"f{self._started + number}" for number in range(self._rng.randint(2, 4) if many else 1)]
        self._started += len(names)
        keyed = self._rng.random() < self._workload.keys
        if many:
            self._trigger_many(flow.name, names, keyed=keyed)
        else:
            start = self._rng.choice(flow.starts()) if self._rng.random() < 0.1 else None
            self._trigger(flow.name, names[0], f"key-{names[0]}" if keyed else None, start)

    def _again(self) -> None:
        """A customer who got no answer, or does not know of the other, triggers the same once more."""
        if self._journal.triggers:
            last = self._rng.choice(self._journal.triggers)
            self._trigger(last.workflow, last.foreign_id, last.key, None)

    def _trigger(self, workflow: str, foreign_id: str, key: str | None, start: Place | None) -> None:
        journal = self._journal
        trigger = Trigger(workflow=workflow, foreign_id=foreign_id, key=key, asked=journal.tick())
        options: dict[str, Any] = {"actor": "customer", "priority": self._rng.choice((0, 0, 0, 5))}
        if key is not None:
            options["idempotency_key"] = key
        if start is not None:
            options["start_status"] = start

        def ask(engine: SimulatedEngine) -> None:
            try:
                handle = engine.trigger(self._workflows[workflow], foreign_id, _cargo(foreign_id), **options)
            except WorkflowInProgressError as error:
                trigger.told, trigger.run_id = Told.REFUSED, error.run_id or ""
            else:
                trigger.told, trigger.run_id = Told.DONE if handle.created else Told.FOUND, handle.run_id
            trigger.answered = journal.tick()

        journal.triggers.append(trigger)
        if not self._call(f"trigger {workflow} {foreign_id} key {key}", ask, lambda: trigger.told):
            journal.triggers.remove(trigger)

    def _trigger_many(self, workflow: str, names: Sequence[str], *, keyed: bool) -> None:
        journal = self._journal
        asked = journal.tick()
        triggers = [
            Trigger(workflow=workflow, foreign_id=name, key=f"key-{name}" if keyed else None, asked=asked) for name in names
        ]

        def ask(engine: SimulatedEngine) -> None:
            handles = engine.trigger_many(
                self._workflows[workflow],
                [(name, _cargo(name)) for name in names],
                key=(lambda foreign_id: f"key-{foreign_id}") if keyed else None,
                actor="customer",
            )
            for trigger, handle in zip(triggers, handles, strict=True):
                trigger.told, trigger.run_id = Told.DONE if handle.created else Told.FOUND, handle.run_id
                trigger.answered = journal.tick()

        journal.triggers.extend(triggers)
        if not self._call(f"trigger {workflow} {', '.join(names)}", ask, lambda: triggers[-1].told):
            del journal.triggers[-len(triggers) :]

    def _order(self, verb: str, run_id: str | None = None) -> None:
        """Pause, resume, cancel, cancel at any price, or have the data deleted."""
        journal = self._journal
        run_id = run_id or self._some_run()
        if run_id is None:
            return
        self._reasons += 1
        reason = f"reason {self._reasons} of {secret_of(self._foreign_ids.get(run_id, ''))}"
        order = Order(verb=verb, run_id=run_id, reason=reason, asked=journal.tick(), asked_at=journal.clock.now())

        def ask(engine: SimulatedEngine) -> None:
            handle = engine.handle(run_id)
            try:
                if verb == "pause":
                    handle.pause(order.reason, "customer")
                elif verb == "resume":
                    handle.resume("customer")
                elif verb == "delete":
                    handle.delete_data(order.reason, "customer")
                else:
                    handle.cancel(order.reason, "customer", force=verb == "force")
            except (IllegalMoveError, ConflictError):
                order.told = Told.REFUSED
            else:
                order.told = Told.DONE
            order.answered = journal.tick()

        journal.orders.append(order)
        if not self._call(f"{verb} {run_id} ({order.reason})", ask, lambda: order.told):
            journal.orders.remove(order)

    def _call_back(self) -> None:
        """A callback: for a run that is known, now and then one that was sent before, or to nobody."""
        journal, rng = self._journal, self._rng
        flow = rng.choice([flow for flow in self._workload.flows if flow.doors])
        if journal.calls and rng.random() < 0.2:
            last = rng.choice(journal.calls)
            self._send(last.workflow, last.foreign_id, Place(last.status), last.key)
            return
        known = [trigger for trigger in journal.triggers if self._workload.flow(trigger.workflow).doors]
        name = f"f{self._started}"  # nobody's
        if known and rng.random() < 0.9:
            trigger = rng.choice(known)
            flow, name = self._workload.flow(trigger.workflow), trigger.foreign_id
        door = rng.choice(flow.doors)
        key = f"call-{len(journal.calls)}" if rng.random() < self._workload.keys else None
        self._send(flow.name, name, door.from_, key)

    def _send(self, workflow: str, foreign_id: str, status: Place, key: str | None) -> None:
        journal = self._journal
        call = Call(
            call_id=f"c{len(journal.calls)}",
            workflow=workflow,
            foreign_id=foreign_id,
            status=status.value,
            key=key,
            asked=journal.tick(),
        )
        payload = f"{call.call_id} {secret_of(foreign_id)}".encode()

        def ask(engine: SimulatedEngine) -> None:
            try:
                result = engine.callback(
                    self._workflows[workflow], foreign_id, status, payload, idempotency_key=key, actor="customer"
                )
            except (RanOutError, ConflictError):
                call.outcome = CallbackOutcome.REFUSED_PAYLOAD  # nothing was stored
            else:
                call.outcome, call.run_id = result.outcome, result.run_id or ""
            call.answered = journal.tick()

        journal.calls.append(call)
        self._call(f"callback {call.call_id} for {foreign_id} in {status.value} key {key}", ask, lambda: call.outcome)

    def _wait(self) -> None:
        run_id, node = self._some_run(), self._somebody()
        if run_id is None or node is None:
            return
        status = self._rng.choice([None, *(place.value for place in Place)])
        waiting = Waiting(run_id=run_id, status=status, node=node.name)

        def ask(engine: SimulatedEngine) -> None:
            wait = engine.core.waiter.wait(run_id, status)
            self._journal.waits.append(waiting)
            self._waits.append((wait, waiting))

        self._call(f"wait for {status or 'the end'} of {run_id}", ask, lambda: "waits", node)
        self.look()

    def look(self) -> None:
        """Read the answers to waits that have come."""
        open_waits: list[tuple[Wait, Waiting]] = []
        for wait, waiting in self._waits:
            if not wait.future.done():
                if not waiting.abandoned:
                    open_waits.append((wait, waiting))
                continue
            waiting.done = True
            error = wait.future.exception()
            if error is None:
                waiting.reached, waiting.version = True, wait.future.result().version
            elif not isinstance(error, RunEndedError):
                self._journal.accidents.append(f"a wait ended with {type(error).__name__}: {error}")
        self._waits = open_waits

    def settle(self) -> None:
        """Before the end: what was paused is resumed now and then, and what was never triggered is."""
        while not self.satisfied:
            self.trigger()
        verbs = self._workload.verbs
        for run_id in dict.fromkeys(trigger.run_id for trigger in self._journal.triggers if trigger.run_id):
            if "resume" in verbs and self._rng.random() < 0.5:
                self._order("resume", run_id)
            if "delete" in verbs and self._rng.random() < 0.5:
                self._order("delete", run_id)
        for _ in range(2 * self._plan.runs if "call" in verbs else 0):
            self._call_back()

    @property
    def _foreign_ids(self) -> Mapping[str, str]:
        return {trigger.run_id: trigger.foreign_id for trigger in self._journal.triggers if trigger.run_id}

    def _some_run(self) -> str | None:
        known = [trigger.run_id for trigger in self._journal.triggers if trigger.told in (Told.DONE, Told.FOUND)]
        return self._rng.choice(known) if known else None

    def _somebody(self) -> Node | None:
        up = [node for node in self._nodes if node.up and not node.leaving]
        return self._rng.choice(up) if up else None

    def _call(
        self, what: str, ask: Callable[[SimulatedEngine], None], told: Callable[[], object], node: Node | None = None
    ) -> bool:
        """In a process that is up. False: nobody could be asked."""
        node = node or self._somebody()
        if node is None:
            return False
        name = node.name

        def guarded(engine: SimulatedEngine) -> None:
            try:
                ask(engine)
            except StoreError as error:
                self._journal.say(name, f"{what}: {error}")
            except RunNotFoundError:
                self._journal.accidents.append(f"{what}: there is no such run, though a trigger had answered with it")
            except FlowError as error:
                self._journal.accidents.append(f"{what}: {type(error).__name__}: {error}")
            else:
                self._journal.say(name, f"{what}: {told()}")

        return node.ask(guarded)


def _cargo(foreign_id: str) -> Cargo:
    return Cargo(foreign_id, secret_of(foreign_id))
