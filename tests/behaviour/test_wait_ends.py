"""A wait always ends, and leaves nothing behind when nobody waits any more."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta

import pytest

from flowdsl.clock import SystemClock
from flowdsl.engine.engine import Engine
from flowdsl.engine.waiter import Waiter
from flowdsl.errors import EngineClosedError, StoreUnavailableError, WaitTimeoutError
from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.model.record import RunRecord
from flowdsl.testing.clock import ManualClock
from tests.behaviour.world import Job, Thing

LONG = timedelta(seconds=20)


class GuardedStore(MemoryRecordStore):
    """A store whose look-ups can be held up or refused."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.asked = threading.Event()
        self.open = threading.Event()
        self.open.set()
        self.away = False

    def lookup(self, run_ids: Sequence[str]) -> Mapping[str, RunRecord]:
        self.asked.set()
        assert self.open.wait(LONG.total_seconds())
        if self.away:
            raise StoreUnavailableError("the store is away.")
        return super().lookup(run_ids)


@pytest.fixture
def store() -> GuardedStore:
    return GuardedStore()


@pytest.fixture
def job() -> Job:
    return Job(ManualClock())


def client(store: GuardedStore, job: Job) -> Engine:
    return Engine(job.workflow, store=store, works=False)


def waited_for(waiter: Waiter) -> Collection[str]:
    return waiter._waits.keys()


def test_a_wait_that_begins_while_the_engine_stops_ends_with_it(store: GuardedStore, job: Job) -> None:
    engine = client(store, job)
    handle = engine.trigger(job.workflow, "thing", Thing())
    handle._core.waiter.close()  # as stop does, before it closes the store

    with pytest.raises(EngineClosedError):
        handle.wait(timeout=LONG)
    engine.stop()


def test_a_wait_after_the_stop_says_that_the_engine_was_stopped(store: GuardedStore, job: Job) -> None:
    engine = client(store, job)
    handle = engine.trigger(job.workflow, "thing", Thing())
    engine.stop()

    with pytest.raises(EngineClosedError):
        handle.wait(timeout=LONG)


def test_a_wait_whose_first_look_fails_is_forgotten(store: GuardedStore, job: Job) -> None:
    engine = client(store, job)
    handle = engine.trigger(job.workflow, "thing", Thing())
    store.away = True

    with pytest.raises(StoreUnavailableError):
        handle.wait(timeout=LONG)

    assert not waited_for(handle._core.waiter)
    engine.stop()


def test_a_coroutine_that_is_cancelled_during_the_first_look_waits_no_longer(store: GuardedStore, job: Job) -> None:
    async def scene() -> None:
        engine = client(store, job)
        handle = await engine.aio.trigger(job.workflow, "thing", Thing())
        waiter = handle._handle._core.waiter
        store.open.clear()
        store.asked.clear()
        waiting = asyncio.create_task(handle.wait())
        await asyncio.to_thread(store.asked.wait, LONG.total_seconds())

        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        store.open.set()
        await asyncio.get_running_loop().shutdown_default_executor()  # the look that was under way has ended

        assert not waited_for(waiter)
        assert waiter._thread is None

    asyncio.run(scene())


def test_a_coroutines_timeout_counts_the_first_look_too(store: GuardedStore, job: Job) -> None:
    async def scene() -> None:
        engine = client(store, job)
        handle = await engine.aio.trigger(job.workflow, "thing", Thing())
        store.open.clear()

        with pytest.raises(WaitTimeoutError):
            await handle.wait(timeout=timedelta(milliseconds=20))
        store.open.set()
        await asyncio.get_running_loop().shutdown_default_executor()

        assert not waited_for(handle._handle._core.waiter)

    asyncio.run(scene())
