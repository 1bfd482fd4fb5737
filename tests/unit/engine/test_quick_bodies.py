"""Quick bodies share a thread; none of them waits behind one that turns out to be slow."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import pytest

from flowdsl import Engine, Run, RunState, Workflow
from flowdsl.clock import PORTION, OsRandom
from flowdsl.engine import thread_executor

SOON = timedelta(seconds=20)


class Status(StrEnum):
    NEW = "new"
    HALF = "half"
    DONE = "done"


@dataclass
class Thing:
    slow: bool = False


class Factory:
    """Two quick steps, the second of which a chosen run makes slow: it waits for `gate`."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.stuck = threading.Event()
        self.threads: set[str] = set()
        self.workflow = workflow = Workflow("quick", object_type=Thing, status_type=Status)

        @workflow.step(from_=Status.NEW, to=Status.HALF)
        def begin(run: Run[Thing, Status]) -> Status:
            self.threads.add(threading.current_thread().name)
            return Status.HALF

        @workflow.step(from_=Status.HALF, to=Status.DONE)
        def end(run: Run[Thing, Status]) -> Status:
            self.threads.add(threading.current_thread().name)
            if run.object.slow:
                self.stuck.set()
                assert self.gate.wait(SOON.total_seconds())
            return Status.DONE


@pytest.fixture(params=["memory://", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: object) -> str:
    return request.param if request.param != "sqlite" else f"sqlite:///{tmp_path}/quick.db"


@pytest.fixture
def factory() -> Iterator[Factory]:
    made = Factory()
    yield made
    made.gate.set()


def test_a_run_whose_steps_are_quick_stays_with_one_thread(factory: Factory, store: str) -> None:
    with Engine.from_url(factory.workflow, store=store) as engine:
        for number in range(20):
            engine.trigger(factory.workflow, f"warm-{number}", Thing()).wait(timeout=SOON)
        for number in range(20):
            factory.threads.clear()
            engine.trigger(factory.workflow, f"run-{number}", Thing()).wait(timeout=SOON)
            if len(factory.threads) == 1:
                return
    pytest.fail("each of twenty runs went from thread to thread")


def test_a_body_that_is_slow_for_once_holds_up_no_other_run(factory: Factory, store: str) -> None:
    with Engine.from_url(factory.workflow, store=store) as engine:
        engine.trigger_many(factory.workflow, [(f"warm-{number}", Thing()) for number in range(200)])
        runs = [
            engine.trigger_many(factory.workflow, [(f"run-{turn}-{number}", Thing(number == 20)) for number in range(40)])
            for turn in range(4)
        ]
        assert factory.stuck.wait(SOON.total_seconds())

        quick = [handle for handles in runs for number, handle in enumerate(handles) if number != 20]
        assert {handle.wait(timeout=SOON).state for handle in quick} == {RunState.COMPLETED}
        slow = [handles[20] for handles in runs]
        assert {handle.record().status for handle in slow} == {"half"}
        factory.gate.set()
        assert {handle.wait(timeout=SOON).state for handle in slow} == {RunState.COMPLETED}


class Clinic:
    """A quick workflow, and one whose body waits for `gate` or, once that is open, takes some milliseconds."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.quick: Workflow[Thing, Status] = Workflow("quick", object_type=Thing, status_type=Status, retired=[Status.HALF])
        self.slow: Workflow[Thing, Status] = Workflow("slow", object_type=Thing, status_type=Status, retired=[Status.HALF])

        @self.quick.step(from_=Status.NEW, to=Status.DONE)
        def look(run: Run[Thing, Status]) -> None: ...

        @self.slow.step(from_=Status.NEW, to=Status.DONE)
        def operate(run: Run[Thing, Status]) -> None:
            self.entered.set()
            assert self.gate.wait(SOON.total_seconds())
            time.sleep(0.002)


@pytest.fixture
def clinic(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clinic]:
    """Where nobody comes to the rescue of what waits on the shelf."""
    monkeypatch.setattr(thread_executor, "PATIENCE", 1000.0)
    made = Clinic()
    yield made
    made.gate.set()


def warmed(engine: Engine, clinic: Clinic) -> None:
    """Its quick lane is known to be quick."""
    for number in range(60):
        engine.trigger(clinic.quick, f"warm-{number}", Thing()).wait(timeout=SOON)
    assert engine._the_core().lanes["quick", "new"].quick


def test_quick_works_do_not_wait_for_a_slow_body(clinic: Clinic) -> None:
    with Engine.from_url(clinic.quick, clinic.slow, store="memory://") as engine:
        warmed(engine, clinic)
        engine.trigger(clinic.slow, "long", Thing())
        assert clinic.entered.wait(SOON.total_seconds())
        for number in range(10):
            engine.trigger(clinic.quick, f"run-{number}", Thing()).wait(timeout=SOON)
        assert not clinic.gate.is_set()
        clinic.gate.set()


def test_quick_works_do_not_wait_for_the_backlog_of_a_slow_lane(clinic: Clinic) -> None:
    clinic.gate.set()
    with Engine.from_url(clinic.quick, clinic.slow, store="memory://") as engine:
        warmed(engine, clinic)
        patients = engine.trigger_many(clinic.slow, [(f"long-{number}", Thing()) for number in range(2000)])
        assert clinic.entered.wait(SOON.total_seconds())
        for number in range(10):
            engine.trigger(clinic.quick, f"run-{number}", Thing()).wait(timeout=SOON)
        assert patients[-1].record().status == "new", "the backlog was not worked off first"
        for patient in patients:
            patient.wait(timeout=SOON)


def test_a_thread_that_cannot_be_started_loses_no_work(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    start, refused = threading.Thread.start, 0

    def refusing(thread: threading.Thread) -> None:
        nonlocal refused
        if "-step-" in thread.name and refused < 3:
            refused += 1
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refusing)
    clinic.gate.set()
    with Engine.from_url(clinic.quick, clinic.slow, store="memory://") as engine:
        handles = [engine.trigger(clinic.quick, f"run-{number}", Thing()) for number in range(5)]
        handles += [engine.trigger(clinic.slow, f"run-{number}", Thing()) for number in range(5)]
        assert {handle.wait(timeout=SOON).state for handle in handles} == {RunState.COMPLETED}
        assert refused == 3
        executor = engine._worker.executor if engine._worker is not None else None
        assert isinstance(executor, thread_executor.ThreadExecutor)
        assert executor._owed == 0


def test_an_event_loop_whose_thread_cannot_be_started_loses_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    start, refused = threading.Thread.start, 0

    def refusing(thread: threading.Thread) -> None:
        nonlocal refused
        if thread.name.endswith("-loop") and not refused:
            refused += 1
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refusing)
    workflow: Workflow[Thing, Status] = Workflow("loops", object_type=Thing, status_type=Status, retired=[Status.HALF])

    @workflow.step(from_=Status.NEW, to=Status.DONE)
    async def look(run: Run[Thing, Status]) -> None: ...

    with Engine.from_url(workflow, store="memory://") as engine:
        handles = [engine.trigger(workflow, f"run-{number}", Thing()) for number in range(2)]
        assert {handle.wait(timeout=SOON).state for handle in handles} == {RunState.COMPLETED}
    assert refused


def test_random_bytes_come_once_in_every_thread_and_in_every_process() -> None:
    source = OsRandom()
    drawn = [source(10) for _ in range(2 * PORTION // 10)]
    with ThreadPoolExecutor(4) as pool:
        drawn += pool.map(lambda _: source(10), range(1000))
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, b"".join(source(10) for _ in range(100)))
        os._exit(0)
    drawn += [source(10) for _ in range(100)]
    os.waitpid(child, 0)
    theirs = os.read(reader, 1000)
    drawn += [theirs[begin : begin + 10] for begin in range(0, 1000, 10)]

    assert {len(one) for one in drawn} == {10}
    assert len(set(drawn)) == len(drawn)
