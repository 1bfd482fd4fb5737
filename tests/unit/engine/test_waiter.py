"""When a wait looks at the store, what it knows without, and waits while the store is away."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from flowdsl.clock import SystemClock
from flowdsl.engine.engine import Engine
from flowdsl.engine.waiter import FIRST_POLL, FOLLOWED, LAST_POLL, Wait, Waiter
from flowdsl.errors import RunNotFoundError, StoreError, StoreUnavailableError
from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.model.history import HistoryRow
from flowdsl.model.record import RunRecord
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


class Counting(MemoryRecordStore):
    """A store that counts who looks."""

    looks = 0

    def lookup(self, run_ids: Sequence[str]) -> Mapping[str, RunRecord]:
        self.looks += 1
        return super().lookup(run_ids)


def record(run_id: str, version: int = 1, status: str = "new", state: RunState = RunState.INITIATED) -> RunRecord:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    return RunRecord(
        namespace="default",
        workflow="orders",
        run_id=run_id,
        foreign_id=run_id,
        status=status,
        state=state,
        version=version,
        payload=None,
        created_at=now,
        updated_at=now,
        change_id=f"{run_id}-{version}",
    )


@pytest.fixture
def store() -> Counting:
    return Counting(ManualClock())


@pytest.fixture
def waiter(store: Counting) -> Iterator[Waiter]:
    made = Waiter(store, SystemClock())
    yield made
    made.close()


def test_a_wait_for_a_run_just_begun_here_does_not_look_and_is_told(store: Counting, waiter: Waiter) -> None:
    waiter.follow(record("a"))
    wait = waiter.wait("a", "paid")
    assert store.looks == 0
    waiter.notify(record("a", 2, "paid", RunState.RUNNING))
    assert wait.future.result(0).version == 2


def test_what_happened_before_the_wait_began_is_known(store: Counting, waiter: Waiter) -> None:
    waiter.follow(record("a"))
    waiter.notify(record("a", 2, "paid", RunState.COMPLETED))
    assert waiter.wait("a", None).future.result(0).version == 2
    assert store.looks == 0


def test_a_status_that_was_passed_before_the_wait_began_is_read_from_the_history() -> None:
    script, clock = Script(), ManualClock()
    with SteppedEngine(script.workflow, clock=clock) as engine:
        core = engine._the_core()
        handle = engine.trigger(script.workflow, "o", Order(1))
        engine.run_until_idle()
        core.waiter.threaded = True
        passed = handle.history()[1].to_status
        assert core.waiter.wait(handle.run_id, passed).future.result(0).state is RunState.COMPLETED


@pytest.mark.parametrize("seconds", [0.0, 0.05])
def test_who_has_no_time_has_the_store_looked_at(store: Counting, waiter: Waiter, seconds: float) -> None:
    waiter.follow(record("a"))
    assert waiter.wait("a", None, seconds).future.exception(0) is not None, "the store does not know it"
    assert store.looks == 1


def test_a_run_that_another_process_goes_on_with_is_looked_at_soon(store: Counting, waiter: Waiter) -> None:
    waiter.follow(record("a"))  # and never a word of it again: its claim lapsed, say, and it was purged
    assert isinstance(waiter.wait("a", None).future.exception(5), RunNotFoundError)


def test_a_run_whose_newest_version_is_not_known_whole_is_looked_at(store: Counting, waiter: Waiter) -> None:
    waiter.follow(record("a"))
    waiter.refresh("a")
    assert isinstance(waiter.wait("a", None).future.exception(0), RunNotFoundError)


def test_only_the_newest_runs_are_remembered(store: Counting, waiter: Waiter) -> None:
    for number in range(FOLLOWED + 1):
        waiter.follow(record(str(number)))
    assert not waiter.wait(str(FOLLOWED), None).future.done()
    assert isinstance(waiter.wait("0", None).future.exception(0), RunNotFoundError)


class AlwaysNews:
    """As if other waits began in every pause."""

    pauses = 0

    def wait(self, seconds: float) -> bool:
        self.pauses += 1
        assert self.pauses < 10, "nobody looks"
        return True

    def clear(self) -> None: ...

    def set(self) -> None: ...


def test_waits_that_begin_all_the_time_do_not_put_off_the_look_of_others(store: Counting, waiter: Waiter) -> None:
    waiter.follow(record("a"))
    waiter._news = AlwaysNews()  # type: ignore[assignment]
    wait = Wait("a", None)
    waiter._waits["a"] = [wait]
    waiter._watch()
    assert isinstance(wait.future.exception(0), RunNotFoundError)


def test_versions_that_are_told_out_of_order_leave_the_newest(store: Counting, waiter: Waiter) -> None:
    waiter.follow(record("a"))
    waiter.notify(record("a", 3, "shipped", RunState.COMPLETED))  # its step ran as soon as version 2 was handed over
    waiter.notify(record("a", 2, "paid", RunState.RUNNING))
    assert waiter.wait("a", None).future.result(0).version == 3


def test_what_was_erased_is_not_told_from_memory() -> None:
    script, clock = Script(), ManualClock()
    with SteppedEngine(script.workflow, clock=clock) as engine:
        handle = engine.trigger(script.workflow, "o", Order(1))
        engine.run_until_idle()
        handle.delete_data("asked for", "ada")
        engine.run_until_idle()
        waiter = engine._the_core().waiter
        waiter.threaded = True
        found = waiter.wait(handle.run_id, None).future.result(0)
        assert (found.state, found.payload) == (RunState.DATA_DELETED, None)


def test_what_another_process_erased_since_is_not_told_from_memory() -> None:
    script, clock = Script(), ManualClock()
    store = MemoryRecordStore(clock)
    with SteppedEngine(script.workflow, clock=clock, store=store) as engine:
        handle = engine.trigger(script.workflow, "o", Order(1))
        engine.run_until_idle()
        with SteppedEngine(script.workflow, clock=clock, store=store, seed=1) as other:
            clock.advance(timedelta(minutes=1))
            other.handle(handle.run_id).delete_data("asked for", "ada")
            other.run_until_idle()
        waiter = engine._the_core().waiter
        waiter.threaded = True
        assert waiter.wait(handle.run_id, None).future.result(0).payload is None


class Paces:
    """The pauses that the waiter's thread makes, none of which takes any time."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def wait(self, seconds: float) -> bool:
        self.seconds.append(seconds)
        return False

    def clear(self) -> None: ...

    def set(self) -> None: ...


class Slow(MemoryRecordStore):
    """A store that answers the looks it is given a word for, in their order, and knows every run."""

    def __init__(self, looks: list[Callable[[], object]]) -> None:
        super().__init__(ManualClock())
        self.looks = looks

    def lookup(self, run_ids: Sequence[str]) -> Mapping[str, RunRecord]:
        if self.looks:
            self.looks.pop(0)()
        return {run_id: record(run_id) for run_id in run_ids}


def test_a_wait_that_begins_during_a_look_is_looked_at_soon() -> None:
    fresh = Wait("b", None)
    looks: list[Callable[[], object]] = []
    watched, paces = Waiter(Slow(looks), SystemClock()), Paces()
    watched._news = paces  # type: ignore[assignment]
    watched._thread = threading.current_thread()
    watched._waits["a"] = [Wait("a", None)]

    def begin() -> None:
        watched.follow(record("b"))
        watched.begin(fresh)

    def end() -> None:
        watched._closed = True

    looks += [*[lambda: None] * 6, begin, end]
    watched._watch()

    assert paces.seconds[6] == LAST_POLL, "nobody was in a hurry"
    assert paces.seconds[7] == FIRST_POLL


class Damaged(MemoryRecordStore):
    """A store in which one run cannot be read any more."""

    unreadable = ""

    def lookup(self, run_ids: Sequence[str]) -> Mapping[str, RunRecord]:
        if self.unreadable in run_ids:
            raise StoreError(f"run {self.unreadable} holds stored values that cannot be read.")
        return super().lookup(run_ids)


def test_a_run_that_cannot_be_read_holds_up_no_wait_for_another() -> None:
    script, clock = Script(), ManualClock()
    store = Damaged(clock)
    here = Engine(script.workflow, store=store, clock=clock, works=False)
    with SteppedEngine(script.workflow, clock=clock, store=store) as elsewhere:
        runs = [elsewhere.trigger(script.workflow, name, Order(1)).run_id for name in ("damaged", "whole")]
        waiter = here._the_core().waiter
        waiter.threaded = False
        waits = [waiter.wait(run_id, None) for run_id in runs]
        store.unreadable = runs[0]
        elsewhere.worker.dispatcher.wake_all()
        while elsewhere.step():
            pass

        assert waiter.step()
        assert waits[1].future.result(0).state is RunState.COMPLETED
        store.unreadable = ""
        waiter.step()
        assert waits[0].future.done(), "it is looked at again"


class Faulty(MemoryRecordStore):
    """A store that raises, once, what is not a store's to raise."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.broken, self.raised = False, threading.Event()

    def lookup(self, run_ids: Sequence[str]) -> Mapping[str, RunRecord]:
        if self.broken:
            self.broken = False
            self.raised.set()
            raise AttributeError("'NoneType' object has no attribute 'read'")
        return super().lookup(run_ids)


def test_a_look_that_fails_as_none_should_ends_no_wait() -> None:
    script, store = Script(), Faulty()
    with Engine(script.workflow, store=store, works=False) as engine:
        handle = engine.trigger(script.workflow, "o", Order(1))
        wait = engine._the_core().waiter.wait(handle.run_id, None)
        store.broken = True
        assert store.raised.wait(10)
        other = Engine(script.workflow, store=store, works=False)  # so that the first one is not told of what it commits

        other.handle(handle.run_id).cancel("no longer wanted")

        assert wait.future.result(10).state is RunState.CANCELLED
