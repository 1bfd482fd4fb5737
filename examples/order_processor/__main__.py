"""Process a file of orders durably. Kill it and start it again: it goes on where it was."""

from __future__ import annotations

import argparse
import signal
import sqlite3
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from examples.order_processor.order_file import SHIPPED, BadLines, OrderFileError, read_orders
from examples.order_processor.processing import process
from examples.order_processor.report import as_json, as_table
from examples.order_processor.services import Services
from examples.order_processor.workflow import build
from flowdsl import Engine, FlowError

OK, UNFINISHED, UNUSABLE, STOPPED = 0, 1, 2, 130
EPILOG = "Exit codes: 0 every order has ended; 1 some are paused; 2 the file or the store cannot be used; 130 stopped."


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code."""
    options = parse(arguments)
    console = Console(stderr=True)
    try:
        with Services(options.ledger, options.call_ms / 1000) as services:
            return run(options, services, console)
    except KeyboardInterrupt:
        console.print("Stopped. Start it again, and it goes on where it was.")
        return STOPPED
    except (FlowError, OrderFileError, OSError, sqlite3.Error) as error:
        console.print(Text(f"error: {error}", style="red"), soft_wrap=True)
        return UNUSABLE


def run(options: argparse.Namespace, services: Services, console: Console) -> int:
    file = read_orders(options.file, options.bad_lines)
    for problem in file.problems:
        console.print(Text(f"left out: {problem}", style="yellow"), soft_wrap=True)
    workflow = build(services, options.workers)
    with Engine.from_url(workflow, store=options.store) as engine, bar(console, options.json) as progress:
        if services.balance().charged and not engine.runs(workflow, limit=1).runs:
            raise OrderFileError(
                f"{options.ledger} has charges, but the store has no orders: they belong to another store."
                " Give another --ledger, or delete that one."
            )
        task = progress.add_task("orders", total=len(file.orders))
        summary = process(engine, workflow, file.orders, lambda ended: progress.advance(task, ended))
    if options.json:
        print(as_json(summary, services.balance()))
    else:
        Console().print(as_table(summary, services.balance(), options.store), soft_wrap=True)
    return UNFINISHED if summary.unfinished else OK


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m examples.order_processor", description=__doc__, epilog=EPILOG)
    parser.add_argument(
        "file", nargs="?", type=Path, default=SHIPPED, help="orders as JSON Lines (default: 1,000 that ship with it)"
    )
    parser.add_argument("--store", default="sqlite:///orders.db", help="URL of the store of runs (default: %(default)s)")
    parser.add_argument(
        "--ledger", type=Path, default=Path("payments.db"), help="the payment provider's book (default: %(default)s)"
    )
    parser.add_argument(
        "--workers", type=positive, help="orders that each step works on at once in this process (default: the library's)"
    )
    parser.add_argument(
        "--bad-lines",
        type=BadLines,
        choices=list(BadLines),
        default=BadLines.STOP,
        help="lines that are no orders: start nothing, or leave them out (default: %(default)s)",
    )
    parser.add_argument("--call-ms", type=float, default=1.0, help="how long a call of a service takes (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    return parser.parse_args(arguments)


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("give 1 or more")
    return number


def bar(console: Console, quiet: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, disable=quiet)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leave like Ctrl-C: running steps finish first
    sys.exit(main())
