"""Starts three workers, gives them parcels, kills one worker in the middle, and shows that every parcel arrives.

python -m examples.fleet [--store URL] [--streamer URL] [--workers N] [--parcels N] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from examples.fleet import app
from flowdsl import Engine, RunState

TICK = 0.05
ROOT = Path(__file__).parents[2]


class Fleet:
    """Worker processes, as `flowdsl run` starts them."""

    def __init__(self, count: int) -> None:
        self._processes = [self._start() for _ in range(count)]
        self.killed = 0

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", "from flowdsl.cli.main import main; main()"]
        return subprocess.Popen([*command, "run", "examples.fleet.app:engine", "--log-level", "warning"], cwd=ROOT)

    def kill_one(self) -> None:
        """As if a machine lost its power; another worker takes its place."""
        victim = self._processes.pop(0)
        victim.kill()
        victim.wait()
        self.killed += 1
        self._processes.append(self._start())

    def stop(self) -> bool:
        """Drain all. True: each ended cleanly, or before it had begun."""
        for process in self._processes:
            process.terminate()
        codes = [process.wait() for process in self._processes]
        return all(code in (0, -signal.SIGTERM) for code in codes)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[app.STORE] = options.store or f"sqlite:///{Path(folder).resolve()}/fleet.db"
        os.environ[app.STREAMER] = options.streamer or ""
        client = app.client()
        fleet = Fleet(options.workers)
        try:
            result = deliver(client, fleet, options.parcels, Console(stderr=True))
        finally:
            clean = fleet.stop()
            client.stop()
    show({**result, "workers": options.workers, "killed": fleet.killed, "clean_stop": clean}, options.json)
    return 0 if clean and result["delivered"] == options.parcels and result["gapless"] == options.parcels else 1


def deliver(client: Engine, fleet: Fleet, count: int, console: Console) -> dict[str, float]:
    """Start the runs, kill a worker when a third has arrived, wait for the rest; what the histories say."""
    batch = uuid.uuid4().hex[:8]
    began = time.perf_counter()
    handles = client.trigger_many(app.parcels, [(f"{batch}-{number}", app.Parcel(weight_g=500)) for number in range(count)])
    waiting = {handle.run_id for handle in handles}
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("parcels delivered", total=count)
        for position, handle in enumerate(handles):
            handle.wait()
            progress.update(bar, completed=position + 1)
            if position == count // 3:
                fleet.kill_one()
    seconds = time.perf_counter() - began
    records = [handle.record() for handle in handles]
    histories = [handle.history() for handle in handles]
    gapless = sum([row.version for row in rows] == [1, 2, 3, 4] for rows in histories)
    by_worker = Counter(row.actor for rows in histories for row in rows[1:])
    return {
        "parcels": len(waiting),
        "delivered": sum(record.state is RunState.COMPLETED for record in records),
        "gapless": gapless,
        "instances_that_worked": len(by_worker),
        "seconds": round(seconds, 2),
        "parcels_per_s": round(count / seconds, 1),
    }


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m examples.fleet", description=__doc__)
    add = parser.add_argument
    add("--store", help="database URL, its tables made by `flowdsl db upgrade` (default: an SQLite file that is deleted again)")
    add("--streamer", help="broker URL, e.g. amqp://guest:guest@127.0.0.1// (default: none, workers look into the store)")
    add("--workers", type=int, default=3)
    add("--parcels", type=int, default=300)
    add("--json", action="store_true", help="one JSON object instead of a table")
    return parser.parse_args(arguments)


def show(result: dict[str, float], as_json: bool) -> None:
    if as_json:
        print(json.dumps(result))
        return
    table = Table(show_header=False, title="The fleet", title_justify="left")
    for name, value in result.items():
        table.add_row(name.replace("_", " "), f"{value}")
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
