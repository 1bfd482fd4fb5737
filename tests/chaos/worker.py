"""A worker process of the fleet: `python -m tests.chaos.worker STORE STREAMER`. SIGTERM drains it."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from flowdsl import Engine
from flowdsl.clock import SystemClock
from flowdsl.errors import RoleSchedulerError, StoreError, StreamerError
from tests.chaos.flow import parcels

log = logging.getLogger("chaos.worker")
BEAT, LAPSE, LEASE = timedelta(milliseconds=500), timedelta(seconds=3), timedelta(seconds=3)
DRAIN = timedelta(seconds=20)
JUMP = "CHAOS_JUMP"
"""Names a file that says by how many seconds this process's time of day is wrong."""


def let_the_clock_jump(path: Path) -> None:
    """Nothing of the library but its clock reads the time of day. Not libfaketime: under it clock_nanosleep refuses to sleep on
    the monotonic clock unless that jumps as well, which no machine's does. Not Engine(clock=): stores would count by it."""

    def now(self: SystemClock) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=float(path.read_text()))

    SystemClock.now = now  # type: ignore[method-assign]


def main() -> int:
    store, streamer = sys.argv[1:]
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    if path := os.environ.get(JUMP):
        let_the_clock_jump(Path(path))
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: over.set())
    while not over.is_set():
        engine = Engine.from_url(
            parcels, store=store, streamer=streamer or None, beat=BEAT, lapse=LAPSE, lease=LEASE, drain=DRAIN
        )
        try:
            engine.start()
        except (StoreError, StreamerError, RoleSchedulerError) as error:  # the servers are down: as a supervisor would, again
            log.warning("not started: %s", error)
            engine.stop()
            over.wait(0.5)
            continue
        print("ready", flush=True)
        over.wait()
        return 0 if engine.stop() else 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
