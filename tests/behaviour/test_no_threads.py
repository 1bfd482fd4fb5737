"""A machine that has no more threads for a moment: what could not be begun is begun a little later."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flowdsl import ConnectorEngine, Engine, Incoming, Run, Workflow
from flowdsl.clock import SystemClock
from flowdsl.memory.connector_source import MemoryConnectorSource
from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.memory.role_scheduler import MemoryRoleScheduler
from flowdsl.model.event import ConnectorEvent
from tests.behaviour.test_connectors_threaded import PATIENCE, Status


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], threading.Event]:
    """Have the next thread whose name holds a text not start; the event tells that it did not."""
    begin = threading.Thread.start

    def refusing(text: str) -> threading.Event:
        refused = threading.Event()

        def start(thread: threading.Thread) -> None:
            if text in thread.name and not refused.is_set():
                refused.set()
                raise RuntimeError("can't start new thread")
            begin(thread)

        monkeypatch.setattr(threading.Thread, "start", start)
        return refused

    return refusing


def workflow() -> Workflow[dict[str, Any], Status]:
    made = Workflow("jobs", object_type=dict[str, Any], status_type=Status)

    @made.step(from_=Status.NEW, to=Status.DONE)
    def work(run: Run[dict[str, Any], Status]) -> None: ...

    return made


def engine_of(made: Workflow[dict[str, Any], Status]) -> Engine:
    return Engine(made, store=MemoryRecordStore(SystemClock()), roles=MemoryRoleScheduler(SystemClock()))


def test_an_event_whose_function_got_no_thread_is_handled_later(refuse: Callable[[str], threading.Event]) -> None:
    jobs, handled = workflow(), threading.Semaphore(0)
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    events = [ConnectorEvent(event_id=f"e-{number}", foreign_id=f"o-{number}", created_at=moment) for number in range(3)]

    @jobs.connector("courier", source=MemoryConnectorSource(events), concurrency=1)
    def on_event(engine: ConnectorEngine, event: Incoming[bytes]) -> None:
        handled.release()

    refused = refuse("-call")
    with engine_of(jobs) as engine:
        assert refused.wait(PATIENCE)
        assert all(handled.acquire(timeout=PATIENCE / 3) for _ in events)
        assert engine.stop(), "nothing is thought to be under way still"


def test_a_schedule_that_got_no_thread_fires_later(refuse: Callable[[str], threading.Event]) -> None:
    jobs, fired = workflow(), threading.Event()

    @jobs.schedule("@every 1s", foreign_id="tick")
    def tick(fire_time: datetime) -> dict[str, Any]:
        fired.set()
        return {}

    refused = refuse("-call")
    with engine_of(jobs):
        assert refused.wait(PATIENCE)
        assert fired.wait(PATIENCE / 3)


def test_an_engine_that_got_too_few_threads_has_not_begun_and_may_begin_again(refuse: Callable[[str], threading.Event]) -> None:
    jobs = workflow()
    before = set(threading.enumerate())
    refuse("-house")
    engine = engine_of(jobs)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        engine.start()
    assert set(threading.enumerate()) <= before

    with engine:
        run = engine.trigger(jobs, "o-1", {}).wait(timeout=timedelta(seconds=PATIENCE))
        assert run.status is Status.DONE
    assert set(threading.enumerate()) <= before
