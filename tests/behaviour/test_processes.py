"""The threaded engine: start, stop, drain, loops, time limits, and whatever a body may throw."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any

import pytest

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.auto_resume import AutoResume
from flowdsl.engine.engine import Engine
from flowdsl.engine.metrics import ProcessState
from flowdsl.errors import BlockingCallError, ConfigurationError, EngineClosedError, EngineForkedError, StoreUnavailableError
from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.memory.role_scheduler import MemoryRoleScheduler
from flowdsl.model.run_state import RunState
from flowdsl.options import StepOptions
from tests.behaviour.world import Doctored, Status, Thing, failing_commits

LONG = timedelta(seconds=30)
SHORT = timedelta(milliseconds=50)
AT_ONCE: StepOptions = {"err_backoff": timedelta(0), "pause_after_err_count": 2}
Body = Callable[[Run[Thing, Status]], Any]


PROCESSES = ("jobs/new-consumer-1-of-1", "jobs/delete-consumer", "jobs/scheduler", "sweeper", "auto-resumer", "purger")


def workflow_of(body: Body, **options: Any) -> Workflow[Thing, Status]:
    """One step, `def` or `async def` as `body` is."""
    workflow = Workflow("jobs", object_type=Thing, status_type=Status)
    workflow.step(from_=Status.NEW, to=Status.DONE, **options)(body)
    return workflow


def succeed(run: Run[Thing, Status]) -> Status:
    return Status.DONE


def engine_of(workflow: Workflow[Thing, Status], store: Any = None, **settings: Any) -> Engine:
    """A real engine in memory; errors pause for good."""
    settings = {"roles": MemoryRoleScheduler(), "auto_resume": AutoResume(after=None), **settings}
    return Engine(workflow, store=store or MemoryRecordStore(), **settings)


class Gate:
    """A body that says when it began and goes on when it may."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.opened = threading.Event()
        self.count = 0

    def __call__(self, run: Run[Thing, Status]) -> Status:
        self.count += 1
        self.begun.release()
        assert self.opened.wait(30)
        return Status.DONE

    def wait_for(self, count: int = 1) -> None:
        for _ in range(count):
            assert self.begun.acquire(timeout=30)


@contextmanager
def gate() -> Iterator[Gate]:
    """Open at the latest at the end, so that no thread is left."""
    made = Gate()
    try:
        yield made
    finally:
        made.opened.set()


def guarded(body: Gate) -> Body:
    def work(run: Run[Thing, Status]) -> Status:
        return body(run)

    return work


# -- start and stop -------------------------------------------------------------------------------------------------------------


def test_a_second_start_changes_nothing_and_a_second_stop_neither() -> None:
    workflow = workflow_of(succeed)
    engine = engine_of(workflow)
    engine.start()
    before = {thread.name for thread in threading.enumerate()}
    engine.start()
    assert {thread.name for thread in threading.enumerate()} == before
    assert engine.trigger(workflow, "o", Thing()).wait(timeout=LONG).status is Status.DONE
    assert engine.stop()
    assert engine.stop()


def test_stop_before_the_start_does_nothing() -> None:
    assert engine_of(workflow_of(succeed)).stop()


def test_a_stopped_engine_says_so() -> None:
    workflow = workflow_of(succeed)
    with engine_of(workflow) as engine:
        pass
    with pytest.raises(EngineClosedError):
        engine.trigger(workflow, "o", Thing())
    with pytest.raises(EngineClosedError):
        engine.start()


def test_states_are_empty_before_the_start_running_after_it_and_shut_down_after_the_stop() -> None:
    engine = engine_of(workflow_of(succeed))
    assert engine.states() == {}
    engine.start()
    assert engine.states() == dict.fromkeys(PROCESSES, ProcessState.RUNNING)
    engine.stop()
    assert set(engine.states().values()) == {ProcessState.SHUTDOWN}


def test_a_client_takes_no_work_and_cannot_be_started() -> None:
    store, workflow = MemoryRecordStore(), workflow_of(succeed)
    with engine_of(workflow, store, works=False) as client:
        handle = client.trigger(workflow, "o", Thing())
        assert client.states() == {}
        with pytest.raises(ConfigurationError, match="client"):
            client.start()
        assert handle.record().state is RunState.INITIATED


def test_many_instances_on_one_store_do_every_run_once() -> None:
    store, roles, done = MemoryRecordStore(), MemoryRoleScheduler(), []

    def work(run: Run[Thing, Status]) -> Status:
        done.append(run.foreign_id)
        return Status.DONE

    workflow = workflow_of(work)
    with ExitStack() as stack:
        engines = [engine_of(workflow, store, roles=roles) for _ in range(3)]
        for engine in reversed(engines):
            engine.start()
            stack.callback(engine.stop)
        handles = engines[0].trigger_many(workflow, [(str(number), Thing()) for number in range(60)])
        for handle in handles:
            handle.wait(timeout=LONG)
    assert sorted(done) == sorted(map(str, range(60)))


def together(count: int, verb: Callable[[], Any]) -> list[Any]:
    """What each of so many threads got that called the verb at the same time."""
    barrier = threading.Barrier(count)

    def call() -> Any:
        barrier.wait()
        return verb()

    with ThreadPoolExecutor(count) as threads:
        return [future.result(30) for future in [threads.submit(call) for _ in range(count)]]


def test_starts_and_stops_from_several_threads_at_once_are_one_start_and_one_stop() -> None:
    workflow = workflow_of(succeed)
    opened: list[MemoryRecordStore] = []

    def open_slowly() -> MemoryRecordStore:
        threading.Event().wait(0.05)  # long enough for every thread to be in the middle of it
        opened.append(MemoryRecordStore())
        return opened[-1]

    engine = engine_of(workflow, open_slowly)
    together(6, engine.start)
    assert len(opened) == 1
    assert [thread.name for thread in threading.enumerate()].count("flowdsl-dispatch") == 1
    assert engine.trigger(workflow, "o", Thing()).wait(timeout=LONG).status is Status.DONE
    assert together(6, engine.stop) == [True] * 6


def test_the_first_verbs_of_several_threads_share_one_store() -> None:
    opened: list[MemoryRecordStore] = []

    def open_slowly() -> MemoryRecordStore:
        threading.Event().wait(0.05)
        opened.append(MemoryRecordStore())
        return opened[-1]

    engine = engine_of(workflow_of(succeed), open_slowly)
    together(6, engine.runs)
    assert len(opened) == 1
    engine.stop()


# -- drain ----------------------------------------------------------------------------------------------------------------------


def test_stop_waits_for_a_running_body_and_stores_its_result() -> None:
    store = MemoryRecordStore()
    kept = Doctored(store, close=lambda: None)
    with gate() as body, ThreadPoolExecutor(1) as other:
        workflow = workflow_of(guarded(body))
        engine = engine_of(workflow, kept)
        engine.start()
        run_id = engine.trigger(workflow, "o", Thing()).run_id
        body.wait_for()
        stopping = other.submit(engine.stop, LONG)
        assert not stopping.done()
        body.opened.set()
        assert stopping.result(30) is True
    assert store.lookup([run_id])[run_id].state is RunState.COMPLETED


def test_a_body_that_outlives_the_drain_keeps_its_claim_and_what_had_not_begun_is_given_back() -> None:
    store = MemoryRecordStore()
    kept = Doctored(store, close=lambda: None)
    with gate() as body:
        workflow = workflow_of(guarded(body), concurrency=1)
        engine = engine_of(workflow, kept)
        engine.start()
        first = engine.trigger(workflow, "first", Thing())
        body.wait_for()
        second = engine.trigger(workflow, "second", Thing())
        assert engine.stop(SHORT) is False
        rows = {row.run_id: row for row in store.rows([first.run_id, second.run_id])}
        assert rows[first.run_id].owner is not None
        assert rows[second.run_id].owner is None
        assert body.count == 1
        body.opened.set()


def test_rows_handed_over_and_not_begun_are_given_back_at_once_by_a_stop() -> None:
    """They must not wait until a heartbeat lapses, nor count as lost."""
    store = MemoryRecordStore()
    kept = Doctored(store, close=lambda: None)
    with gate() as body, ThreadPoolExecutor(1) as other:
        workflow = workflow_of(guarded(body), concurrency=2)
        engine = engine_of(workflow, kept)
        engine.start()
        handles = [engine.trigger(workflow, str(number), Thing()) for number in range(4)]
        body.wait_for(2)
        stopping = other.submit(engine.stop, LONG)
        body.opened.set()
        assert stopping.result(30) is True
    rows = store.rows([handle.run_id for handle in handles])
    assert all(row.owner is None and row.lapses == 0 and row.attempts == 0 for row in rows)
    with engine_of(workflow, store) as successor:
        for handle in handles:
            assert successor.handle(handle.run_id).wait(timeout=LONG).state is RunState.COMPLETED
    assert body.count == 4


def test_the_wait_for_a_run_ends_with_an_error_when_its_engine_stops() -> None:
    with gate() as body, ThreadPoolExecutor(1) as other:
        workflow = workflow_of(guarded(body))
        engine = engine_of(workflow)
        engine.start()
        handle = engine.trigger(workflow, "o", Thing())
        body.wait_for()
        waiting = other.submit(handle.wait)
        engine.stop(SHORT)
        with pytest.raises(EngineClosedError):
            waiting.result(30)
        body.opened.set()


# -- the store goes away --------------------------------------------------------------------------------------------------------


def test_a_result_that_could_not_be_committed_is_committed_later_and_the_body_not_run_again() -> None:
    done: list[str] = []

    def work(run: Run[Thing, Status]) -> Status:
        done.append(run.foreign_id)
        return Status.DONE

    store, workflow = MemoryRecordStore(), workflow_of(work)
    outsider = engine_of(workflow, store, works=False)
    handle = outsider.trigger(workflow, "o", Thing())
    with engine_of(workflow, failing_commits(store, 1)):
        handle.wait(timeout=LONG)
    assert done == ["o"]


def test_a_start_without_a_store_fails_and_leaves_no_thread() -> None:
    def beat(*_: Any) -> Any:
        raise StoreUnavailableError("the database is away.")

    before = set(threading.enumerate())
    engine = engine_of(workflow_of(succeed), Doctored(MemoryRecordStore(), beat=beat))
    with pytest.raises(StoreUnavailableError):
        engine.start()
    assert set(threading.enumerate()) == before


# -- event loops ----------------------------------------------------------------------------------------------------------------


def test_async_steps_run_on_the_loop_of_whoever_started_the_engine_with_aio() -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def work(run: Run[Thing, Status]) -> Status:
        loops.append(asyncio.get_running_loop())
        return Status.DONE

    workflow = workflow_of(work)

    async def main() -> asyncio.AbstractEventLoop:
        async with engine_of(workflow).aio as engine:
            handle = await engine.trigger(workflow, "o", Thing())
            await handle.wait(timeout=LONG)
        return asyncio.get_running_loop()

    callers = asyncio.run(main())
    assert loops == [callers]


def test_a_hundred_async_bodies_are_in_flight_without_a_hundred_threads() -> None:
    release: dict[str, Any] = {}
    full = threading.Event()
    most: list[int] = []

    async def work(run: Run[Thing, Status]) -> Status:
        event = release.setdefault("event", asyncio.Event())
        most.append(len(most))
        if len(most) == 100:
            release["loop"] = asyncio.get_running_loop()
            full.set()
        await event.wait()
        return Status.DONE

    workflow = workflow_of(work)
    with engine_of(workflow) as engine:
        handles = engine.trigger_many(workflow, [(str(number), Thing()) for number in range(100)])
        assert full.wait(30)
        assert threading.active_count() < 20
        release["loop"].call_soon_threadsafe(release["event"].set)
        for handle in handles:
            handle.wait(timeout=LONG)


@pytest.mark.parametrize("verb", ["start", "stop", "trigger", "handle", "latest", "runs"])
def test_a_verb_that_blocks_is_refused_on_a_running_loop_and_names_its_twin(verb: str) -> None:
    workflow = workflow_of(succeed)
    engine = engine_of(workflow)
    arguments: dict[str, tuple[Any, ...]] = {
        "trigger": (workflow, "o", Thing()),
        "handle": ("id",),
        "latest": (workflow, "o"),
    }

    async def main() -> None:
        with pytest.raises(BlockingCallError, match=rf"await engine\.aio\.{verb}"):
            getattr(engine, verb)(*arguments.get(verb, ()))

    asyncio.run(main())


# -- fork -----------------------------------------------------------------------------------------------------------------------


def test_a_started_engine_is_refused_in_a_forked_child(monkeypatch: pytest.MonkeyPatch) -> None:
    workflow = workflow_of(succeed)
    with engine_of(workflow) as engine:
        here = os.getpid()
        with monkeypatch.context() as child:
            child.setattr(os, "getpid", lambda: here + 1)
            with pytest.raises(EngineForkedError, match="Make a new Engine in the child"):
                engine.trigger(workflow, "o", Thing())
        assert engine.trigger(workflow, "o", Thing()).wait(timeout=LONG).status is Status.DONE
