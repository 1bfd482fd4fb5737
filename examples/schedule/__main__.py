"""`python -m examples.schedule`: a few seconds of reports. Start it twice at once: no report is sent twice for a slot."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from rich.console import Console
from rich.table import Table

from examples.schedule.reports import build, subscribe
from flowdsl import Engine

DATABASE = Path(__file__).parent / "reports.db"


def main(arguments: Sequence[str] | None = None) -> int:
    options = argparse.ArgumentParser(prog="python -m examples.schedule", description=__doc__)
    options.add_argument("--store", default=f"sqlite:///{DATABASE}", help="the database's URL (default: a file beside this one)")
    options.add_argument("--sent", type=int, default=6, help="stop after so many reports")
    given = options.parse_args(arguments)

    console, figures, enough, numbers = Console(), count(100), threading.Event(), count(1)

    def send(to: str, text: str) -> None:
        console.print(f"to {to}: {text}")
        if next(numbers) >= given.sent:
            enough.set()

    reports = build(lambda: next(figures), send, spec="* * * * * */2")  # six fields: the last is the second
    with Engine.from_url(reports, store=given.store) as engine:
        subscribe(engine, reports, "acme", "@every 3s", "UTC")
        enough.wait(60)
        shown = Table("schedule", "fires", "runs", "next")
        for schedule in engine.schedules.list(reports):
            upcoming = engine.schedules.preview(reports, schedule.name, 2)
            words = schedule.timetable.describe()
            shown.add_row(schedule.name, words, str(schedule.started), "\n".join(f"{m:%H:%M:%S %Z}" for m in upcoming))
    console.print(shown)
    return 0 if enough.is_set() else 1


if __name__ == "__main__":
    sys.exit(main())
