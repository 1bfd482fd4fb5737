"""Feeds orders to the workflow and follows them to their ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice

from examples.order_processor.workflow import Order, OrderStatus
from flowdsl import Engine, Run, RunHandle, RunState, WaitTimeoutError, Workflow

BATCH = 200
LOOK = timedelta(seconds=2)


@dataclass
class Outcome:
    """What became of the orders that ended alike."""

    name: str
    count: int = 0
    total: float = 0.0


@dataclass
class Summary:
    """What became of all orders."""

    outcomes: dict[str, Outcome]
    started: int
    found: int
    """Orders whose run existed before: this file had been begun by an earlier process."""
    unfinished: int

    @property
    def count(self) -> int:
        return sum(outcome.count for outcome in self.outcomes.values())


def process(
    engine: Engine,
    workflow: Workflow[Order, OrderStatus],
    orders: Iterable[Order],
    progress: Callable[[int], None] = lambda _: None,
) -> Summary:
    """Start a run for every order and wait for all of them. An order is started once, however often this is called: its id is the
    idempotency key. `progress` is told how many more have ended."""
    handles: list[RunHandle[Order, OrderStatus]] = []
    remaining = iter(orders)
    while batch := [(order.order_id, order) for order in islice(remaining, BATCH)]:
        handles += engine.trigger_many(workflow, batch, key=str)
    outcomes: dict[str, Outcome] = {}
    unfinished = 0
    for handle in handles:
        run = follow(handle)
        name = run.status.value if run.state is RunState.COMPLETED else run.state.label.lower()
        outcome = outcomes.setdefault(name, Outcome(name))
        outcome.count += 1
        outcome.total = round(outcome.total + run.object.total, 2)
        unfinished += not run.state.finished
        progress(1)
    started = sum(handle.created for handle in handles)
    return Summary(outcomes, started, len(handles) - started, unfinished)


def follow(handle: RunHandle[Order, OrderStatus]) -> Run[Order, OrderStatus]:
    """Wait until the run ends, or is paused: a paused run waits for a person."""
    while True:
        try:
            return handle.wait(timeout=LOOK)
        except WaitTimeoutError:
            run = handle.run()
            if run.state is RunState.PAUSED:
                return run
