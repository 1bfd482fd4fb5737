"""The dispatcher: a wake-up that comes while a claim is under way, and what is claimed when something fails right behind it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import pytest

from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.engine import Engine
from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.model.pending import ClaimedRow, PendingRow, TopicQuota
from flowdsl.model.run_state import RunState
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.stepped import SteppedEngine
from tests.unit.engine.script import Order, Script, Status


class Interrupted(MemoryRecordStore):
    """A store to which something happens after it has looked for what can be claimed, and before it answers."""

    meanwhile: Callable[[], object] | None = None

    def claim(self, namespace: str, owner: str, quotas: Sequence[TopicQuota]) -> Sequence[ClaimedRow]:
        found = super().claim(namespace, owner, quotas)
        happens, self.meanwhile = self.meanwhile, None
        if happens is not None:
            happens()
        return found


def test_a_run_that_is_begun_elsewhere_while_a_claim_is_under_way_is_claimed_next() -> None:
    script, clock = Script(), ManualClock()
    store = Interrupted(clock)
    elsewhere = Engine(script.workflow, store=store, clock=clock, works=False)
    with SteppedEngine(script.workflow, clock=clock, store=store) as engine:
        dispatcher = engine.worker.dispatcher
        store.meanwhile = lambda: elsewhere.trigger(script.workflow, "o", Order(1))

        assert not dispatcher.step(), "it was not there yet"
        assert dispatcher.step(), "the wake-up was forgotten"


class Faulty(MemoryRecordStore):
    """A store of which one method raises, once, what is not a store's to raise."""

    broken = ""

    def _fail(self, method: str) -> None:
        if self.broken == method:
            self.broken = ""
            raise AttributeError("'NoneType' object has no attribute 'read'")

    def now(self) -> datetime:
        self._fail("now")
        return super().now()

    def next_due(self, namespace: str, topics: Sequence[str]) -> datetime | None:
        self._fail("next_due")
        return super().next_due(namespace, topics)

    def rows(self, run_ids: Sequence[str]) -> Sequence[PendingRow]:
        self._fail("rows")
        return super().rows(run_ids)


@pytest.mark.parametrize("broken", ["now", "next_due"])
def test_what_was_claimed_is_not_forgotten_when_something_fails_right_behind_the_claim(broken: str) -> None:
    script, clock = Script(polling_frequency=None), ManualClock()
    store = Faulty(clock)
    with SteppedEngine(script.workflow, clock=clock, store=store, handoff=False) as engine:
        handles = [engine.trigger(script.workflow, f"o-{number}", Order(1)) for number in range(3)]
        engine._the_core().store_clock._measure_at = clock.monotonic()
        store.broken = broken
        with contextlib.suppress(AttributeError):  # in production the thread begins anew
            engine.worker.dispatcher.step()
        assert not store.broken

        engine.advance(timedelta(minutes=5))

        assert {handle.record().state for handle in handles} == {RunState.COMPLETED}
        assert not any(lane.open for lane in engine._the_core().all_lanes)


def test_a_row_of_which_nobody_can_tell_whether_it_is_still_asked_for_holds_up_none_of_the_others() -> None:
    workflow, clock = Workflow("orders", object_type=Order, status_type=Status, retired=[Status.SHIPPED]), ManualClock()
    workflow.step(from_=Status.CREATED, to=Status.PAID)(lambda run: run.skip())
    workflow.timeout(from_=Status.CREATED, to=Status.PAID, after=timedelta(hours=1))(lambda run: None)
    store = Faulty(clock)
    with SteppedEngine(workflow, clock=clock, store=store) as engine:
        handles = [engine.trigger(workflow, f"o-{number}", Order(1)) for number in range(3)]
        engine.run_until_idle()
        engine.worker.membership.cover(timedelta(hours=2))
        clock.advance(timedelta(hours=2))
        store.broken = "rows"  # it is asked whether a step of the run is being executed
        engine.worker.dispatcher.step()
        assert not store.broken

        engine.advance(timedelta(minutes=5))

        assert {handle.record().state for handle in handles} == {RunState.COMPLETED}
        assert not any(lane.open for lane in engine._the_core().all_lanes)
