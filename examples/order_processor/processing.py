"""Feeds orders to the workflow and follows them to their ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from examples.order_processor.workflow import Order, OrderStatus
from flowdsl import Engine, Run, RunHandle, RunState, WaitTimeoutError, Workflow

BATCH = 200
LOOK = timedelta(seconds=2)


@dataclass
class Outcome:
    """What became of the orders that ended alike."""

    name: str
    count: int = 0
    cents: int = 0


@dataclass
class Summary:
    """What became of all orders."""

    outcomes: list[Outcome]
    """The most frequent first."""
    started: int
    found: int
    """Orders whose run existed before: an earlier process, or another one, started them."""
    unfinished: int
    """Paused: they wait for a person."""

    @property
    def count(self) -> int:
        return self.started + self.found


def process(
    engine: Engine,
    workflow: Workflow[Order, OrderStatus],
    orders: Sequence[Order],
    progress: Callable[[int], None] = lambda _: None,
) -> Summary:
    """Start a run for every order and wait until each has ended or is paused. An order is started once, however often this is
    called: its id is the idempotency key. `progress` is told how many more have ended."""
    handles: list[RunHandle[Order, OrderStatus]] = []
    for begin in range(0, len(orders), BATCH):
        handles += engine.trigger_many(workflow, [(order.order_id, order) for order in orders[begin : begin + BATCH]], key=str)
    outcomes: dict[str, Outcome] = {}
    unfinished = 0
    paused: set[str] = set()
    for handle in handles:
        run = _follow(engine, workflow, handle, paused)
        name = run.status.value if run.state is RunState.COMPLETED else run.state.label.lower()
        outcome = outcomes.setdefault(name, Outcome(name))
        outcome.count += 1
        outcome.cents += run.object.cents
        unfinished += not run.state.finished
        progress(1)
    started = sum(handle.created for handle in handles)
    ranked = sorted(outcomes.values(), key=lambda outcome: (-outcome.count, outcome.name))
    return Summary(ranked, started, len(handles) - started, unfinished)


def _follow(
    engine: Engine, workflow: Workflow[Order, OrderStatus], handle: RunHandle[Order, OrderStatus], paused: set[str]
) -> Run[Order, OrderStatus]:
    """Wait until the run ends, or is paused. `paused` remembers, so that a thousand paused runs do not take a thousand looks."""
    while True:
        if handle.run_id in paused:
            run = handle.run()
            if run.state.stopped:
                return run
            paused.discard(handle.run_id)  # somebody resumed it
        try:
            return handle.wait(timeout=LOOK)
        except WaitTimeoutError:
            paused |= _paused(engine, workflow)


def _paused(engine: Engine, workflow: Workflow[Order, OrderStatus]) -> set[str]:
    found: set[str] = set()
    page = engine.runs(workflow, states=[RunState.PAUSED], limit=500)
    while True:
        found |= {record.run_id for record in page.runs}
        if page.next is None:
            return found
        page = engine.runs(workflow, states=[RunState.PAUSED], limit=500, after=page.next)
