"""Run by the half_migrated session: `half_migrated.py OLD_PYTHON DATABASE_FILE`, with today's Python.

The old code makes the database and starts runs that nobody works on. Today's code opens it, which migrates it. From then on both
work on it at once, each starting runs of its own: every run, whoever started it, must end once, with a history without gaps."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from flowdsl import Engine, Run, Workflow

RUNS = 20
PATIENCE = timedelta(seconds=60)


class Status(StrEnum):
    NEW = "new"
    CHECKED = "checked"
    DONE = "done"


@dataclass
class Parcel:
    stamps: int = 0


parcels = Workflow("parcels", object_type=Parcel, status_type=Status)


@parcels.step(from_=Status.NEW, to=Status.CHECKED)
def check(run: Run[Parcel, Status]) -> Status:
    run.object.stamps += 1
    return Status.CHECKED


@parcels.step(from_=Status.CHECKED, to=Status.DONE)
def send(run: Run[Parcel, Status]) -> Status:
    run.object.stamps += 1
    return Status.DONE


def start(url: str, prefix: str) -> None:
    """Trigger runs and leave them to others."""
    engine = Engine.client(parcels, store=url)
    for number in range(RUNS):
        engine.trigger(parcels, f"{prefix}-{number}", Parcel())
    engine.stop()


def work(url: str, *prefixes: str) -> None:
    """Work until every run of these prefixes has ended as it should."""
    with Engine.from_url(parcels, store=url) as engine:
        for foreign_id in (f"{prefix}-{number}" for prefix in prefixes for number in range(RUNS)):
            handle = engine.latest(parcels, foreign_id)
            run = handle.wait(timeout=PATIENCE)
            versions = [row.version for row in handle.history()]
            assert (run.status, run.object) == (Status.DONE, Parcel(stamps=2)), f"{foreign_id} ended as {run!r}"
            assert versions == list(range(versions[0], versions[0] + 3)), f"the history of {foreign_id} is {versions}"


def orchestrate(old: str, url: str) -> int:
    def side(python: str, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([python, str(Path(__file__).resolve()), *arguments])

    new = sys.executable
    for python, prefix in ((old, "before"), (new, "by-new"), (old, "by-old")):
        if code := side(python, "start", url, prefix).wait():
            return code
    workers = [side(python, "work", url, "before", "by-new", "by-old") for python in (old, new)]
    return max(worker.wait() for worker in workers)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["start", url, prefix]:
            start(url, prefix)
        case ["work", url, *prefixes]:
            work(url, *prefixes)
        case [old, file]:
            sys.exit(orchestrate(old, f"sqlite:///{file}"))
        case _:
            sys.exit(__doc__)
