"""Waiting for a run: until it passes a status, or until it has ended."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from datetime import timedelta
from enum import StrEnum
from typing import Any

import pytest

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.engine import Engine
from flowdsl.engine.handle import RunHandle
from flowdsl.engine.waiter import Wait
from flowdsl.errors import (
    BlockingCallError,
    ConfigurationError,
    DefinitionError,
    RunEndedError,
    RunNotFoundError,
    WaitTimeoutError,
)
from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.memory.role_scheduler import MemoryRoleScheduler
from flowdsl.model.outcome import Outcome
from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState
from tests.behaviour.world import Status, Thing

LONG = timedelta(seconds=30)
SHORT = timedelta(milliseconds=20)


class Stage(StrEnum):
    START = "start"
    MIDDLE = "middle"
    END = "end"


class Scene:
    """A run of two steps, each of which waits until it may go on."""

    def __init__(self) -> None:
        self.first, self.second = threading.Event(), threading.Event()
        self.answer: str = "on"
        self.workflow = workflow = Workflow("scenes", object_type=Thing, status_type=Stage)

        @workflow.step(from_=Stage.START, to=Stage.MIDDLE)
        def begin(run: Run[Thing, Stage]) -> Stage | Outcome:
            assert self.first.wait(LONG.total_seconds())
            return run.cancel("no") if self.answer == "cancel" else Stage.MIDDLE

        @workflow.step(from_=Stage.MIDDLE, to=Stage.END)
        def finish(run: Run[Thing, Stage]) -> Stage:
            assert self.second.wait(LONG.total_seconds())
            return Stage.END

        self.store = MemoryRecordStore()
        self.engine = Engine(workflow, store=self.store, roles=MemoryRoleScheduler())

    def __enter__(self) -> Scene:
        self.engine.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.first.set()
        self.second.set()
        self.engine.stop()

    def trigger(self, foreign_id: str = "thing") -> RunHandle[Thing, Stage]:
        return self.engine.trigger(self.workflow, foreign_id, Thing("seen"))


def waits_begun(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Released once for each wait that has begun on this engine."""
    waiter, begun = engine._the_core().waiter, threading.Semaphore(0)
    begin = waiter.begin

    def announced(wait: Wait, timeout: float | None = None) -> None:
        begin(wait, timeout)
        begun.release()

    monkeypatch.setattr(waiter, "begin", announced)
    return begun


def until_begun(begun: threading.Semaphore, count: int = 1) -> None:
    for _ in range(count):
        assert begun.acquire(timeout=LONG.total_seconds())


def waiting_still(handle: RunHandle[Thing, Stage]) -> int:
    """How many waits of this run are kept."""
    return len(handle._core.waiter._waits.get(handle.run_id, ()))


def test_a_wait_for_a_status_ends_when_the_run_gets_there_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    with Scene() as scene, ThreadPoolExecutor() as threads:
        handle = scene.trigger()
        begun = waits_begun(scene.engine, monkeypatch)
        waiting = threads.submit(handle.wait, Stage.MIDDLE, LONG)
        until_begun(begun)
        assert not waiting.done()

        scene.first.set()

        found = waiting.result(LONG.total_seconds())
        assert (found.status, found.state, found.object) == (Stage.MIDDLE, RunState.RUNNING, Thing("seen"))


def test_a_wait_for_the_end_is_not_content_with_a_pause() -> None:
    scene = Scene()  # not started: nobody works on the run
    handle = scene.trigger()
    handle.pause("lunch")

    with pytest.raises(WaitTimeoutError) as late:
        handle.wait(timeout=SHORT)

    assert late.value.run_id == handle.run_id
    assert isinstance(late.value, TimeoutError)
    scene.engine.stop()


def test_a_wait_for_a_status_that_was_passed_already_is_answered_at_once_with_the_run_as_it_is() -> None:
    with Scene() as scene:
        handle = scene.trigger()
        scene.first.set()
        scene.second.set()
        handle.wait(timeout=LONG)

        assert handle.wait(Stage.START, timeout=SHORT).status is Stage.END
        assert handle.wait(Stage.MIDDLE, timeout=SHORT).status is Stage.END


def test_a_wait_for_a_status_that_can_no_longer_come_says_how_the_run_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Scene() as scene, ThreadPoolExecutor() as threads:
        scene.answer = "cancel"
        handle = scene.trigger()
        begun = waits_begun(scene.engine, monkeypatch)
        waiting = threads.submit(handle.wait, Stage.MIDDLE, LONG)
        until_begun(begun)
        scene.first.set()

        with pytest.raises(RunEndedError, match="cancelled in 'start' without passing 'middle'") as ended:
            waiting.result(LONG.total_seconds())
        assert (ended.value.run_id, ended.value.foreign_id) == (handle.run_id, "thing")


def test_a_wait_that_a_cancel_ends_tells_who_cancelled_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    with Scene() as scene, ThreadPoolExecutor() as threads:
        executing = threading.Event()
        may_end = scene.first.wait

        def announced(timeout: float | None = None) -> bool:
            executing.set()
            return may_end(timeout)

        monkeypatch.setattr(scene.first, "wait", announced)
        handle = scene.trigger()
        begun = waits_begun(scene.engine, monkeypatch)
        waiting = threads.submit(handle.wait, None, LONG)
        until_begun(begun)
        assert executing.wait(LONG.total_seconds())
        assert handle.cancel("not needed", actor="Ada").requested is not None

        scene.first.set()

        found = waiting.result(LONG.total_seconds())
        assert (found.state, found.status) == (RunState.CANCELLED, Stage.MIDDLE)
        assert (found.record.reason, found.record.actor) == ("not needed", "Ada")


def test_a_wait_sees_what_another_process_does(monkeypatch: pytest.MonkeyPatch) -> None:
    with Scene() as scene, ThreadPoolExecutor() as threads:
        elsewhere = Engine(scene.workflow, store=scene.store, works=False)
        handle = scene.trigger()
        outside = elsewhere.handle(handle.run_id)
        begun = waits_begun(elsewhere, monkeypatch)
        waiting = threads.submit(outside.wait, None, LONG)
        until_begun(begun)

        scene.first.set()
        scene.second.set()

        assert waiting.result(LONG.total_seconds()).status is Stage.END


def test_many_waits_on_one_run_are_all_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    with Scene() as scene, ThreadPoolExecutor(50) as threads:
        handle = scene.trigger()
        begun = waits_begun(scene.engine, monkeypatch)
        waits = [threads.submit(handle.wait, Stage.MIDDLE if n % 2 else None, LONG) for n in range(50)]
        until_begun(begun, 50)
        scene.first.set()
        scene.second.set()

        assert {one.result(LONG.total_seconds()).foreign_id for one in waits} == {"thing"}
        assert not waiting_still(handle)


def test_waits_for_runs_of_one_foreign_id_are_told_apart() -> None:
    with Scene() as scene, ThreadPoolExecutor() as threads:
        first = scene.trigger()
        first.pause("lunch")
        scene.first.set()
        first.cancel("another comes", force=True)
        second = scene.trigger()
        of_second = threads.submit(second.wait, None, LONG)
        scene.second.set()

        assert first.wait(timeout=LONG).state is RunState.CANCELLED
        assert of_second.result(LONG.total_seconds()).run_id == second.run_id


def test_a_wait_that_ran_out_leaves_nothing_behind() -> None:
    with Scene() as scene:
        handle = scene.trigger()

        with pytest.raises(WaitTimeoutError):
            handle.wait(Stage.END, timeout=SHORT)

        assert not waiting_still(handle)


def test_coroutines_wait_by_the_hundred_without_a_thread_each(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(scene: Scene) -> None:
        handle = await scene.engine.aio.trigger(scene.workflow, "thing", Thing())
        begun = waits_begun(scene.engine, monkeypatch)
        waits = [asyncio.create_task(handle.wait(timeout=LONG)) for _ in range(200)]
        await asyncio.to_thread(until_begun, begun, 200)
        assert threading.active_count() < 100
        scene.first.set()
        scene.second.set()
        assert {one.status for one in await asyncio.gather(*waits)} == {Stage.END}

    with Scene() as scene:
        asyncio.run(play(scene))


def test_a_coroutine_that_is_cancelled_leaves_no_wait_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(scene: Scene) -> None:
        handle = await scene.engine.aio.trigger(scene.workflow, "thing", Thing())
        begun = waits_begun(scene.engine, monkeypatch)
        waiting = asyncio.create_task(handle.wait())
        await asyncio.to_thread(until_begun, begun)

        waiting.cancel()

        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not waiting_still(handle._handle)

    with Scene() as scene:
        asyncio.run(play(scene))


def test_a_coroutines_wait_has_the_errors_of_the_blocking_one() -> None:
    async def play(scene: Scene) -> None:
        handle = await scene.engine.aio.trigger(scene.workflow, "thing", Thing())
        with pytest.raises(WaitTimeoutError):
            await handle.wait(Stage.END, timeout=SHORT)
        await handle.cancel("no need", force=True)
        with pytest.raises(RunEndedError):
            await handle.wait(Stage.END, timeout=LONG)

    with Scene() as scene:
        asyncio.run(play(scene))


def test_a_blocking_wait_on_a_running_loop_is_refused_and_names_its_twin() -> None:
    async def play(scene: Scene) -> None:
        handle = await scene.engine.aio.trigger(scene.workflow, "thing", Thing())
        with pytest.raises(BlockingCallError, match=r"await handle\.aio\.wait"):
            handle._handle.wait()

    with Scene() as scene:
        asyncio.run(play(scene))


def test_a_wait_for_a_run_that_is_not_there_is_an_error() -> None:
    scene = Scene()
    handle: RunHandle[Thing, Stage] = RunHandle(scene.engine._the_core(), scene.workflow, "nobody", "thing")

    with pytest.raises(RunNotFoundError):
        handle.wait(timeout=SHORT)
    scene.engine.stop()


def test_a_wait_for_a_status_of_another_workflow_is_refused_at_once() -> None:
    scene = Scene()
    handle = scene.trigger()
    stranger: Any = Status.DONE

    with pytest.raises(DefinitionError, match="not a status of workflow 'scenes'"):
        handle.wait(stranger, timeout=LONG)

    assert not waiting_still(handle)
    scene.engine.stop()


def test_a_wait_for_a_status_needs_the_workflows_code() -> None:
    scene = Scene()
    handle = scene.trigger()
    stranger = Engine(store=scene.store, works=False)

    with pytest.raises(ConfigurationError, match="not one of this engine's"):
        stranger.handle(handle.run_id).wait(Stage.END, timeout=SHORT)
    scene.engine.stop()


class Late(Future[RunRecord]):
    """An answer that comes in the very moment in which whoever waits for it gives up."""

    def __init__(self, answer: RunRecord) -> None:
        super().__init__()
        self._answer = answer

    def result(self, timeout: float | None = None) -> RunRecord:
        if not self.done():
            self.set_result(self._answer)
            raise FutureTimeoutError
        return super().result(timeout)


def test_an_answer_that_comes_as_the_time_runs_out_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    handle = scene.trigger()
    late = Wait(handle.run_id, None)
    late.future = Late(handle.cancel("no need"))
    monkeypatch.setattr(scene.engine._the_core().waiter, "wait", lambda *_: late)

    assert handle.wait(timeout=SHORT).state is RunState.CANCELLED
    scene.engine.stop()


def test_an_answer_that_a_coroutine_is_told_too_late_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(scene: Scene, handle: RunHandle[Thing, Stage]) -> None:
        over = threading.Event()
        waiter = scene.engine._the_core().waiter
        begin = waiter.begin

        def held_up(wait: Wait, timeout: float | None = None) -> None:
            begin(wait, timeout)
            assert over.wait(LONG.total_seconds())

        monkeypatch.setattr(waiter, "begin", held_up)
        try:
            assert (await handle.aio.wait(timeout=timedelta(milliseconds=200))).state is RunState.CANCELLED
        finally:
            over.set()

    scene = Scene()
    handle = scene.trigger()
    handle.cancel("no need")
    asyncio.run(play(scene, handle))
    scene.engine.stop()
