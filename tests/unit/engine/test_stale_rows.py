"""A store may take a row and read its run in two statements, and the run may move on between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import pytest

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.model.change import Change, CommitResult, FailRow
from flowdsl.model.pending import ClaimedRow, TopicQuota
from flowdsl.model.run_state import RunState
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.stepped import SteppedEngine
from tests.unit.engine.script import Order, Script, Status

HOUR = timedelta(hours=1)


class InTwo(MemoryRecordStore):
    """Reads the runs of claimed rows later; `meanwhile` is what happens between."""

    meanwhile: Callable[[], object] | None = None

    def claim(self, namespace: str, owner: str, quotas: Sequence[TopicQuota]) -> Sequence[ClaimedRow]:
        found = super().claim(namespace, owner, quotas)
        meanwhile, self.meanwhile = self.meanwhile, None if found else self.meanwhile
        if found and meanwhile is not None:
            meanwhile()
        runs = self.lookup([one.row.run_id for one in found])
        return [ClaimedRow(one.row, runs.get(one.row.run_id)) for one in found]


def test_a_step_does_not_begin_on_a_run_that_was_cancelled_since_its_row_was_taken() -> None:
    script, clock = Script(), ManualClock()
    store = InTwo(clock)
    with SteppedEngine(script.workflow, clock=clock, store=store, handoff=False) as engine:
        handle = engine.trigger(script.workflow, "o", Order(1))
        store.meanwhile = lambda: handle.cancel("no longer wanted", force=True)
        engine.run_until_idle()

        assert store.meanwhile is None, "its row was taken"
        assert script.keys == []
        assert handle.record().state is RunState.CANCELLED
        assert handle.pending() == []


def test_what_gives_a_row_up_names_the_version_that_made_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tried again late, it must not meet the row of the next version, which is the same owner's and was delivered as often."""
    script, clock = Script(RuntimeError("no"), Status.PAID), ManualClock()
    store, seen = MemoryRecordStore(clock), list[FailRow]()
    commit = store.commit

    def watched(changes: Sequence[Change]) -> Sequence[CommitResult]:
        seen.extend(change for change in changes if isinstance(change, FailRow))
        return commit(changes)

    monkeypatch.setattr(store, "commit", watched)
    with SteppedEngine(script.workflow, clock=clock, store=store) as engine:
        engine.trigger(script.workflow, "o", Order(1))
        engine.run_until_idle()

    assert [change.version for change in seen] == [1]


class Place(StrEnum):
    ARRIVED = "arrived"
    WAITING = "waiting"
    AWAY = "away"
    LATE = "late"


@dataclass
class Guest:
    name: str


def test_a_timeout_is_not_called_for_a_visit_that_ended_since_its_row_was_taken() -> None:
    called: list[str] = []
    guests = Workflow("guests", object_type=Guest, status_type=Place, allow_cycles=True)

    @guests.step(from_=Place.ARRIVED, to=Place.WAITING)
    def sit_down(run: Run[Guest, Place]) -> None: ...

    @guests.timeout(from_=Place.WAITING, to=Place.LATE, after=HOUR)
    def late(run: Run[Guest, Place]) -> None:
        called.append(run.run_id)

    @guests.callback(from_=Place.WAITING, to=Place.AWAY)
    def leave(run: Run[Guest, Place], payload: bytes) -> None: ...

    @guests.callback(from_=Place.AWAY, to=Place.WAITING)
    def come_back(run: Run[Guest, Place], payload: bytes) -> None: ...

    clock = ManualClock()
    store = InTwo(clock)
    with SteppedEngine(guests, clock=clock, store=store) as engine:
        handle = engine.trigger(guests, "ada", Guest("Ada"))
        engine.run_until_idle()

        def out_and_in() -> None:
            engine.callback(guests, "ada", Place.WAITING)
            engine.callback(guests, "ada", Place.AWAY)

        store.meanwhile = out_and_in
        engine.advance(HOUR)
        assert store.meanwhile is None, "its row was taken"
        assert called == [], "the guest has been back for a moment only"

        engine.advance(HOUR)
        assert called == [handle.run_id]
