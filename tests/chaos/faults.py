"""What is done to a fleet and its servers: each is done, and undone."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.chaos.fleet import Fleet
from tests.chaos.place import Part, Place
from tests.chaos.worker import LAPSE

ZOMBIE = 1.6 * LAPSE.total_seconds()
"""Seconds that a process is held: its claims and leases lapse meanwhile."""
HOLE = 1.4 * LAPSE.total_seconds()
"""Seconds of a black hole: heartbeats fail beyond the lapse."""
FULL = 3.0
"""Seconds of a full disk."""
HOUR = 3600.0
MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Fault:
    """A kind of fault. `strike` does it to the end and says to whom."""

    name: str
    strike: Callable[[], str]


class Faults:
    """Every kind that this place can have. In: the chance of the seed; whether no worker is to be ended."""

    def __init__(self, place: Place, fleet: Fleet, chance: random.Random, *, spare: bool = False) -> None:
        self._place, self._fleet, self._chance, self._spare = place, fleet, chance, spare
        self.absent: dict[str, str] = {}
        """Kinds that cannot be had here: why."""

    def kinds(self) -> list[Fault]:
        found = [Fault("SIGSTOP beyond the lease, SIGCONT", self._freeze)]
        if not self._spare:
            found += [
                Fault("kill -9 of a worker", self._kill),
                Fault("kill -9 of all workers", self._kill_all),
                Fault("SIGTERM to a worker", self._drain),
            ]
        for part in (self._place.store, self._place.stream):
            found += [
                Fault(f"{part.name} killed and started", partial(self._restart, part)),
                Fault(f"connections to {part.name} cut", partial(self._cut, part)),
                Fault(f"black hole before {part.name}", partial(self._hole, part)),
            ]
        if (empty := self._place.stream.empty) is not None:
            found.append(Fault(f"{self._place.stream.name} emptied", partial(self._empty, empty)))
        else:
            self.absent["stream emptied"] = "what RabbitMQ has confirmed it keeps; the place on Redis has it"
        if self._place.disk is not None:
            disk = self._place.disk
            found.append(Fault(f"disk of {self._place.store.name} full", partial(self._fill, disk)))
        else:
            self.absent["disk full"] = self._place.why_no_disk
        found.append(Fault("clock of a worker jumps", self._jump))
        return found

    def _victim(self) -> int:
        return self._chance.randrange(self._fleet.size)

    def _kill(self) -> str:
        number = self._victim()
        self._fleet.kill(number)
        return f"worker {number}"

    def _kill_all(self) -> str:
        for number in range(self._fleet.size):
            self._fleet.kill(number)
        return "a cold start"

    def _drain(self) -> str:
        number = self._victim()
        self._fleet.drain(number)
        return f"worker {number}"

    def _freeze(self) -> str:
        number = self._victim()
        freeze = self._fleet.freeze(number)
        self._meanwhile(ZOMBIE, number)
        self._fleet.thaw(freeze)
        return f"worker {number}, for {ZOMBIE:.1f} s"

    def _restart(self, part: Part) -> str:
        down = self._chance.uniform(0.1, 2)
        part.restart(down)
        return f"down for {down:.1f} s and its start"

    def _cut(self, part: Part) -> str:
        times = self._chance.randint(1, 4)
        for _ in range(times):
            part.proxy.cut()
            time.sleep(self._chance.uniform(0.05, 0.4))
        return f"{times} times"

    def _hole(self, part: Part) -> str:
        part.proxy.silence()
        self._meanwhile(HOLE, None)
        part.proxy.speak()
        part.proxy.cut()  # what was swallowed is missing from what they hear
        return f"{HOLE:.1f} s, then cut"

    def _empty(self, empty: Callable[[], None]) -> str:
        empty()
        return "FLUSHALL"

    def _fill(self, disk: Path) -> str:
        ballast = disk / "ballast"
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(MEGABYTE // 4))
            except OSError:
                pass
        size = os.path.getsize(ballast)
        time.sleep(FULL)
        ended = self._place.store.server.ended
        ballast.unlink()
        self._place.store.heal()
        what = "the server ended of it and was started" if ended else "the server lived"
        return f"{FULL:.0f} s, with {size // MEGABYTE} MB; {what}"

    def _jump(self) -> str:
        seconds = self._chance.choice([-HOUR, HOUR, 24 * HOUR, -60.0])
        self._fleet.jump(seconds)
        time.sleep(3)
        self._fleet.jump(0)
        return f"worker 0, {seconds:+.0f} s for 3 s, and back"

    def _meanwhile(self, seconds: float, spared: int | None) -> None:
        """Wait; sometimes another worker dies in it."""
        number, strikes = self._victim(), self._chance.random() < 0.3
        time.sleep(seconds / 2)
        if strikes and number != spared and not self._spare:
            self._fleet.kill(number)
        time.sleep(seconds / 2)
