"""Measures the library on one store and prints a table, or with --json one JSON object. README.md tells what the words mean."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import OperationalError

from benchmarks import backlog, drain, idle, large, latency, stages, throughput, transport
from benchmarks.scratch import STORES, scratch

WHAT = ("throughput", "latency", "backlog", "drain", "idle", "profile", "transport", "large")


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    try:
        if options.quick:
            for kind in ("memory", "sqlite"):
                show(throughput.measure(kind, runs=200, quick=True), options.json)
        else:
            show(measure(options), options.json)
    except OperationalError as error:
        print(f"no {options.store} to measure: {error.orig}. Name another server with --url.", file=sys.stderr)
        return 1
    return 0


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """One measurement, as the command line asks for it."""
    kind, url, handoff = options.store, options.url, options.handoff == "on"
    if options.what == "throughput":
        return throughput.measure(
            kind,
            runs=options.runs or 5000,
            url=url,
            processes=options.processes,
            trigger=options.trigger,
            handoff=handoff,
            step_ms=options.step_ms,
            streamer=options.streamer,
        )
    if options.what == "latency":
        with scratch(kind, url) as own:
            return latency.measure(kind, own, options.runs or 500, handoff=handoff, streamer=options.streamer)
    if options.what == "backlog":
        sizes = [options.runs] if options.runs else [*backlog.SIZES, *([backlog.LARGE] if options.large else [])]
        return backlog.measure(kind, sizes, url)
    if options.what == "drain":
        return drain.measure(kind, options.runs or 100_000, options.left, url=url, streamer=options.streamer, handoff=handoff)
    if options.what == "large":
        return large.measure(url, finished=options.runs or large.FINISHED)
    if options.what == "idle":
        return idle.measure(kind, options.seconds, url, options.timers)
    if options.what == "transport":
        return transport.measure(options.streamer, options.runs or 20_000)
    return stages.measure(kind, options.runs or 3000, url, handoff=handoff)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("what", nargs="?", choices=WHAT, default="throughput")
    add("--store", choices=STORES, default="sqlite")
    add("--url", help="the server to make the scratch database on (default: the one on the standard port); for sqlite, a file")
    add("--streamer", help="a broker's URL, e.g. amqp://guest:guest@127.0.0.1:5672//?prefix=bench. (default: none)")
    add(
        "--runs",
        type=positive,
        help="runs to measure (throughput 5000, latency 500, profile 3000); backlog: runs that wait; drain: the same (100000); "
        "transport: events (20000)",
    )
    add("--processes", type=int, default=0, help="worker processes beside a client that triggers; 0: one engine does both")
    add("--trigger", choices=["many", "one"], default="many", help="in batches, or one by one from 16 threads")
    add("--handoff", choices=["on", "off"], default="on", help="off: every row goes through the store")
    add("--step-ms", type=float, default=0.0, help="how long each step waits (default: %(default)s)")
    add("--seconds", type=float, default=10.0, help="how long to watch an idle worker (default: %(default)s)")
    add("--timers", type=int, default=0, help="idle: how many timers wait meanwhile (default: %(default)s)")
    add("--left", type=float, default=0.0, help="drain: how long the backlog is left alone before, in seconds")
    add("--large", action="store_true", help="backlog: 100,000 waiting runs as well")
    add("--quick", action="store_true", help="a small throughput run of memory and sqlite; the figures mean nothing")
    add("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args(arguments)
    if options.what == "transport" and not options.streamer:
        parser.error("transport measures a --streamer")
    return options


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("1 or more")
    return number


def show(figures: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(figures))
        return
    table = Table(show_header=False, title=f"{figures.get('store') or figures['streamer']}", title_justify="left")
    for name, value in figures.items():
        if isinstance(value, dict) and name != "plans":
            for part, inner in value.items():
                table.add_row(f"{name}: {part}", shown(inner))
        elif name != "plans":
            table.add_row(name, shown(value))
    Console().print(table)
    for question, plans in figures.get("plans", {}).items():
        print(f"\n-- {question}", *plans, sep="\n")


def shown(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


if __name__ == "__main__":
    sys.exit(main())
