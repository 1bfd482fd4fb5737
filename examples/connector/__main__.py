"""`python -m examples.connector`: a warehouse's events become parcels. Start it again: no event does anything twice."""

from __future__ import annotations

import argparse
import sys
import threading
from collections.abc import Callable, Sequence

import msgspec
from rich.console import Console

from examples.connector.app import STORE
from examples.connector.parcels import Parcel, parcels
from examples.connector.stream import EVENTS, Queue, from_file, lines
from flowdsl import Engine, RunState

PATIENCE_S = 60.0
LEFT_OVER = 2
"""Events of the file that shipped with it that nothing can be made of."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 when every parcel of the file has been shipped."""
    options = argparse.ArgumentParser(prog="python -m examples.connector", description=__doc__)
    options.add_argument("--store", default=STORE, help="the database's URL (default: a file beside this one)")
    options.add_argument("--amqp", help="the URL of a RabbitMQ to send the events through (default: they are read from the file)")
    given = options.parse_args(arguments)

    console = Console()
    queue = None if given.amqp is None else Queue(given.amqp, EVENTS)
    source = from_file(EVENTS) if queue is None else queue.source()
    events = [msgspec.json.decode(line) for line in lines(EVENTS)]
    expected = {event["parcel"] for event in events if isinstance(event.get("weight_g"), int)}
    with Engine.from_url(parcels, store=given.store, sources={"warehouse": source}) as engine:
        done = until(lambda: shipped(engine) == expected and len(engine.dead_letters.list().letters) == LEFT_OVER)
        for run in sorted(engine.runs(parcels, limit=100).runs, key=lambda run: run.foreign_id):
            parcel = engine.latest(parcels, run.foreign_id).run().object
            assert isinstance(parcel, Parcel)
            console.print(f"{run.foreign_id}: {run.status}, label {parcel.label}, driver {parcel.driver}")
        for letter in engine.dead_letters.list().letters:
            console.print(f"dead letter {letter.letter_id} after {letter.attempts} tries: {letter.error}", soft_wrap=True)
    if queue is not None:
        queue.close()
    return 0 if done else 1


def shipped(engine: Engine) -> set[str]:
    return {run.foreign_id for run in engine.runs(parcels, states=[RunState.COMPLETED], limit=100).runs}


def until(done: Callable[[], bool]) -> bool:
    """Wait for it. False: it did not happen."""
    pause = threading.Event()
    for _ in range(int(PATIENCE_S / 0.05)):
        if done():
            return True
        pause.wait(0.05)
    return False


if __name__ == "__main__":
    sys.exit(main())
