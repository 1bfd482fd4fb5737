"""Mixed load with faults for a long time, then a rest: what the workers hold and what the store holds is what it was.

The servers are beaten, the measured workers are not killed: what a process that died held is the system's to clear up. One more
worker, which is not measured, dies again and again."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from flowdsl import Engine
from flowdsl.model.dead_letter import LetterOrigin
from tests.chaos.chaos import Size
from tests.chaos.faults import Faults
from tests.chaos.fleet import Fleet
from tests.chaos.flow import KEEP, parcels
from tests.chaos.load import Load
from tests.chaos.place import Place, count_rows, open_place
from tests.chaos.report import Deed, PlaceReport
from tests.chaos.verdict import await_ends

KEPT = 30
"""Seconds that finished runs are kept: at rest none is left."""
MEASURED = 2
REST = 150
"""Seconds in which the retention, which looks once a minute, and pools of connections come to rest, at most."""
MORE_MEMORY = 12.0
"""Megabytes that a worker may hold more than at its first rest: allocators do not give all back."""
MORE_HANDLES = 4
"""Handles and threads that come and go at rest: a poll's connection, a pool's spare."""

MOST_THREADS = 32
"""Threads for bodies are started when they are first needed, up to the concurrency, and stay."""
TOMBSTONES = ("flowdsl_instance", "flowdsl_candidate", "items: instance")
"""Where a worker that died is remembered: for a day, for an hour, and until another begins that long afterwards."""
NAMES_A_WORKER = 4
"""Each that was held, or saw no database for too long, goes on under another."""
LETTERS = ("items: dead_letter", "items: dead_letter_key")
"""A callback that was kept for a run which its customer then cancelled stays as a dead letter, as docs/lifecycle.md says."""
KEYS = ("items: trigger_key", "items: callback_key", "keys")
"""Idempotency keys stay when their run is removed, as docs/lifecycle.md says; in Redis keys are not told apart."""


@dataclass(frozen=True)
class Held:
    """What a process holds at a moment. `memory` in megabytes."""

    memory: float
    threads: int
    handles: int
    sockets: int


def held(pid: int) -> Held:
    """As Linux says."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    links = [_link(path) for path in Path(f"/proc/{pid}/fd").iterdir()]
    sockets = sum(link.startswith("socket:") for link in links)
    return Held(round(int(status["VmRSS"].split()[0]) / 1024, 1), int(status["Threads"]), len(links), sockets)


def _link(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:  # closed meanwhile
        return ""


def soak(name: str, minutes: float, rate: float, seed: int, logs: Path) -> PlaceReport:
    """In: a place's name; how long the load lasts; runs started a second."""
    report = PlaceReport(name)
    with open_place(name) as place, ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flowdsl-soak-")))
        _Soak(place, rate, random.Random(f"{seed} {name}"), folder, report).run(60 * minutes)
        if report.verdict.wrong:
            shutil.copytree(folder, logs / name, dirs_exist_ok=True)
    return report


class _Soak:
    def __init__(self, place: Place, rate: float, chance: random.Random, folder: Path, report: PlaceReport) -> None:
        self._place, self._rate, self._chance, self._report = place, rate, chance, report
        self._client = Engine.client(parcels, store=place.store_url, streamer=place.stream_url)
        self._checker = Engine.client(parcels, store=place.direct_url)
        settings = {KEEP: str(KEPT)}
        for name in ("measured", "victims"):
            (folder / name).mkdir()
        self._fleet = Fleet(place.store_url, place.stream_url, folder / "measured", MEASURED, settings)
        self._victims = Fleet(place.store_url, place.stream_url, folder / "victims", 1, settings)
        self._began = time.monotonic()
        self._runs = 0
        self._cancelled: set[str] = set()

    def run(self, seconds: float) -> None:
        """A short load with every fault, a rest, the long load, a rest."""
        verdict = self._report.verdict
        try:
            self._fleet.await_ready()
            warm = min(0.3 * seconds, 600)
            self._load(warm, "warm")
            before, rows_before = self._rest(), count_rows(self._place.direct_url)
            self._load(seconds - warm, "soak")
            after, rows_after = self._rest(), count_rows(self._place.direct_url)
            letters = self._letters()
        finally:
            self._fleet.kill_all()
            self._victims.kill_all()
            self._client.stop()
            self._checker.stop()
        verdict.blame("measured workers live", self._fleet.troubles)
        verdict.figures |= {"runs": self._runs, "faults": len(self._report.deeds), "victims": self._victims.started}
        for number, (first, last) in enumerate(zip(before, after, strict=True)):
            for what, value in asdict(first).items():
                verdict.figures[f"worker {number}: {what}"] = f"{value} at the first rest, {asdict(last)[what]} at the last"
            verdict.blame("resources come back", (f"worker {number}: {text}" for text in grown(first, last)))
        for table in rows_after:
            verdict.figures[table] = f"{rows_before.get(table, 0)} at the first rest, {rows_after[table]} at the last"
        workers = self._fleet.started + self._victims.started
        verdict.blame("tables come back", left_over(rows_before, rows_after, workers, letters))

    def _load(self, seconds: float, prefix: str) -> None:
        load = Load(self._client, random.Random(self._chance.random()), self._rate, prefix, forgetful=True)
        faults = Faults(self._place, self._fleet, self._chance, spare=True)
        kinds = faults.kinds()
        self._report.absent = faults.absent
        end = time.monotonic() + seconds
        load.begin()
        try:
            while time.monotonic() < end:
                self._chance.shuffle(kinds)
                for kind in kinds:
                    time.sleep(self._chance.uniform(*Size(0).pause))
                    at = time.monotonic()
                    how = kind.strike()
                    self._victims.kill(0)
                    took = round(time.monotonic() - at, 1)
                    self._report.deeds.append(Deed(round(at - self._began, 1), took, kind.name, how))
                    for part in (self._place.store, self._place.stream):
                        part.heal()
                    self._fleet.mend()
                    if time.monotonic() > end and len(self._report.deeds) >= len(kinds):
                        break
            load.end()
        finally:
            load.give_up()
        self._runs += len(load.runs)
        self._cancelled |= load.cancelled
        self._report.verdict.blame("customers were answered as promised", load.troubles)
        stuck = await_ends(self._checker, 180)
        self._report.verdict.blame("no run is stuck", (f"{r.foreign_id} is {r.state.label} in {r.status}" for r in stuck))

    def _letters(self) -> int:
        """Out: how many dead letters there are with good reason."""
        letters = self._checker.dead_letters.list(limit=1000).letters
        odd = [le for le in letters if le.origin != LetterOrigin.CALLBACK or le.foreign_id not in self._cancelled]
        self._report.verdict.blame("nothing is given up", (f"{le.origin} of {le.foreign_id}: {le.error}" for le in odd))
        return len(letters) - len(odd)

    def _rest(self) -> list[Held]:
        """Until nothing becomes less any more."""
        end = time.monotonic() + REST
        while time.monotonic() < end:
            time.sleep(5)
            if not any(self._checker.runs(parcels, limit=1).runs):
                break
        time.sleep(20)
        return [held(worker.pid) for worker in self._fleet.workers]


def grown(first: Held, last: Held) -> list[str]:
    """What a worker holds at last beyond what it held first."""
    found = []
    if last.memory - first.memory > MORE_MEMORY:
        found.append(f"memory grew from {first.memory} to {last.memory} MB")
    for what in ("threads", "handles", "sockets"):
        before, after = getattr(first, what), getattr(last, what)
        if after > max(before + MORE_HANDLES, MOST_THREADS if what == "threads" else 0):
            found.append(f"{what} grew from {before} to {after}")
    return found


def left_over(before: dict[str, int], after: dict[str, int], workers: int, letters: int) -> list[str]:
    """Tables that hold more than at the first rest. In: how many workers and rightful dead letters there have been."""
    found = []
    for name, rows in after.items():
        most = NAMES_A_WORKER * workers if name in TOMBSTONES else letters if name in LETTERS else before.get(name, 0)
        if rows > most and name not in KEYS:
            found.append(f"{name} has {rows} rows, and had {before.get(name, 0)}")
    return found
