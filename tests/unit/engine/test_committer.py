"""Group commit, when the store does what no store should."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from flowdsl.engine.committer import Committer
from flowdsl.engine.engine import Engine
from flowdsl.engine.metrics import Metrics
from flowdsl.errors import StoreError
from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.model.change import Change, CommitResult, DropRow
from flowdsl.testing.clock import ManualClock
from tests.unit.engine.script import Order, Script


class Surprising(MemoryRecordStore):
    """Raises what is no StoreError, once."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.surprised = False

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        if not self.surprised:
            self.surprised = True
            raise OSError(22, "Invalid argument")
        return super().commit(changes)


def test_every_change_of_a_group_hears_of_an_error_that_no_store_should_raise(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    committer = Committer(Surprising(clock), clock, Metrics())
    results: list[CommitResult] = []
    errors: list[StoreError] = []
    for name in ("a", "b"):
        change = DropRow(change_id=name, row_id=name, owner="o", delivery=1)
        committer.submit(change, results.append, errors.append)

    committer.flush()

    assert [str(error) for error in errors] == ["the store raised OSError: [Errno 22] Invalid argument"] * 2
    assert results == []
    assert committer.idle
    assert "commit of 2 changes failed" in caplog.text

    committer.submit(DropRow(change_id="c", row_id="c", owner="o", delivery=1), results.append, errors.append)
    committer.flush()
    assert len(results) == 1


class Interrupted(MemoryRecordStore):
    """Somebody presses Ctrl-C while a transaction is under way."""

    interrupts = 1

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        results = super().commit(changes)
        if self.interrupts:
            self.interrupts -= 1
            raise KeyboardInterrupt
        return results


def test_changes_of_others_outlive_an_interrupt_of_the_thread_that_commits_them() -> None:
    clock = ManualClock()
    committer = Committer(Interrupted(clock), clock, Metrics())
    results: list[CommitResult] = []
    errors: list[StoreError] = []
    for name in ("a", "b"):
        committer.submit(DropRow(change_id=name, row_id=name, owner="o", delivery=1), results.append, errors.append)

    with pytest.raises(KeyboardInterrupt):
        committer.flush()

    assert ["interrupted" in str(error) for error in errors] == [True, True], "whoever submitted them waits for ever"
    assert committer.idle


def test_an_interrupt_while_results_are_told_costs_only_the_one_that_is_being_told() -> None:
    clock = ManualClock()
    committer = Committer(MemoryRecordStore(clock), clock, Metrics())
    errors: list[StoreError] = []

    def interrupted(_result: CommitResult) -> None:
        raise KeyboardInterrupt

    for name in ("a", "b", "c"):
        committer.submit(DropRow(change_id=name, row_id=name, owner="o", delivery=1), interrupted, errors.append)

    with pytest.raises(KeyboardInterrupt):
        committer.flush()

    assert len(errors) == 2


def test_a_change_that_relies_on_a_thread_that_is_interrupted_is_committed() -> None:
    script, clock = Script(), ManualClock()
    store = Interrupted(clock)
    engine = Engine(script.workflow, store=store, clock=clock, works=False)
    committer = engine._the_core().committer
    late, errors = threading.Event(), list[StoreError]()

    commit = store.commit

    def joined(changes: Sequence[Change]) -> Sequence[CommitResult]:
        if store.interrupts:  # meanwhile another thread's change comes, and relies on who leads
            change = DropRow(change_id="b", row_id="b", owner="o", delivery=1)
            committer.submit(change, lambda _: late.set(), errors.append)
            committer.flush()
        return commit(changes)

    store.commit = joined  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        engine.trigger(script.workflow, "o", Order(1))
    assert late.wait(5)
    engine.stop()
