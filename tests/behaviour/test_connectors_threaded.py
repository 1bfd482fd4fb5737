"""Connectors in an engine with threads: many events at once, coroutines, draining, and the engine's own verbs."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from flowdsl import ConnectorEngine, Engine, Incoming, Run, Workflow
from flowdsl.engine.event_calls import ThreadCalls
from flowdsl.engine.metrics import ProcessState
from flowdsl.memory.connector_source import MemoryConnectorSource
from flowdsl.model.event import ConnectorEvent
from flowdsl.testing.stepped import SteppedEngine
from tests.behaviour.connecting import PLACE

PATIENCE = 30.0
NOW = datetime(2030, 1, 1, tzinfo=UTC)


class Status(StrEnum):
    NEW = "new"
    DONE = "done"


def events(count: int, *, keys: int | None = None) -> list[ConnectorEvent]:
    return [
        ConnectorEvent(event_id=f"e-{number}", foreign_id=f"o-{number % (keys or count)}", created_at=NOW)
        for number in range(count)
    ]


def jobs() -> Workflow[dict[str, Any], Status]:
    workflow = Workflow("jobs", object_type=dict[str, Any], status_type=Status)

    @workflow.step(from_=Status.NEW, to=Status.DONE)
    def work(run: Run[dict[str, Any], Status]) -> None: ...

    return workflow


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'jobs.db'}"


@pytest.mark.parametrize("is_async", [False, True])
def test_events_are_handled_side_by_side_and_each_thing_in_order(url: str, is_async: bool) -> None:
    orders, source = jobs(), MemoryConnectorSource(events(60, keys=6))
    seen: dict[str, list[str]] = {}
    busy: Counter[str] = Counter()
    together, most = 0, 0
    lock, done = threading.Lock(), threading.Event()
    meeting = threading.Barrier(6, timeout=PATIENCE)

    def begin(event: Incoming[bytes]) -> None:
        nonlocal together, most
        with lock:
            busy[event.foreign_id] += 1
            together += 1
            most = max(most, together)
            assert busy[event.foreign_id] == 1, "two events about one thing at once"
            seen.setdefault(event.foreign_id, []).append(event.event_id)

    def end(event: Incoming[bytes]) -> None:
        nonlocal together
        with lock:
            busy[event.foreign_id] -= 1
            together -= 1
            if sum(map(len, seen.values())) == 60 and not together:
                done.set()

    if is_async:

        @orders.connector("courier", source=source, concurrency=6)
        async def on_event_async(engine: ConnectorEngine, event: Incoming[bytes]) -> None:
            begin(event)
            await engine.aio.trigger_many(orders, [(event.event_id, {})])
            await asyncio.sleep(0)
            end(event)
    else:

        @orders.connector("courier", source=source, concurrency=6)
        def on_event(engine: ConnectorEngine, event: Incoming[bytes]) -> None:
            begin(event)
            if event.event_id in {f"e-{number}" for number in range(6)}:
                meeting.wait()  # all six at once, or it breaks
            engine.trigger(orders, event.event_id, {})
            end(event)

    with Engine.from_url(orders, store=url) as engine:
        assert done.wait(PATIENCE)
        assert engine.states()["jobs/courier-connector-1-of-1"] is ProcessState.RUNNING
        assert len(engine.runs(orders, limit=500).runs) == 60
    assert {key: ids for key, ids in seen.items()} == {
        f"o-{key}": [f"e-{number}" for number in range(60) if number % 6 == key] for key in range(6)
    }
    assert is_async or most == 6


@pytest.mark.parametrize("is_async", [False, True])
def test_a_stop_lets_what_is_being_handled_finish_and_gives_back_the_rest(url: str, is_async: bool) -> None:
    orders, source = jobs(), MemoryConnectorSource(events(5))
    begun, go_on = threading.Event(), threading.Event()

    if is_async:

        @orders.connector("courier", source=source, concurrency=1)
        async def on_event_async(engine: ConnectorEngine, event: Incoming[bytes]) -> None:
            begun.set()
            await asyncio.to_thread(go_on.wait, PATIENCE)
            await engine.aio.trigger(orders, event.foreign_id, {})
    else:

        @orders.connector("courier", source=source, concurrency=1)
        def on_event(engine: ConnectorEngine, event: Incoming[bytes]) -> None:
            begun.set()
            go_on.wait(PATIENCE)
            engine.trigger(orders, event.foreign_id, {})

    engine = Engine.from_url(orders, store=url)
    engine.start()
    assert begun.wait(PATIENCE)
    clean: list[bool] = []
    stopping = threading.Thread(target=lambda: clean.append(engine.stop()))
    stopping.start()
    while engine.states()["jobs/courier-connector-1-of-1"] is not ProcessState.SHUTDOWN:
        pass
    go_on.set()
    stopping.join(PATIENCE)

    reader = source.open(PLACE)
    left = [event.event_id for event in reader.receive(10, timedelta(0))]
    assert (clean, left) == ([True], ["e-1", "e-2", "e-3", "e-4"])


@pytest.mark.parametrize("is_async", [False, True])
def test_a_stop_does_not_wait_for_ever_for_an_event(url: str, is_async: bool) -> None:
    orders, source = jobs(), MemoryConnectorSource(events(1))
    begun, never, ended = threading.Event(), threading.Event(), threading.Event()

    if is_async:

        @orders.connector("courier", source=source)
        async def on_event_async(engine: ConnectorEngine, event: Incoming[bytes]) -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
    else:

        @orders.connector("courier", source=source)
        def on_event(engine: ConnectorEngine, event: Incoming[bytes]) -> None:
            begun.set()
            never.wait(PATIENCE)
            ended.set()

    engine = Engine.from_url(orders, store=url)
    engine.start()
    assert begun.wait(PATIENCE)
    assert not engine.stop(drain=timedelta(milliseconds=50))
    never.set()
    assert ended.wait(PATIENCE)
    assert len(source.open(PLACE).receive(10, timedelta(0))) == 1


def test_a_role_that_comes_back_while_an_event_is_handled_leaves_no_event_behind() -> None:
    orders, source = jobs(), MemoryConnectorSource(events(3))
    begun, go_on = threading.Event(), threading.Event()
    handled: list[str] = []

    @orders.connector("courier", source=source, concurrency=1)
    def on_event(engine: ConnectorEngine, event: Incoming[bytes]) -> None:
        begun.set()
        go_on.wait(PATIENCE)
        handled.append(event.event_id)

    with SteppedEngine(orders) as engine:
        consumer = engine.worker.connectors.consumers[0]
        calls = consumer._calls = ThreadCalls("test", asyncio.new_event_loop)
        engine.step()
        assert begun.wait(PATIENCE)
        holds, consumer.holds = consumer.holds, lambda role: False
        engine.step()
        consumer.holds = holds
        engine.step()
        go_on.set()
        while len(handled) < 3:
            consumer.step(timedelta(seconds=1))
        engine.step()
        calls.stop()
    assert handled == ["e-0", "e-1", "e-2"]


def test_an_event_that_waits_for_a_place_keeps_nobody_busy() -> None:
    orders, source = jobs(), MemoryConnectorSource(events(2))
    go_on = threading.Event()
    handled: list[str] = []

    @orders.connector("courier", source=source, concurrency=1)
    def on_event(engine: ConnectorEngine, event: Incoming[bytes]) -> None:
        go_on.wait(PATIENCE)
        handled.append(event.event_id)

    with SteppedEngine(orders) as engine:
        consumer = engine.worker.connectors.consumers[0]
        calls = consumer._calls = ThreadCalls("test", asyncio.new_event_loop)
        consumer.step()
        threading.Timer(0.2, go_on.set).start()
        steps = 0
        while len(handled) < 2:
            consumer.step(timedelta(seconds=1))
            steps += 1
        engine.step()
        calls.stop()
    assert steps < 30


def test_a_loop_that_fails_begins_again_and_loses_nothing(url: str, caplog: pytest.LogCaptureFixture) -> None:
    orders, source = jobs(), MemoryConnectorSource(events(3))
    real, broken, done = source.open, iter([True]), threading.Event()

    def open_(name: str) -> Any:
        if next(broken, False):
            raise ZeroDivisionError("a mistake in the source")
        return real(name)

    source.open = open_  # type: ignore[method-assign]

    @orders.connector("courier", source=source)
    def on_event(engine: ConnectorEngine, event: Incoming[bytes]) -> None:
        engine.trigger(orders, event.foreign_id, {})
        if event.event_id == "e-2":
            done.set()

    with Engine.from_url(orders, store=url):
        assert done.wait(PATIENCE)
    assert "loop failed and starts again" in caplog.text


def test_coroutines_run_on_the_callers_loop(url: str) -> None:
    orders, source = jobs(), MemoryConnectorSource(events(1))
    loops: list[Any] = []

    async def main() -> None:
        done = asyncio.Event()

        @orders.connector("courier", source=source)
        async def on_event(engine: ConnectorEngine, event: Incoming[bytes]) -> None:
            loops.append(asyncio.get_running_loop())
            done.set()

        async with Engine.from_url(orders, store=url).aio:
            await asyncio.wait_for(done.wait(), PATIENCE)
            assert loops == [asyncio.get_running_loop()]

    asyncio.run(main())
