"""A stop while the store cannot answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from flowdsl.clock import SystemClock
from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.engine import Engine
from flowdsl.errors import StoreUnavailableError
from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.memory.role_scheduler import MemoryRoleScheduler
from flowdsl.model.change import Change, CommitResult, MoveRun
from flowdsl.model.run_state import RunState
from tests.behaviour.world import Status, Thing

LONG = timedelta(seconds=20)


class AbsentMinded(MemoryRecordStore):
    """Cannot answer for results of steps, `failures` times."""

    def __init__(self, failures: int) -> None:
        super().__init__(SystemClock())
        self.left = failures
        self.refused = threading.Event()

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        if self.left and any(isinstance(change, MoveRun) for change in changes):
            self.left -= 1
            self.refused.set()
            raise StoreUnavailableError("the store is away.")
        return super().commit(changes)

    def close(self) -> None:
        """Stays open, to be looked into after the stop."""


@pytest.fixture
def executed() -> list[str]:
    return []


def workflow_of(body: Callable[[Run[Thing, Status]], Status]) -> Workflow[Thing, Status]:
    workflow = Workflow("jobs", object_type=Thing, status_type=Status)
    workflow.step(from_=Status.NEW, to=Status.DONE)(body)
    return workflow


def engine_on(store: AbsentMinded, executed: list[str]) -> tuple[Engine, Workflow[Thing, Status]]:
    def work(run: Run[Thing, Status]) -> Status:
        executed.append(run.foreign_id)
        return Status.DONE

    workflow = workflow_of(work)
    return Engine(workflow, store=store, roles=MemoryRoleScheduler()), workflow


def test_a_stop_waits_for_the_result_that_the_store_could_not_take_at_first(executed: list[str]) -> None:
    store = AbsentMinded(failures=1)
    engine, workflow = engine_on(store, executed)
    engine.start()
    handle = engine.trigger(workflow, "thing", Thing())
    assert store.refused.wait(LONG.total_seconds())

    assert engine.stop(LONG)

    assert store.lookup([handle.run_id])[handle.run_id].state is RunState.COMPLETED
    assert executed == ["thing"]


def test_a_stop_that_could_not_store_a_result_in_time_says_so_and_the_claim_stays(executed: list[str]) -> None:
    store = AbsentMinded(failures=1_000_000)
    engine, workflow = engine_on(store, executed)
    engine.start()
    handle = engine.trigger(workflow, "thing", Thing())
    assert store.refused.wait(LONG.total_seconds())

    assert not engine.stop(timedelta(milliseconds=50))

    (row,) = store.rows([handle.run_id])
    assert row.owner is not None
    assert executed == ["thing"]


def test_a_second_stop_after_one_that_was_not_clean_answers_the_same_at_once(tmp_path: Path) -> None:
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def work(run: Run[Thing, Status]) -> Status:
        begun.set()
        assert may_end.wait(LONG.total_seconds())
        ended.set()
        return Status.DONE

    workflow = workflow_of(work)
    with Engine.from_url(workflow, store=f"sqlite:///{tmp_path / 'things.db'}") as engine:
        engine.trigger(workflow, "thing", Thing())
        assert begun.wait(LONG.total_seconds())
        assert not engine.stop(timedelta(0))
        assert not engine.stop(LONG)
    assert not ended.is_set()  # no stop waited for the body
    may_end.set()
    assert ended.wait(LONG.total_seconds())
