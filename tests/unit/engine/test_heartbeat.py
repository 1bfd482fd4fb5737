"""A heartbeat that lapsed, and what the instance knows of it when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from flowdsl.errors import StoreUnavailableError
from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.model.instance import Instance
from flowdsl.model.pending import ClaimedRow, TopicQuota
from flowdsl.model.run_state import RunState
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.stepped import SteppedEngine
from tests.unit.engine.script import Order, Script

LONG = timedelta(seconds=45)


class Moody(MemoryRecordStore):
    """A store that is away for the first beat of a new name."""

    away = False

    def beat(self, namespace: str, instance: Instance, ttl: timedelta) -> bool:
        if self.away and (namespace, instance.owner) not in self._tables.instances:
            self.away = False
            raise StoreUnavailableError("the store is away.")
        return super().beat(namespace, instance, ttl)


def test_an_instance_whose_new_name_was_not_answered_goes_on_under_another() -> None:
    script, clock = Script(), ManualClock()
    store = Moody(clock)
    with SteppedEngine(script.workflow, clock=clock, store=store, handoff=False) as engine:
        store.away = True
        clock.advance(LONG)
        engine.run_until_idle()  # finds that its heartbeat had lapsed, and nobody there to tell its new name
        engine.advance(timedelta(seconds=15))

        handle = engine.trigger(script.workflow, "o", Order(1))
        engine.advance(timedelta(seconds=15))

        assert handle.record().state is RunState.COMPLETED


class Slow(MemoryRecordStore):
    """A store that needs long to answer a claim."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.meanwhile: list[object] = []

    def claim(self, namespace: str, owner: str, quotas: Sequence[TopicQuota]) -> Sequence[ClaimedRow]:
        found = super().claim(namespace, owner, quotas)
        while self.meanwhile:
            self.meanwhile.pop()()  # type: ignore[operator]
        return found


def test_what_was_claimed_under_a_name_that_lapsed_meanwhile_is_left_to_others() -> None:
    script, clock = Script(), ManualClock()
    store = Slow(clock)
    with SteppedEngine(script.workflow, clock=clock, store=store, handoff=False) as engine:
        handle = engine.trigger(script.workflow, "o", Order(1))

        def lapse() -> None:
            clock.advance(LONG)
            engine.worker.membership.step()

        store.meanwhile.append(lapse)
        engine.worker.dispatcher.step()
        (row,) = handle.pending()
        assert (row.owner, row.lapses) == (None, 1), "its claim was freed with the old name"

        engine.run_until_idle()

        assert script.attempts == [2], "executed once, under the new claim"
        assert handle.record().state is RunState.COMPLETED
