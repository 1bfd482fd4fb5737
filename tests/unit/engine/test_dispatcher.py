"""The dispatcher: a wake-up that comes while a claim is under way."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flowdsl.engine.engine import Engine
from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.model.pending import ClaimedRow, TopicQuota
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.stepped import SteppedEngine
from tests.unit.engine.script import Order, Script


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
