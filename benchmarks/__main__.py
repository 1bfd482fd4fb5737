"""`python -m benchmarks throughput|latency|backlog|idle --store memory|sqlite|postgresql|mysql`: one JSON object, or a table."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import backlog, idle, limit, throughput
from benchmarks.scratch import STORES, scratch


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    if options.quick:
        for kind in ("memory", "sqlite"):
            show(throughput.measure(kind, runs=200, quick=True), options.json)
        return 0
    if options.what == "throughput":
        figures = throughput.measure(
            options.store,
            runs=options.runs,
            url=options.url,
            processes=options.processes,
            trigger=options.trigger,
            handoff=options.handoff == "on",
            step_ms=options.step_ms,
        )
    elif options.what == "latency":
        figures = latency(options.store, options.runs, options.url)
    elif options.what == "backlog":
        figures = backlog.measure(options.store, options.runs, options.url)
    else:
        figures = idle.measure(options.store, options.seconds, options.url)
    show(figures, options.json)
    return 0


def latency(kind: str, runs: int, url: str | None) -> dict[str, Any]:
    with scratch(kind, url) as own:
        commit = limit.bare_commit_ms(kind, own)
        times = throughput.latencies(own, runs)
    p50, p99 = times[len(times) // 2], times[int(len(times) * 0.99) - 1]
    return {
        "store": kind,
        "runs": runs,
        "p50_ms": round(p50, 2),
        "p99_ms": round(p99, 2),
        "p99_to_p50": round(p99 / p50, 2),
        "commit_ms": round(commit, 3),
        "p50_in_commits": round(p50 / commit, 1) if commit else None,
    }


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("what", nargs="?", choices=["throughput", "latency", "backlog", "idle"], default="throughput")
    add("--store", choices=STORES, default="sqlite")
    add("--url", help="the database server to make the scratch database on (default: the one on the standard port)")
    add("--runs", type=int, default=5000, help="runs to measure; for backlog: runs that wait (default: %(default)s)")
    add("--processes", type=int, default=1, help="worker processes (default: %(default)s)")
    add("--trigger", choices=["many", "one"], default="many", help="in batches, or one by one from 16 threads")
    add("--handoff", choices=["on", "off"], default="on")
    add("--step-ms", type=float, default=0.0, help="how long each step waits (default: %(default)s)")
    add("--seconds", type=float, default=10.0, help="how long to watch an idle worker (default: %(default)s)")
    add("--quick", action="store_true", help="a small run of everything, to see that it works; the figures mean nothing")
    add("--json", action="store_true", help="one JSON object instead of a table")
    return parser.parse_args(arguments)


def show(figures: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(figures))
        return
    table = Table(show_header=False, title=f"{figures['store']}", title_justify="left")
    for name, value in figures.items():
        table.add_row(name, f"{value:,}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
