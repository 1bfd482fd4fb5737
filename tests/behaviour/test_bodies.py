"""Bodies under the threaded engine: what they may throw, and how long they may take."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.auto_resume import AutoResume
from flowdsl.engine.engine import Engine
from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.memory.role_scheduler import MemoryRoleScheduler
from flowdsl.model.run_state import RunState
from flowdsl.options import StepOptions
from tests.behaviour.world import Status, Thing

LONG = timedelta(seconds=30)
SHORT = timedelta(milliseconds=50)
AT_ONCE: StepOptions = {"err_backoff": timedelta(0), "pause_after_err_count": 2}
Body = Callable[[Run[Thing, Status]], Any]


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


# -- what a body may throw ------------------------------------------------------------------------------------------------------


class OwnBaseError(BaseException):
    """Not an Exception."""


def deep(run: Any) -> Any:
    return deep(run)


THROWN = [Exception("e"), SystemExit(3), KeyboardInterrupt(), MemoryError(), GeneratorExit(), OwnBaseError(), StopIteration()]


@pytest.mark.parametrize("is_async", [False, True], ids=["def", "async def"])
@pytest.mark.parametrize("error", THROWN, ids=lambda error: type(error).__name__)
def test_whatever_a_body_throws_fails_that_attempt_alone(error: BaseException, is_async: bool) -> None:
    def work(run: Run[Thing, Status]) -> Status:
        if run.foreign_id == "bad":
            raise error
        return Status.DONE

    async def work_async(run: Run[Thing, Status]) -> Status:
        return work(run)

    workflow = workflow_of(work_async if is_async else work, **AT_ONCE)
    with engine_of(workflow) as engine:
        bad = engine.trigger(workflow, "bad", Thing())
        paused(bad)
        assert bad.record().last_error is not None
        assert engine.trigger(workflow, "good", Thing()).wait(timeout=LONG).status is Status.DONE
        assert engine.unhealthy is None


def paused(handle: Any) -> None:
    """Wait until errors have paused the run."""
    end = threading.Event()
    for _ in range(3000):
        if handle.record().state is RunState.PAUSED:
            return
        end.wait(0.01)
    pytest.fail("the run was not paused")


def test_a_recursion_without_end_fails_that_attempt_alone() -> None:
    workflow = workflow_of(lambda run: deep(run), **AT_ONCE)
    with engine_of(workflow) as engine:
        handle = engine.trigger(workflow, "o", Thing())
        paused(handle)
        assert (handle.record().last_error or "").startswith("RecursionError")


def test_a_body_that_cancels_itself_fails_that_attempt_alone() -> None:
    async def work(run: Run[Thing, Status]) -> Status:
        raise asyncio.CancelledError

    workflow = workflow_of(work, **AT_ONCE)
    with engine_of(workflow) as engine:
        handle = engine.trigger(workflow, "o", Thing())
        paused(handle)
        assert "cancelled from within" in (handle.record().last_error or "")


def test_a_body_whose_task_is_cancelled_fails_that_attempt_alone() -> None:
    """By a library that it uses, say, which leaves the task with the cancellation."""

    async def work(run: Run[Thing, Status]) -> Status:
        task = asyncio.current_task()
        assert task is not None
        if run.foreign_id == "bad":
            task.cancel()
        await asyncio.sleep(0)
        return Status.DONE

    workflow = workflow_of(work, concurrency=1, **AT_ONCE)
    with engine_of(workflow) as engine:
        bad, good = (engine.trigger(workflow, name, Thing()) for name in ("bad", "good"))
        paused(bad)
        assert "cancelled" in (bad.record().last_error or "")
        assert good.wait(timeout=timedelta(seconds=30)).state is RunState.COMPLETED


# -- time_limit -----------------------------------------------------------------------------------------------------------------


def test_an_async_body_that_outlives_its_time_limit_is_cancelled() -> None:
    ended = threading.Event()

    async def work(run: Run[Thing, Status]) -> Status:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return Status.DONE

    workflow = workflow_of(work, time_limit=SHORT, **AT_ONCE)
    with engine_of(workflow) as engine:
        handle = engine.trigger(workflow, "o", Thing())
        paused(handle)
        assert ended.is_set()
        assert (handle.record().last_error or "").startswith("TimeLimitExceededError")


def test_a_def_body_that_outlives_its_time_limit_is_fenced_its_late_result_is_not_stored() -> None:
    tries: list[int] = []
    late = threading.Event()

    def work(run: Run[Thing, Status]) -> Status:
        tries.append(run.attempt)
        run.object.note = f"attempt {run.attempt}"
        if run.attempt == 1:
            late.wait(0.2)  # nothing sets it: it takes longer than it may
        return Status.DONE

    workflow = workflow_of(work, time_limit=timedelta(milliseconds=100), err_backoff=timedelta(0))
    with engine_of(workflow) as engine:
        run = engine.trigger(workflow, "o", Thing()).wait(timeout=LONG)
        assert run.object.note == "attempt 2"
    assert tries == [1, 2]


def test_an_engine_whose_every_place_is_held_by_overdue_bodies_says_that_it_is_unhealthy() -> None:
    with gate() as body:
        workflow = workflow_of(guarded(body), time_limit=SHORT, concurrency=1)
        with engine_of(workflow, beat=timedelta(seconds=0.1)) as engine:
            engine.trigger(workflow, "o", Thing())
            body.wait_for()
            end = threading.Event()
            for _ in range(1500):
                if engine.unhealthy is not None:
                    break
                end.wait(0.02)
            assert "outlived their time_limit" in (engine.unhealthy or "")
            body.opened.set()
