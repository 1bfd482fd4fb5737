"""A fleet works in a place while faults are done to it; then everything is looked at."""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from flowdsl import Engine
from tests.chaos.faults import Faults
from tests.chaos.fleet import Fleet
from tests.chaos.flow import parcels
from tests.chaos.ledger import Ledger
from tests.chaos.load import Load
from tests.chaos.place import Place, open_place
from tests.chaos.report import Deed, PlaceReport
from tests.chaos.verdict import await_ends, judge


@dataclass(frozen=True)
class Size:
    """In each place: every kind of fault strikes once, and again until `seconds` are over."""

    seconds: float
    workers: int = 3
    rate: float = 20
    """Runs started a second."""
    pause: tuple[float, float] = (0.3, 1.5)
    """Seconds from the end of a fault to the next."""
    patience: float = 120
    """Seconds after the last fault in which every run must end."""


SIZES = {"smoke": Size(0), "standard": Size(255), "night": Size(4 * 3600, pause=(0.5, 8))}


def chaos(name: str, size: Size, seed: int, logs: Path) -> PlaceReport:
    """In: a place's name; where the workers' logs are kept when something is wrong."""
    report = PlaceReport(name)
    with open_place(name) as place, ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flowdsl-chaos-fleet-")))
        _run(place, size, random.Random(f"{seed} {name}"), folder, report)
        if report.verdict.wrong:
            shutil.copytree(folder, logs / name, dirs_exist_ok=True)
    return report


def _run(place: Place, size: Size, chance: random.Random, folder: Path, report: PlaceReport) -> None:
    client = Engine.client(parcels, store=place.store_url, streamer=place.stream_url)
    checker = Engine.client(parcels, store=place.direct_url)
    fleet = Fleet(place.store_url, place.stream_url, folder, size.workers)
    load = Load(client, random.Random(chance.random()), size.rate, "p")
    try:
        fleet.await_ready()
        load.begin()
        _strike(place, size, chance, fleet, report)
        healed = time.monotonic()
        load.end()
        answered = time.monotonic() - healed
        stuck = await_ends(checker, size.patience)
        settled = time.monotonic() - healed
        fleet.end()
        drained = time.monotonic() - healed - settled
        report.verdict = judge(checker, load, list(Ledger(folder / "ledger").calls()), fleet.freezes, stuck)
    finally:
        load.give_up()
        fleet.kill_all()
        client.stop()
        checker.stop()
    report.verdict.blame("workers live and drain", fleet.troubles)
    log = fleet.log()
    report.verdict.blame("no thread dies", (line for line in log if line.startswith("Exception in thread")))
    report.verdict.figures |= {
        "faults": len(report.deeds),
        "workers started": fleet.started,
        "seconds from the end of the faults until the last customer was answered": round(answered, 1),
        "seconds from the end of the faults until the last run had ended": round(settled, 1),
        "seconds of the customers' longest call": round(load.longest, 1),
        "seconds until all workers had drained": round(drained, 1),
        "warnings in the workers' logs": sum(" WARNING " in line for line in log),
        "errors in the workers' logs": sum(" ERROR " in line for line in log),
    }


def _strike(place: Place, size: Size, chance: random.Random, fleet: Fleet, report: PlaceReport) -> None:
    faults = Faults(place, fleet, chance)
    kinds = faults.kinds()
    report.absent = faults.absent
    began = time.monotonic()
    while not report.deeds or time.monotonic() - began < size.seconds:
        chance.shuffle(kinds)
        for fault in kinds:
            time.sleep(chance.uniform(*size.pause))
            at = time.monotonic() - began
            how = fault.strike()
            report.deeds.append(Deed(round(at, 1), round(time.monotonic() - began - at, 1), fault.name, how))
            place.store.heal()
            place.stream.heal()
            fleet.mend()
            if report.deeds[len(kinds) :] and time.monotonic() - began > size.seconds:
                break
