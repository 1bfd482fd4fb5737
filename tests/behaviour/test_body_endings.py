"""How a body may end beside returning: a time-out of its own, a cancellation, the end of the engine."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from datetime import timedelta
from typing import Any

import pytest

from flowdsl.dsl.run import Run
from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.model.pending import RowKind
from flowdsl.model.run_state import RunState
from tests.behaviour.test_bodies import engine_of, workflow_of
from tests.behaviour.world import MINUTE, SECOND, Answer, Doctored, Job, Status, Thing, World

ENDINGS: list[BaseException] = [
    TimeoutError("the provider did not answer"),
    ConnectionAbortedError(),
    asyncio.CancelledError(),
    concurrent.futures.CancelledError(),
]


@pytest.mark.parametrize("is_async", [False, True], ids=["def", "async def"])
@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: type(ending).__name__)
def test_a_time_out_or_cancellation_inside_a_body_is_a_failed_attempt_like_any_other(
    memory_world: World, ending: BaseException, is_async: bool
) -> None:
    def body(run: Run[Thing, Status]) -> Answer:
        if run.foreign_id == "bad" and run.attempt < 3:
            raise ending
        return Status.DONE

    job = Job(memory_world.clock, body, own={"err_backoff": SECOND, "time_limit": MINUTE}, is_async=is_async)
    with memory_world.engine(job.workflow) as engine:
        bad = engine.trigger(job.workflow, "bad", Thing())
        engine.run_until_idle()
        assert len(job.begun) == 1, "it waits its back-off"
        (row,) = bad.pending()
        assert row.attempts == 1
        assert "TimeLimitExceededError" not in (row.last_error or "")

        good = engine.trigger(job.workflow, "good", Thing())
        engine.advance(2 * SECOND)

        assert bad.record().state is good.record().state is RunState.COMPLETED


@pytest.mark.parametrize(
    ("is_async", "said"),
    [
        (False, "is a `def` that returned an awaitable. Declare it `async def`, and await what it calls."),
        (True, "returned a coroutine, which has to be awaited. Write `return await ...`."),
    ],
    ids=["def", "async def"],
)
def test_a_body_that_answers_what_nobody_awaited_is_told_so(memory_world: World, is_async: bool, said: str) -> None:
    async def helper() -> Status:
        raise AssertionError("never awaited")

    async def later(run: Run[Thing, Status]) -> Any:
        return helper()

    def at_once(run: Run[Thing, Status]) -> Any:
        return helper()

    job = Job(memory_world.clock, at_once, is_async=is_async)
    job.workflow.on_error(later if is_async else at_once)
    with memory_world.engine(job.workflow) as engine:
        handle = engine.trigger(job.workflow, "thing", Thing())
        engine.run_until_idle()

        assert {row.kind: (row.last_error or "").endswith(said) for row in handle.pending()} == {
            RowKind.STEP: True,
            RowKind.HOOK: True,
        }


def test_an_async_body_that_outlives_the_drain_is_cancelled_and_its_run_stays_where_it_was() -> None:
    store = MemoryRecordStore()
    begun, cancelled = threading.Event(), threading.Event()

    async def work(run: Any) -> Status:
        run.object.note = "half done"
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return Status.DONE

    workflow = workflow_of(work)
    engine = engine_of(workflow, Doctored(store, close=lambda: None))
    engine.start()
    run_id = engine.trigger(workflow, "thing", Thing()).run_id
    assert begun.wait(30)

    assert engine.stop(timedelta(milliseconds=20)) is False

    assert cancelled.is_set()
    record = store.lookup([run_id])[run_id]
    assert (record.status, record.version, record.state) == ("new", 1, RunState.INITIATED)
    (row,) = store.rows([run_id])
    assert row.attempts == 0
