"""What became of every run, and of every promise."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from flowdsl import Engine, RunState
from flowdsl.model.history import Cause, HistoryRow
from flowdsl.model.record import RunRecord
from tests.chaos.fleet import Freeze
from tests.chaos.flow import EDGES, TRAILS, Fate, parcels
from tests.chaos.ledger import Call
from tests.chaos.load import Load, Stop

UNFINISHED = (RunState.INITIATED, RunState.RUNNING, RunState.PAUSED)
MOVES = frozenset({Cause.STEP, Cause.REPEAT, Cause.CALLBACK, Cause.TIMEOUT})
STILL = frozenset({RunState.PAUSED, RunState.CANCELLED, RunState.COMPLETED})
AWAKE = 2.0
"""Seconds that a process which was held may need to see that it was, after which it must call nothing old."""
SHOWN = 20


@dataclass
class Verdict:
    """Figures, and what is wrong; nothing wrong: the promises were kept."""

    figures: dict[str, float | str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def blame(self, promise: str, cases: Iterable[str]) -> None:
        found = list(cases)
        if found:
            more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
            self.wrong.append(f"{promise}: {'; '.join(found[:SHOWN])}{more}")


def await_ends(client: Engine, patience: float) -> list[RunRecord]:
    """Until every run has ended. Out: those that have not, after `patience` seconds."""
    end = time.monotonic() + patience
    while left := unfinished(client):
        if time.monotonic() > end:
            return left
        time.sleep(0.5)
    return []


def unfinished(client: Engine) -> list[RunRecord]:
    return list(client.runs(parcels, states=UNFINISHED, limit=100).runs)


def every_run(client: Engine) -> list[RunRecord]:
    page = client.runs(parcels, limit=100)
    found = list(page.runs)
    while page.next is not None:
        page = client.runs(parcels, limit=100, after=page.next)
        found += page.runs
    return found


def judge(client: Engine, load: Load, calls: Sequence[Call], freezes: Sequence[Freeze], stuck: Sequence[RunRecord]) -> Verdict:
    """In: an engine that asks the store past the proxies, when everything is at rest."""
    verdict = Verdict()
    records = every_run(client)
    histories = {record.run_id: client.handle(record.run_id).history() for record in records}
    verdict.blame("customers were answered as promised", load.troubles)
    verdict.blame("no run is stuck", (f"{r.foreign_id} is {r.state.label} in {r.status} ({r.last_error})" for r in stuck))
    _lost(verdict, load, records)
    for record in records:
        verdict.wrong += broken_history(record, histories[record.run_id])
        if (wrong := broken_effect(record)) is not None:
            verdict.wrong.append(wrong)
    zombies = calls_after_a_stop(verdict, calls, load.stops, freezes)
    broken_keys(verdict, calls)
    states = Counter(record.state.label.lower() for record in records)
    moved = sum(row.cause in MOVES for rows in histories.values() for row in rows)
    needed = sum(row.cause in (Cause.STEP, Cause.REPEAT, Cause.TIMEOUT) for rows in histories.values() for row in rows)
    verdict.figures |= {"runs": len(records), **states, "transitions": moved, "bodies called": len(calls)}
    verdict.figures |= {"bodies called more often than their effect was stored": len(calls) - needed}
    verdict.figures |= {"bodies begun after a stop by a process that had been held": zombies, **dict(sorted(load.counts.items()))}
    return verdict


def _lost(verdict: Verdict, load: Load, records: Sequence[RunRecord]) -> None:
    times = Counter(record.foreign_id for record in records)
    verdict.blame("no run is lost", (name for name in load.runs if name not in times))
    verdict.blame("each run was started once", (name for name, number in times.items() if number > 1))
    gone = (r.foreign_id for r in records if r.state is RunState.CANCELLED and r.foreign_id not in load.cancelled)
    verdict.blame("nothing is cancelled unasked", gone)


def broken_history(record: RunRecord, rows: Sequence[HistoryRow]) -> list[str]:
    """What is wrong with the history of one run."""
    name, wrong = record.foreign_id, []
    if [row.version for row in rows] != list(range(1, record.version + 1)):
        wrong.append(f"gapless history: {name} has versions {[row.version for row in rows]}, and is at {record.version}")
    if len({row.change_id for row in rows}) != len(rows):
        wrong.append(f"each transition once: {name} has a change twice")
    for before, after in pairwise(rows):
        if (after.from_status, after.from_state) != (before.to_status, before.to_state):
            wrong.append(f"gapless history: {name} breaks off at version {after.version}")
        if after.cause in MOVES and before.to_state in STILL:
            wrong.append(f"no step after a stop: {name} moved at version {after.version}, being {before.to_state.label}")
    moves = [(row.from_status, row.to_status) for row in rows if row.cause in MOVES]
    if len(set(moves)) != len(moves):
        wrong.append(f"each transition once: {name} made {moves}")
    if strange := set(moves) - EDGES:
        wrong.append(f"declared transitions only: {name} made {strange}")
    return wrong


def broken_effect(record: RunRecord) -> str | None:
    """Whether the object of a run holds each effect once. None: it does."""
    assert record.payload is not None
    parcel = parcels.codec.decode(record.payload)[0]
    assert parcel is not None
    expected = TRAILS[Fate(parcel.fate)]
    if parcel.trail == (expected if record.state is RunState.COMPLETED else expected[: len(parcel.trail)]):
        return None
    return f"each effect once: {record.foreign_id}, {record.state.label}, holds {parcel.trail}"


def calls_after_a_stop(verdict: Verdict, calls: Sequence[Call], stops: Sequence[Stop], freezes: Sequence[Freeze]) -> int:
    """Nothing is called for a run that its customer knows to be stopped, but by a process that was held in the moment between
    its look and its call. Out: how often that was."""
    by_run: dict[str, list[Stop]] = defaultdict(list)
    for stop in stops:
        by_run[stop.run_id].append(stop)
    zombies = 0
    for call in calls:
        for stop in by_run[call.run_id]:
            if stop.since < call.at < stop.until:
                if any(f.pid == call.pid and f.since < stop.since and f.since < call.at < f.until + AWAKE for f in freezes):
                    zombies += 1
                else:
                    late = call.at - stop.since
                    verdict.wrong.append(f"no step after a stop: {call.name} of {call.run_id} began {late:.3f} s after it")
    return zombies


def broken_keys(verdict: Verdict, calls: Sequence[Call]) -> None:
    keys: dict[tuple[str, int, str], set[str]] = defaultdict(set)
    for call in calls:
        keys[call.run_id, call.task_version, call.name].add(call.key)
    several = (f"{name} of {run_id}" for (run_id, _, name), found in keys.items() if len(found) > 1)
    verdict.blame("every call of one transition has the same idempotency key", several)
