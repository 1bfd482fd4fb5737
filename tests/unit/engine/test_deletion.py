"""Data that is deleted while other things happen to its run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.errors import StoreUnavailableError
from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.model.callback_result import CallbackOutcome
from flowdsl.model.change import Change, CommitResult, DropRow
from flowdsl.model.item import ItemKind
from flowdsl.model.run_state import RunState
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.stepped import SteppedEngine
from tests.unit.engine.script import Order, Status


def asked() -> Workflow[Order, Status]:
    workflow = Workflow("orders", object_type=Order, status_type=Status)

    @workflow.step(from_=Status.CREATED, to=Status.PAID, consume_lag=timedelta(hours=1))
    def charge(run: Run[Order, Status]) -> Status:
        return Status.PAID

    @workflow.callback(from_=Status.PAID, to=Status.SHIPPED)
    def ship(run: Run[Order, Status], payload: bytes) -> Status:
        return Status.SHIPPED

    return workflow


def test_a_callback_that_is_just_being_buried_does_not_outlive_the_deletion() -> None:
    workflow, clock = asked(), ManualClock()
    with SteppedEngine(workflow, clock=clock, handoff=False) as gravedigger:
        handle = gravedigger.trigger(workflow, "o", Order(1))
        kept = gravedigger.callback(workflow, "o", Status.PAID, b"secret")
        assert kept.outcome is CallbackOutcome.KEPT
        handle.cancel("no longer wanted", "ada")
        gravedigger.worker.dispatcher.step()  # the callback is to be a dead letter: that is on its way to the store

        with SteppedEngine(
            workflow, clock=clock, store=gravedigger.store, roles=gravedigger.roles, seed=1, handoff=False
        ) as eraser:
            eraser.handle(handle.run_id).delete_data("forget me", "ada")
            eraser.run_until_idle()
            gravedigger.run_until_idle()
            eraser.advance(timedelta(seconds=5))

            assert handle.record().state is RunState.DATA_DELETED
            assert eraser.store.items("default", ItemKind.DEAD_LETTER) == []
            receipt = handle.receipt()
            assert receipt is not None
            assert receipt.dead_letters == 1


class Silent(MemoryRecordStore):
    """A store that does not answer the first commit in which a row is dropped."""

    silent = True

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        if self.silent and any(isinstance(change, DropRow) for change in changes):
            self.silent = False
            raise StoreUnavailableError("the store is away.")
        return super().commit(changes)


def test_a_callback_that_was_buried_while_the_store_fell_silent_does_not_hold_up_the_deletion() -> None:
    workflow, clock = asked(), ManualClock()
    store = Silent(clock)
    with SteppedEngine(workflow, clock=clock, store=store, handoff=False) as engine:
        handle = engine.trigger(workflow, "o", Order(1))
        engine.callback(workflow, "o", Status.PAID, b"secret")
        handle.cancel("no longer wanted", "ada")
        engine.run_until_idle()  # the letter is there, and that its row goes was not answered
        assert not store.silent

        handle.delete_data("forget me", "ada")
        engine.advance(timedelta(minutes=1))

        assert handle.record().state is RunState.DATA_DELETED
        assert [lane.topic for lane in engine._the_core().all_lanes if lane.open] == []
