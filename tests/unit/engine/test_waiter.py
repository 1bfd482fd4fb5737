"""Waits while the store is away."""

from __future__ import annotations

from collections.abc import Sequence

from flowdsl.errors import StoreUnavailableError
from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.model.history import HistoryRow
from flowdsl.model.run_state import RunState
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.stepped import SteppedEngine
from tests.unit.engine.script import Order, Script


class Forgetful(MemoryRecordStore):
    """A store that cannot tell any history for a while."""

    away = False

    def history(self, run_id: str) -> Sequence[HistoryRow]:
        if self.away:
            raise StoreUnavailableError("the store is away.")
        return super().history(run_id)


def test_a_pause_that_was_stored_is_answered_although_a_wait_could_not_be() -> None:
    script, clock = Script(), ManualClock()
    store = Forgetful(clock)
    with SteppedEngine(script.workflow, clock=clock, store=store, handoff=False) as engine:
        handle = engine.trigger(script.workflow, "o", Order(1))
        wait = engine._the_core().waiter.wait(handle.run_id, "shipped")
        store.away = True

        after = handle.cancel("no longer wanted", "ada")  # whoever waits for "shipped" has to be told from the history

        assert after.state is RunState.CANCELLED
        store.away = False
        engine._the_core().waiter.step()
        assert wait.future.exception() is not None
