"""Schedules in an engine with threads and the machine's clock."""

from __future__ import annotations

import asyncio
import threading
from datetime import datetime
from typing import Any

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.engine import Engine
from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.memory.role_scheduler import MemoryRoleScheduler
from flowdsl.model.schedule import IfRunning
from tests.behaviour.world import Status, Thing

PATIENCE = 60
EVERY_SECOND = "* * * * * *"


def workflow(name: str = "diary") -> Workflow[Thing, Status]:
    made = Workflow(name, object_type=Thing, status_type=Status)

    @made.step(from_=Status.NEW, to=Status.DONE)
    def work(run: Run[Thing, Status]) -> Status:
        return Status.DONE

    return made


def engine_of(*workflows: Workflow[Any, Any]) -> Engine:
    return Engine(*workflows, store=MemoryRecordStore(), roles=MemoryRoleScheduler())


def test_a_schedule_blocks_nobody_and_ends_with_its_engine() -> None:
    diary, twice = workflow(), threading.Semaphore(0)

    @diary.schedule(EVERY_SECOND, foreign_id="page", if_running=IfRunning.ALLOW)
    def write(fire_time: datetime) -> Thing:
        twice.release()
        return Thing()

    engine = engine_of(diary)
    engine.start()  # and returns
    assert twice.acquire(timeout=PATIENCE)
    assert twice.acquire(timeout=PATIENCE)
    assert engine.stop()
    while twice.acquire(blocking=False):
        """What it did until then."""

    assert not twice.acquire(timeout=1.5), "it goes on after the stop"


def test_a_function_that_hangs_holds_back_neither_other_schedules_nor_the_steps_nor_the_stop() -> None:
    diary, going_on, hanging, release = workflow(), threading.Semaphore(0), threading.Event(), threading.Event()

    @diary.schedule(EVERY_SECOND, foreign_id="stuck")
    def hang(fire_time: datetime) -> Thing:
        hanging.set()
        release.wait()
        return Thing()

    @diary.schedule(EVERY_SECOND, foreign_id="page", if_running=IfRunning.ALLOW)
    def write(fire_time: datetime) -> Thing:
        if hanging.is_set():
            going_on.release()
        return Thing()

    engine = engine_of(diary)
    engine.start()
    try:
        for _ in range(2):
            assert going_on.acquire(timeout=PATIENCE)
        handle = engine.trigger(diary, "by-hand", Thing())
        assert handle.wait().status is Status.DONE
        assert engine.stop()
    finally:
        release.set()


def test_an_async_function_runs_on_the_callers_loop_and_does_not_block_it() -> None:
    diary, loops, asked = workflow(), [], asyncio.Event()

    @diary.schedule(EVERY_SECOND, foreign_id="page", if_running=IfRunning.ALLOW)
    async def write(fire_time: datetime) -> Thing:
        loops.append(asyncio.get_running_loop())
        await asyncio.sleep(0)
        asked.set()
        return Thing()

    async def use() -> None:
        async with (engine := engine_of(diary)).aio:
            await asyncio.wait_for(asked.wait(), PATIENCE)
            by_hand = await engine.aio.schedules.trigger(diary, "page")
            assert by_hand is not None
            await by_hand.wait()
        assert set(loops) == {asyncio.get_running_loop()}

    asyncio.run(use())


def test_a_stop_does_not_count_as_a_failure_of_the_async_function_that_it_interrupts() -> None:
    diary, store, begun = workflow(), MemoryRecordStore(), threading.Event()

    @diary.schedule(EVERY_SECOND, foreign_id="page")
    async def write(fire_time: datetime) -> Thing:
        begun.set()
        await asyncio.Event().wait()
        return Thing()

    close, store.close = store.close, lambda: None  # type: ignore[method-assign]
    with Engine(diary, store=store, roles=MemoryRoleScheduler()):
        assert begun.wait(PATIENCE)
    (kept,) = Engine(diary, store=store, works=False).schedules.list()
    close()

    assert (kept.attempts, kept.error) == (0, None)
    assert kept.slot is not None


def test_a_schedule_made_in_a_running_fleet_begins_within_a_second() -> None:
    diary, store, roles = workflow(), MemoryRecordStore(), MemoryRoleScheduler()
    with Engine(diary, store=store, roles=roles) as engine:
        engine.schedules.create(diary, "page", EVERY_SECOND, Thing("made"), if_running=IfRunning.ALLOW)
        end = threading.Event()
        for _ in range(PATIENCE * 10):
            found = engine.runs(diary).runs
            if len(found) >= 2:
                break
            end.wait(0.1)
        late = [(run.created_at - datetime.fromisoformat(run.metadata["slot"])).total_seconds() for run in found]

    assert len(late) >= 2
    assert min(late) >= 0, "never early"
