"""The plan of one simulation: everything that it depends on, drawn from a seed or written down."""

from __future__ import annotations

import random
from dataclasses import dataclass, fields, replace
from enum import Enum

from flowdsl.testing.simulation.fault import EVENT_FAULTS, Fault
from flowdsl.testing.simulation.workloads import WORKLOADS


class StoreKind(Enum):
    """Where simulated runs are stored."""

    MEMORY = "memory"
    SQLITE = "sqlite"
    """A file in a temporary folder; needs the SQL adapter, which is installed with flowdsl."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is simulated. The same plan gives the same history, on every machine."""

    seed: int
    store: StoreKind = StoreKind.MEMORY
    workload: str = "linear"
    workers: int = 2
    clients: int = 1
    runs: int = 4
    rounds: int = 200
    """How many things happen before the faults end."""
    streamer: bool = False
    handoff: bool = True
    one_machine: bool = False
    """Workers run on one machine and see at once that a neighbour's process has ended."""
    interruptions: float = 0.1
    """How likely it is that others act between two calls of a process."""
    intensity: float = 1.0
    faults: frozenset[Fault] = frozenset()
    most_faults: int | None = None
    """Only the first so many faults strike."""

    @classmethod
    def draw(cls, seed: int, store: StoreKind = StoreKind.MEMORY) -> Plan:
        """The plan of a seed."""
        rng = random.Random(f"{seed}/plan")
        streamer = rng.random() < 0.5
        possible = [fault for fault in Fault if streamer or fault not in EVENT_FAULTS]
        count = rng.choice((0, 1, 2, 3, 5, 8, len(possible)))
        return cls(
            seed=seed,
            store=store,
            workload=rng.choice(list(WORKLOADS)),
            workers=rng.choice((1, 2, 2, 3, 3, 4)),
            clients=rng.choice((0, 1, 2)),
            runs=rng.choice((1, 2, 4, 6, 10)),
            rounds=rng.choice((60, 120, 200, 300)),
            streamer=streamer,
            handoff=rng.random() < 0.7,
            one_machine=rng.random() < 0.3,
            interruptions=rng.choice((0.0, 0.05, 0.1, 0.2)),
            intensity=rng.choice((0.5, 1.0, 1.0, 3.0)),
            faults=frozenset(rng.sample(possible, min(count, len(possible)))),
        )

    def command(self) -> str:
        """The line that repeats it: the seed, and what differs from what the seed alone would give."""
        drawn = Plan.draw(self.seed, self.store)
        words = ["python -m flowdsl.testing.simulation", f"--seed {self.seed}"]
        if self.store is not StoreKind.MEMORY:
            words.append(f"--store {self.store.value}")
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name in ("seed", "store") or value == getattr(drawn, one.name):
                continue
            name = one.name.replace("_", "-")
            if isinstance(value, bool):
                words.append(f"--{name}" if value else f"--no-{name}")
            elif isinstance(value, frozenset):
                words.append(f"--{name} {','.join(fault.value for fault in Fault if fault in value) or 'none'}")
            else:
                words.append(f"--{name} {value}")
        return " ".join(words)

    def but(self, **changes: object) -> Plan:
        """The same plan with some fields changed."""
        return replace(self, **changes)  # type: ignore[arg-type]
