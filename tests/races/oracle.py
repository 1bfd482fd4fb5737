"""What has to be true after a race, whatever happened in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import msgspec

from flowdsl.dsl.spec import HookEvent
from flowdsl.engine.hooks import EVENT_OF
from flowdsl.engine.kept_callback import KeptCallback
from flowdsl.model.callback_result import CallbackOutcome
from flowdsl.model.dead_letter import DeadLetter
from flowdsl.model.history import Cause, HistoryRow
from flowdsl.model.pending import PendingRow, RowKind
from flowdsl.model.query import RunQuery
from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState, may_move
from tests.races.flow import CANARY, PATIENCE, Call, Said
from tests.races.race import KEYS, Race

S = RunState
CAUSES = {"step": Cause.STEP, "callback": Cause.CALLBACK, "timeout": Cause.TIMEOUT}


class Oracle:
    """In: a race that is over and settled."""

    def __init__(self, race: Race, letters: Sequence[DeadLetter]) -> None:
        self._race = race
        self._letters = letters
        page = race.store.runs(RunQuery(namespace=race.namespace, limit=100))
        assert page.next is None
        self.runs: dict[str, RunRecord] = {run.run_id: run for run in page.runs}
        self.history = {run_id: race.store.history(run_id) for run_id in self.runs}
        self.rows = {run_id: race.store.rows([run_id]) for run_id in self.runs}

    def faults(self) -> Iterator[str]:
        for run_id, run in self.runs.items():
            yield from self._history(run, self.history[run_id])
            yield from self._rows_of(run, self.rows[run_id])
        yield from self._fate_of_callbacks()
        yield from self._timers()
        yield from self._hooks()
        yield from self._ends()

    def remains(self) -> Iterator[str]:
        """What is left of runs whose data was deleted."""
        for run_id, run in self.runs.items():
            if run.state is S.DATA_DELETED:
                yield from map(repr, [run, *self.history[run_id], *(row for row in self.rows[run_id] if row.payload is None)])
                yield from (f"{CANARY}: the payload of {row}" for row in self.rows[run_id] if row.payload is not None)
                yield from (repr(letter) for letter in self._letters if letter.run_id == run_id)

    # -- every history is legal -------------------------------------------------------------------------------------------------

    def _history(self, run: RunRecord, rows: Sequence[HistoryRow]) -> Iterator[str]:
        edges = {(edge.source, edge.target, edge.cause.value) for edge in self._race.flow.graph.edges}
        if [row.version for row in rows] != list(range(1, run.version + 1)):
            yield f"{run.run_id}: versions {[row.version for row in rows]} of {run.version}"
        if (rows[-1].to_status, rows[-1].to_state) != (run.status, run.state):
            yield f"{run.run_id}: the history ends elsewhere"
        if len({row.change_id for row in rows}) != len(rows):
            yield f"{run.run_id}: a change was applied twice"
        for before, row in zip([None, *rows], rows, strict=False):
            where = f"{run.run_id} v{row.version} {row.cause}"
            if before is not None and (row.from_status, row.from_state) != (before.to_status, before.to_state):
                yield f"{where}: it does not follow the version before"
            again = row.from_state is row.to_state and row.cause in (Cause.SWEEP, Cause.CONTROL) and not row.to_state.finished
            if not may_move(row.from_state, row.to_state) and not again:
                yield f"{where}: {row.from_state.label} to {row.to_state.label}"
            if row.from_state is S.PAUSED and row.cause not in (Cause.CONTROL, Cause.AUTO_RESUME):
                yield f"{where}: written on a paused run"
            if row.from_state.finished and row.cause is not Cause.DELETION:
                yield f"{where}: written on a run that had ended"
            moved = row.from_status not in (None, row.to_status)
            if moved and row.cause is not Cause.CONTROL and (row.from_status, row.to_status, row.cause.value) not in edges:
                yield f"{where}: no edge leads from {row.from_status} to {row.to_status}"

    def _rows_of(self, run: RunRecord, rows: Sequence[PendingRow]) -> Iterator[str]:
        for row in rows:
            where = f"{run.run_id}: {row.kind.name} row {row.row_id}"
            if row.owner is not None:
                yield f"{where} is in somebody's hands"
            if row.kind is RowKind.HOOK:
                yield f"{where} has not been told"
            if run.state.finished:
                yield f"{where} outlived its run"
            if run.state is S.PAUSED and row.due_at is not None:
                yield f"{where} of a paused run is due"
            if row.kind is RowKind.TIMEOUT and row.visit != run.visit:
                yield f"{where} is of visit {row.visit}, the run in its {run.visit}."
        timers = Counter(row.receiver for row in rows if row.kind is RowKind.TIMEOUT)
        yield from (f"{run.run_id}: {number} timers {name}" for name, number in timers.items() if number > 1)

    # -- callbacks --------------------------------------------------------------------------------------------------------------

    def _fate_of_callbacks(self) -> Iterator[str]:
        flow, calls = self._race.flow, self._race.actors.calls
        applied: Counter[str] = Counter()
        for run in self.runs.values():
            applied.update(flow.codec.decode(run.payload).object.applied if run.payload is not None else ())
        waiting = Counter(
            flow_payload(row) for rows in self.rows.values() for row in rows if row.kind is RowKind.CALLBACK and row.payload
        )
        buried = Counter(said(letter.body) for letter in self._letters)
        expired = {said(letter.body) for letter in self._letters if "no longer" in letter.error}
        skipped = {call.about for call in calls if call.kind == "callback" and call.answer == "skip"}
        for call_id, (_, key, result) in self._race.results.items():
            fates = [applied[call_id], waiting[call_id], buried[call_id]]
            total = fates[0] + fates[1] + fates[2]
            # A pause may come between the burial of one that has expired and the removal of its row; a resume ends that.
            if total > 1 and not (fates == [0, 1, 1] and call_id in expired):
                yield f"{call_id}: applied, waiting, buried {fates} times"
            taken = result is not None and result.outcome in (CallbackOutcome.APPLIED, CallbackOutcome.KEPT)
            if not taken and total:
                yield f"{call_id} was answered {result} and has a fate all the same: {fates}"
            if not taken or total or result is None or result.run_id is None:
                continue
            erased = self.runs[result.run_id].payload is None
            if not erased and not (result.outcome is CallbackOutcome.KEPT and call_id in skipped):
                yield f"{call_id} was {result.outcome} and is lost (key {key})"
        for key in KEYS:
            first = [
                result
                for _, used, result in self._race.results.values()
                if used == key and result is not None and result.outcome in (CallbackOutcome.APPLIED, CallbackOutcome.KEPT)
            ]
            if len(first) > 1:
                yield f"{key} was used up {len(first)} times"

    # -- timers -----------------------------------------------------------------------------------------------------------------

    def _timers(self) -> Iterator[str]:
        for call in self._race.actors.calls:
            if call.kind != "timeout" or call.run_id not in self.history:
                continue
            rows = self.history[call.run_id][: call.version]
            visits = [row for row in rows if row.from_status != row.to_status]
            where = f"{call.run_id} v{call.version} timeout {call.name}"
            if call.visit != len(visits):
                yield f"{where}: it was called in visit {call.visit}, the run was in its {len(visits)}."
            begin = visits[-1]
            for row in rows[begin.version :]:
                if row.cause is Cause.REPEAT and row.name.endswith(call.name):
                    begin = row
            stayed = active(rows[begin.version - 1 :], call.at)
            if stayed < PATIENCE[call.name]:
                yield f"{where}: it was called after {stayed}"

    # -- hooks ------------------------------------------------------------------------------------------------------------------

    def _hooks(self) -> Iterator[str]:
        told = {(call.run_id, call.name, call.version) for call in self._race.actors.calls if call.kind == "hook" and done(call)}
        failures = {(call.run_id, call.name) for call in self._race.actors.calls if call.kind != "hook" and not done(call)}
        expected: set[tuple[str, str, int]] = set()
        for run_id, rows in self.history.items():
            for row in rows:
                event = EVENT_OF.get(row.to_state)
                if event is not None and row.from_state is not row.to_state:
                    expected.add((run_id, event, row.version))
                if row.from_status != row.to_status:
                    expected.add((run_id, HookEvent.TRANSITION, row.version))
                if row.cause is Cause.ERRORS:
                    expected.add((run_id, HookEvent.ERROR, row.version))
        yield from (f"a hook was not told of {event}" for event in sorted(expected - told))
        for call in self._race.actors.calls:
            if call.kind != "hook":
                continue
            if call.name == HookEvent.ERROR:
                if call.about and (call.run_id, call.about) not in failures:
                    yield f"a hook was told that {call.about} failed, and it did not"
            elif (call.run_id, call.name, call.version) not in expected:
                yield f"a hook was told of {call}, and it did not happen"

    # -- the end ----------------------------------------------------------------------------------------------------------------

    def _ends(self) -> Iterator[str]:
        unfinished = Counter(run.foreign_id for run in self.runs.values() if not run.state.finished)
        yield from (f"{name} has {number} unfinished runs" for name, number in unfinished.items() if number > 1)
        for run in self.runs.values():
            waits = [row for row in self.rows[run.run_id] if row.kind in (RowKind.STEP, RowKind.TIMEOUT)]
            given_up = waits and all(row.due_at is None for row in waits)  # all of them answered skip: a callback may come
            if not run.state.finished and run.state is not S.PAUSED and not given_up:
                yield f"{run.run_id} is left in {run.status}, {run.state.label}, with {self.rows[run.run_id]}"
            if run.requested is not None:
                yield f"{run.run_id}: a request to be {run.requested.state.label} was forgotten"
            if run.state is S.REQUESTED_DATA_DELETED:
                yield f"{run.run_id}: its data was not deleted"


def flow_payload(row: PendingRow) -> str:
    """The id of a callback that waits."""
    return said(KeptCallback.of(row.payload).data)


def said(payload: bytes) -> str:
    return msgspec.json.decode(payload, type=Said).call_id


def done(call: Call) -> bool:
    return call.answer != "fail"


def active(rows: Sequence[HistoryRow], until: datetime) -> timedelta:
    """How long the run was not paused, from the first of these versions on."""
    total = timedelta(0)
    for row, following in zip(rows, [*rows[1:], None], strict=False):
        end = until if following is None else min(following.at, until)
        if row.to_state is not S.PAUSED:
            total += max(timedelta(0), end - row.at)
    return total
