"""What the fleet works on: steps that fail now and then, a repeat, a callback, a timeout, a role of one. Each body says in the
ledger that it was called, and leaves its name in the object."""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from flowdsl import Outcome, Run, Workflow
from tests.chaos.ledger import Ledger

LEDGER, KEEP = "CHAOS_LEDGER", "CHAOS_KEEP_SECONDS"
LATE = timedelta(seconds=2)
"""When the timeout of a parcel that nobody collects is due."""
STEP_SECONDS = 0.02
FAILING = 0.03
"""The share of calls of the first step that fail."""


class At(StrEnum):
    NEW = "new"
    PACKED = "packed"
    WAITING = "waiting"
    COLLECTED = "collected"
    DONE = "done"
    EXPIRED = "expired"


class Fate(StrEnum):
    """What is to become of a parcel."""

    COLLECTED = "collected"
    """A callback moves it on."""
    EXPIRED = "expired"
    """Its timeout does."""


@dataclass
class Parcel:
    fate: Fate
    trail: list[str] = field(default_factory=list)
    """The functions whose effect was stored, in order."""


@dataclass
class Collection:
    by: str


def _kept() -> timedelta | None:
    seconds = os.environ.get(KEEP)
    return None if seconds is None else timedelta(seconds=float(seconds))


parcels = Workflow(
    "chaos",
    object_type=Parcel,
    status_type=At,
    defaults={"err_backoff": timedelta(milliseconds=200), "pause_after_err_count": 0, "concurrency": 6},
    keep_completed=_kept(),
    keep_cancelled=_kept(),
)
"""`pause_after_err_count=0`: what kills its process here is not the step."""
ledger = Ledger(os.environ.get(LEDGER))
chance = random.Random()


class Clumsy(Exception):
    """What a body raises now and then."""


def called(name: str, run: Run[Parcel, At]) -> None:
    ledger.note(run.run_id, name, run.record.task_version, run.idempotency_key)


@parcels.step(from_=At.NEW, to=At.PACKED)
def pack(run: Run[Parcel, At]) -> Outcome | At:
    """Fails now and then; answers save-and-repeat the first time."""
    called("pack", run)
    time.sleep(STEP_SECONDS)
    if chance.random() < FAILING:
        raise Clumsy("it fell")
    run.object.trail.append("pack")
    return run.save_and_repeat() if len(run.object.trail) == 1 else At.PACKED


@parcels.step(from_=At.PACKED, to=At.WAITING)
async def store(run: Run[Parcel, At]) -> None:
    """Runs on the loop."""
    called("store", run)
    run.object.trail.append("store")


@parcels.callback(from_=At.WAITING, to=At.COLLECTED)
def collect(run: Run[Parcel, At], payload: Collection) -> None:
    """Somebody came for it."""
    run.object.trail.append(f"collect by {payload.by}")


@parcels.timeout(from_=At.WAITING, to=At.EXPIRED, at=lambda run, now: now + LATE if run.object.fate is Fate.EXPIRED else None)
def expire(run: Run[Parcel, At]) -> None:
    """Nobody did."""
    called("expire", run)
    run.object.trail.append("expire")


@parcels.step(from_=At.COLLECTED, to=At.DONE, parallel_count=2)
def finish(run: Run[Parcel, At]) -> None:
    """By two consumers in the whole fleet."""
    called("finish", run)
    time.sleep(STEP_SECONDS / 4)
    run.object.trail.append("finish")


EDGES = {
    ("new", "new"),
    ("new", "packed"),
    ("packed", "waiting"),
    ("waiting", "collected"),
    ("waiting", "expired"),
    ("collected", "done"),
}
TRAILS = {
    Fate.COLLECTED: ["pack", "pack", "store", "collect by ada", "finish"],
    Fate.EXPIRED: ["pack", "pack", "store", "expire"],
}
"""What the object of a completed run holds."""
