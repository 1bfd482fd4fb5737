"""Ctrl-C while a verb waits for the answer to its commit: the program may go on, as a notebook does, and so has the run to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.model.change import Change, CommitResult
from flowdsl.model.outcome import Outcome
from flowdsl.model.run_state import RunState
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.stepped import SteppedEngine
from tests.unit.engine.script import Order, Script, Status


class Interrupted(MemoryRecordStore):
    """Somebody presses Ctrl-C when the next commit has been done, and not been answered."""

    pressed = False

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        answer = super().commit(changes)
        if self.pressed:
            self.pressed = False
            raise KeyboardInterrupt
        return answer


def test_a_run_that_was_resumed_goes_on() -> None:
    def wait(run: Run[Order, Status]) -> Outcome:
        return run.pause("for now")

    script, clock = Script(wait, Status.PAID), ManualClock()
    store = Interrupted(clock)
    with SteppedEngine(script.workflow, clock=clock, store=store) as engine:
        handle = engine.trigger(script.workflow, "o", Order(1))
        engine.run_until_idle()
        store.pressed = True
        with pytest.raises(KeyboardInterrupt):
            handle.resume()
        assert handle.record().state is RunState.RUNNING, "it is stored"

        engine.advance(timedelta(seconds=5))

        assert handle.record().state is RunState.COMPLETED
        assert not any(lane.open for lane in engine._the_core().all_lanes)


def test_a_run_that_was_called_back_goes_on() -> None:
    workflow: Workflow[Order, Status] = Workflow("orders", object_type=Order, status_type=Status)
    clock = ManualClock()
    store = Interrupted(clock)

    @workflow.callback(from_=Status.CREATED, to=Status.PAID)
    def paid(run: Run[Order, Status], payload: Any) -> None: ...

    @workflow.step(from_=Status.PAID, to=Status.SHIPPED)
    def ship(run: Run[Order, Status]) -> None: ...

    with SteppedEngine(workflow, clock=clock, store=store) as engine:
        handle = engine.trigger(workflow, "o", Order(1))
        engine.run_until_idle()
        store.pressed = True
        with pytest.raises(KeyboardInterrupt):
            handle.callback(Status.CREATED, {})
        assert handle.record().status == Status.PAID, "it is stored"

        engine.advance(timedelta(seconds=5))

        assert handle.record().state is RunState.COMPLETED
        assert not any(lane.open for lane in engine._the_core().all_lanes)
