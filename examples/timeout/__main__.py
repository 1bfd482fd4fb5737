"""`python -m examples.timeout`: three days in a moment, on a clock that is moved by hand."""

from __future__ import annotations

import sys
from datetime import timedelta

from rich.console import Console

from examples.timeout.reservations import Reservation, Status, build
from flowdsl.testing.stepped import SteppedEngine


def main() -> int:
    console, reminded = Console(), list[str]()
    reservations = build(remind=reminded.append)
    with SteppedEngine(reservations) as engine:
        begin = engine.clock.now()
        for name, held_for in (("ada", timedelta(days=1)), ("grace", timedelta(days=2)), ("alan", None)):
            until = None if held_for is None else begin + held_for
            engine.trigger(reservations, name, Reservation(f"seat of {name}", until))
        for _ in range(6):
            engine.advance(timedelta(hours=12))
            if engine.clock.now() == begin + timedelta(days=1, hours=12):
                engine.callback(reservations, "grace", Status.HELD)
                engine.run_until_idle()
            runs = sorted(engine.runs(reservations).runs, key=lambda run: run.foreign_id)
            now = ", ".join(f"{run.foreign_id} {run.status}" for run in runs)
            console.print(f"after {(engine.clock.now() - begin).total_seconds() / 3600:3.0f} h: {now}; reminded: {reminded}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
