"""`python -m examples.order_processor [FILE]`: process a file of orders durably. Kill it and start it again: it goes on."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from examples.order_processor.order_file import SHIPPED, OrderFileError, read_orders
from examples.order_processor.processing import Summary, process
from examples.order_processor.services import Services
from examples.order_processor.workflow import build
from flowdsl import Engine, FlowError


def main(arguments: list[str] | None = None) -> int:
    """0: every order has ended. 1: some are paused. 2: the file or the store cannot be used."""
    options = parse(arguments)
    console = Console(stderr=True)
    workflow = build(Services(options.ledger, options.call_ms / 1000))
    try:
        orders = list(read_orders(options.file))
        with Engine.from_url(workflow, store=options.store) as engine, bar(console, options.json) as progress:
            task = progress.add_task("orders", total=len(orders))
            summary = process(engine, workflow, orders, lambda ended: progress.advance(task, ended))
    except (FlowError, OrderFileError, OSError) as error:
        console.print(f"[red]error:[/] {error}", soft_wrap=True, highlight=False)
        return 2
    if options.json:
        print(json.dumps(asdict(summary)))
    else:
        show(summary, options.store)
    return 1 if summary.unfinished else 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m examples.order_processor", description=__doc__)
    parser.add_argument(
        "file", nargs="?", type=Path, default=SHIPPED, help="orders as JSON Lines (default: 1,000 that ship with it)"
    )
    parser.add_argument("--store", default="sqlite:///orders.db", help="where runs are kept (default: %(default)s)")
    parser.add_argument(
        "--ledger", type=Path, default=Path("payments.jsonl"), help="the payment provider's book (default: %(default)s)"
    )
    parser.add_argument("--call-ms", type=float, default=1.0, help="how long each call of a service takes (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    return parser.parse_args(arguments)


def bar(console: Console, quiet: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, disable=quiet, transient=False)


def show(summary: Summary, store: str) -> None:
    table = Table(title=f"{summary.count} orders", title_justify="left")
    table.add_column("outcome")
    table.add_column("orders", justify="right")
    table.add_column("share", justify="right")
    table.add_column("total", justify="right")
    for outcome in sorted(summary.outcomes.values(), key=lambda outcome: -outcome.count):
        table.add_row(outcome.name, str(outcome.count), f"{outcome.count / summary.count:.1%}", f"{outcome.total:,.2f}")
    console = Console()
    console.print(table)
    if summary.found:
        console.print(f"{summary.found} of them had been started before and were not started again.")
    console.print(f"Look closer:  flowdsl runs --store {store}", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
