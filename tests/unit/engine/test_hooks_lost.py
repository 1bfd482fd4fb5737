"""Hooks and deletions whose worker dies again and again: they cannot be given up, and must not be forgotten."""

from __future__ import annotations

from datetime import timedelta

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.model.run_state import RunState
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.stepped import SteppedEngine
from tests.unit.engine.script import Order, Status

LONG = timedelta(minutes=2)


class Fleet:
    """One instance at a time, which is gone whenever it has claimed something, until it is told to stay."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []
        self.clock = ManualClock()
        self.workflow = Workflow("orders", object_type=Order, status_type=Status, retired=[Status.SHIPPED])

        @self.workflow.step(from_=Status.CREATED, to=Status.PAID)
        def charge(run: Run[Order, Status]) -> Status:
            return Status.PAID

        @self.workflow.on_complete(err_backoff=timedelta(seconds=5), pause_after_err_count=3)
        def tell(run: Run[Order, Status]) -> None:
            self.told.append((run.foreign_id, run.attempt))

        self.seed = 0
        self.engine = self._another()

    def _another(self) -> SteppedEngine:
        before = getattr(self, "engine", None)
        self.seed += 1
        shared = {} if before is None else {"store": before.store, "roles": before.roles}
        engine = SteppedEngine(self.workflow, clock=self.clock, seed=self.seed, handoff=False, **shared)
        engine.__enter__()
        return engine

    def lose(self, times: int) -> None:
        """That often a process claims what there is and is gone."""
        for _ in range(times):
            self.engine.worker.dispatcher.step()
            self.engine.crash()
            self.engine = self._another()
            self.clock.advance(LONG)
            self.engine.worker.membership.step()


def test_a_hook_whose_worker_died_too_often_waits_and_is_told_all_the_same() -> None:
    fleet = Fleet()
    handle = fleet.engine.trigger(fleet.workflow, "o", Order(1))
    fleet.engine.worker.dispatcher.step()
    fleet.engine.step()  # completed; the hook's row waits
    assert handle.record().state is RunState.COMPLETED
    fleet.told.clear()

    fleet.lose(4)
    fleet.engine.run_until_idle()
    assert fleet.told == [], "it rests: its workers did not survive it"
    fleet.engine.advance(timedelta(minutes=1))

    assert fleet.told == [("o", 5)], "three claims lost, one rest"
    assert handle.pending() == []
