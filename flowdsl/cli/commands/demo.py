"""flowdsl demo: what a newcomer sees first."""

from __future__ import annotations

import logging
import tempfile
import threading
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from flowdsl.cli.console import out
from flowdsl.cli.demo_workflow import SUSPICIOUS, Order, orders
from flowdsl.cli.render import drawing, state_text, timeline
from flowdsl.cli.timeline_view import TimelineView
from flowdsl.clock import Clock, SystemClock
from flowdsl.engine.engine import Engine
from flowdsl.errors import FlowError
from flowdsl.model.query import MAX_PAGE
from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState

LOOK = 0.05
"""Seconds between two looks at the runs."""
PATIENCE = 60.0
"""Seconds after which something is wrong with this machine."""


def demo(
    count: Annotated[int, typer.Option("--orders", "-n", min=10, max=MAX_PAGE, help="How many orders to run.")] = 200,
) -> None:
    """Run a small workflow on a temporary SQLite file and show what became of it."""
    logging.getLogger("flowdsl").setLevel(logging.CRITICAL)  # a step that fails is part of the show
    console, clock = out(), SystemClock()
    with tempfile.TemporaryDirectory(prefix="flowdsl-demo-") as folder:
        url = f"sqlite:///{Path(folder) / 'demo.db'}"
        console.print(Text(f"{count} orders in a web shop: pay, pack, ship. Every transition is stored in SQLite as it happens."))
        with Engine.from_url(orders, store=url) as engine:
            began = clock.monotonic()
            engine.trigger_many(orders, _order_book(count))
            records = _follow(engine, console, clock, count)
            seconds = clock.monotonic() - began
            versions = sum(record.version for record in records)
            console.print(Text(f"{versions} changes stored in {seconds:.1f} s, {versions / seconds:.0f} a second.\n"))
            console.print(_outcomes(records))
            paused = [record for record in records if record.state is RunState.PAUSED]
            for record in paused:
                engine.handle(record.run_id).resume(actor="ada")
            _follow(engine, console, clock, count)
            console.print(Text(f"Ada had a look at the {len(paused)} that were paused; now all have ended.\n"))
            told = engine.latest(orders, "order-3")
            console.print(Text("One of them, as flowdsl show prints it (its card terminal failed twice):\n", style="bold"))
            view = TimelineView.of(told.record(), told.history(), told.pending(), with_object=True)
            console.print(timeline(view, clock.now()))
    console.print(Text("\nThe workflow, as flowdsl graph flowdsl.cli.demo_workflow -f text draws it:\n", style="bold"))
    console.print(drawing(orders.graph.diagram()), soft_wrap=True)
    console.print(Text(f"\nIts code: {orders.place.file}", style="dim"), soft_wrap=True)


def _order_book(count: int) -> list[tuple[str, Order]]:
    """The same orders every time: every 17th is free, every 23rd suspicious, every 7th from the third on has a bad terminal."""
    return [
        (
            f"order-{number}",
            Order(
                amount=0 if number % 17 == 0 else SUSPICIOUS + number if number % 23 == 9 else 10 + number % 50,
                items=1 + number % 5,
                terminal_fails=2 if number % 7 == 3 else 0,
            ),
        )
        for number in range(1, count + 1)
    ]


def _follow(engine: Engine, console: Console, clock: Clock, count: int) -> Sequence[RunRecord]:
    """A bar until every run has ended or waits for a person; then the runs."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    pause = threading.Event()
    end = clock.monotonic() + PATIENCE
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("orders", total=count)
        while True:
            records = engine.runs(orders, limit=count).runs
            done = sum(1 for record in records if record.state.stopped)
            progress.update(task, completed=done)
            if done == count:
                return records
            if clock.monotonic() > end:
                raise FlowError(f"only {done} of {count} orders were done in {timedelta(seconds=PATIENCE)}.")
            pause.wait(LOOK)


def _outcomes(records: Sequence[RunRecord]) -> RenderableType:
    """How many ended how."""
    counted = Counter((record.state, record.status, record.reason or "") for record in records)
    table = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False, show_edge=False)
    table.add_column("orders", justify="right")
    table.add_column("state")
    table.add_column("status")
    table.add_column("why")
    for (state, status, reason), number in sorted(counted.items()):
        table.add_row(str(number), state_text(state.name.lower()), status, Text(reason, style="dim"))
    return table
