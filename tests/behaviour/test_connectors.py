"""Connectors: events of somebody else's stream are handled in order, each starts what it starts once, and none is lost."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flowdsl.dsl.incoming import Incoming
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.connector_engine import ConnectorEngine
from flowdsl.engine.metrics import ProcessState
from flowdsl.errors import ConfigurationError, WorkflowInProgressError
from flowdsl.memory.connector_source import MemoryConnectorSource
from flowdsl.model.event import ConnectorEvent
from flowdsl.model.run_state import RunState
from flowdsl.ports.connector_source import ConnectorReader
from tests.behaviour.connecting import PLACE, PROCESS, Forgetful, Stream
from tests.behaviour.world import MINUTE, SECOND, Job, Status, Thing, World, sample


def test_an_event_starts_a_run_and_is_acknowledged(world: World) -> None:
    stream = Stream(world)
    stream.add("e-1", "e-2")
    with stream.engine() as engine:
        engine.run_until_idle()
        stream.add("e-3")
        engine.run_until_idle()
        assert stream.runs(engine) == ["e-1", "e-2", "e-3"]
        assert engine.latest(stream.orders, "e-1").run().state is RunState.COMPLETED
        assert engine.latest(stream.orders, "e-1").history()[0].actor == "connector courier"
    with stream.engine() as engine:
        engine.run_until_idle()
    assert stream.handled == [("e-1", 1), ("e-2", 1), ("e-3", 1)]
    assert stream.unacknowledged() == []


@pytest.mark.parametrize("finished", [True, False])
def test_an_event_that_comes_again_starts_nothing_twice(world: World, finished: bool) -> None:
    created: list[bool] = []

    def handler(engine: ConnectorEngine, event: Incoming[Any]) -> None:
        created.append(engine.trigger(stream.orders, "thing", Thing()).created)
        created.append(engine.trigger_many(stream.orders, [("a", Thing()), ("b", Thing())])[0].created)

    stream = Stream(world, handler)
    stream.add("e-1")
    first = stream.engine(sources={"courier": Forgetful(stream.source)})
    with first:
        if finished:
            first.run_until_idle()
        else:
            first.step()  # the call is made in the first round, the steps in the next ones
    assert stream.unacknowledged() == ["e-1"]
    with stream.engine() as engine:
        engine.run_until_idle()
        assert (stream.runs(engine), created) == (["a", "b", "thing"], [True, True, False, False])
    assert stream.unacknowledged() == []


def test_a_key_of_ones_own_wins(world: World) -> None:
    def handler(engine: ConnectorEngine, event: Incoming[Any]) -> None:
        engine.trigger(stream.orders, event.foreign_id, Thing(), idempotency_key="same", actor="ada")

    stream = Stream(world, handler)
    stream.add("e-1", "e-2")
    with stream.engine() as engine:
        engine.run_until_idle()
        assert stream.runs(engine) == ["e-1"]
        assert engine.latest(stream.orders, "e-1").history()[0].actor == "ada"


def test_one_event_may_start_many_things_in_any_order(world: World) -> None:
    """What is called for is known by what it is for: a set is walked in another order in another process."""
    orders_tried: list[list[str]] = []

    def handler(engine: ConnectorEngine, event: Incoming[Any]) -> None:
        wanted = ["a", "b", "c"] if event.attempt == 1 else ["c", "b", "a"]
        orders_tried.append(wanted)
        for number, foreign_id in enumerate(wanted):
            if event.attempt == 1 and number == 2:
                raise RuntimeError("half way")
            engine.trigger(stream.orders, foreign_id, Thing())

    stream = Stream(world, handler, err_backoff=SECOND)
    stream.add("e-1")
    with stream.engine() as engine:
        engine.advance(MINUTE)
        assert (stream.runs(engine), len(orders_tried)) == (["a", "b", "c"], 2)


def test_the_same_thing_may_be_started_twice_by_one_event(world: World) -> None:
    def handler(engine: ConnectorEngine, event: Incoming[Any]) -> None:
        first = engine.trigger(stream.orders, "thing", Thing())
        first.cancel("to make room", force=True)
        assert engine.trigger(stream.orders, "thing", Thing()).created

    stream = Stream(world, handler, dead_letter_after_err_count=1)
    stream.add("e-1")
    with stream.engine() as engine:
        engine.run_until_idle()
        assert stream.runs(engine) == ["thing", "thing"]


def test_a_function_may_use_every_verb(world: World) -> None:
    found: list[Any] = []

    def handler(engine: ConnectorEngine, event: Incoming[Any]) -> None:
        handle = engine.trigger(stream.orders, "thing", Thing("x"))
        found.append(engine.latest(stream.orders, "thing").run_id == handle.run_id)
        found.append([run.run_id for run in engine.runs(stream.orders).runs] == [handle.run_id])
        found.append(engine.handle(handle.run_id).record().foreign_id)
        found.append(engine.namespace)

    stream = Stream(world, handler)
    stream.add("e-1")
    with stream.engine() as engine:
        engine.run_until_idle()
    assert found == [True, True, "thing", "default"]


def test_connectors_of_two_workflows_read_the_same_stream_each_for_itself(world: World) -> None:
    """Whatever they are named."""
    first, second = Stream(world), Stream(world)
    other = Workflow("others", object_type=Thing, status_type=Status)
    other.step(from_=Status.NEW, to=Status.DONE)(lambda run: Status.DONE)
    got: list[str] = []
    other.connector("courier", source=first.source)(lambda engine, event: got.append(event.event_id))
    first.add("e-1", "e-2")
    with world.engine(first.orders, other) as engine:
        engine.run_until_idle()
    with world.engine(second.orders, namespace="elsewhere", sources={"courier": first.source}) as engine:
        engine.run_until_idle()
    assert (first.handled, got, second.handled) == ([("e-1", 1), ("e-2", 1)], ["e-1", "e-2"], [("e-1", 1), ("e-2", 1)])


@pytest.mark.parametrize("trigger_many", [False, True])
def test_coroutine_functions_are_equal(world: World, trigger_many: bool) -> None:
    stream = Stream(world)
    async_source = MemoryConnectorSource([stream.event("e-1"), stream.event("e-2")])

    @stream.orders.connector("mails", source=async_source)
    async def on_mail(engine: ConnectorEngine, event: Incoming[bytes]) -> None:
        await asyncio.sleep(0)
        if trigger_many:
            await engine.aio.trigger_many(stream.orders, [(event.foreign_id, Thing())])
        else:
            handle = await engine.aio.trigger(stream.orders, event.foreign_id, Thing())
            assert (await engine.aio.latest(stream.orders, event.foreign_id)).run_id == handle.run_id

    first = stream.engine(sources={"mails": Forgetful(async_source)})
    with first:
        first.run_until_idle()
    with stream.engine() as engine:
        engine.run_until_idle()
        assert stream.runs(engine) == ["e-1", "e-2"]


def test_events_about_nothing_have_no_order_to_keep(world: World) -> None:
    def handler(engine: ConnectorEngine, event: Incoming[Any]) -> None:
        if event.event_id == "bad":
            raise RuntimeError("never")

    stream = Stream(world, handler)
    stream.source.add(stream.event("bad", ""), stream.event("good", ""))
    with stream.engine() as engine:
        engine.run_until_idle()
    assert stream.handled == [("bad", 1), ("good", 1)]


def test_a_busy_foreign_id_is_no_error_of_a_function_that_expects_it(world: World) -> None:
    def handler(engine: ConnectorEngine, event: Incoming[Any]) -> None:
        try:
            stream.trigger(engine, event)
        except WorkflowInProgressError as error:
            engine.handle(error.run_id or "").cancel("a newer event")

    stream = Stream(world, handler)
    with stream.engine() as engine:
        world.outsider(stream.orders).trigger(stream.orders, "busy", Thing()).pause("stuck")
        stream.add("busy")
        engine.run_until_idle()
        assert engine.latest(stream.orders, "busy").record().state is RunState.CANCELLED
    assert stream.unacknowledged() == []


def test_an_event_waits_for_its_lag_and_its_age_is_measured(world: World) -> None:
    stream = Stream(world, consume_lag=10 * SECOND, lag_alert=5 * SECOND)
    stream.source.add(stream.event("young"), stream.event("old", created_at=world.clock.now() - MINUTE))
    with stream.engine() as engine:
        engine.run_until_idle()
        assert [event_id for event_id, _ in stream.handled] == ["old"]
        assert sample(engine, "workflow_process_lag_seconds", **PROCESS) == 60
        assert sample(engine, "workflow_process_lag_alert", **PROCESS) == 1
        engine.advance(9 * SECOND)
        assert len(stream.handled) == 1
        engine.advance(2 * SECOND)
        assert [event_id for event_id, _ in stream.handled] == ["old", "young"]
        engine.run_until_idle()
        assert sample(engine, "workflow_process_lag_alert", **PROCESS) == 0
        assert sample(engine, "workflow_process_latency_seconds_count", **PROCESS) == 2


def test_a_connector_has_a_role_and_one_instance_holds_it(world: World) -> None:
    stream = Stream(world)
    first, second = stream.engine(), stream.engine()
    with first:
        first.run_until_idle()
        with second:
            second.run_until_idle()
            name = "jobs/courier-connector-1-of-1"
            assert (first.states()[name], second.states()[name]) == (ProcessState.RUNNING, ProcessState.IDLE)
            assert sample(second, "workflow_process_states", **PROCESS) == ProcessState.IDLE
            stream.add("e-1")
            second.run_until_idle()
            assert stream.handled == []
            first.run_until_idle()
            assert stream.handled == [("e-1", 1)]
        assert second.states()[name] is ProcessState.SHUTDOWN


def test_the_reader_is_closed_when_the_role_is_gone_and_when_the_engine_ends(memory_world: World) -> None:
    stream = Stream(memory_world)
    closed: list[str] = []
    real = stream.source.open

    def open_(name: str) -> ConnectorReader:
        reader = real(name)
        close = reader.close
        reader.close = lambda: (closed.append(name), close())[1]  # type: ignore[method-assign, func-returns-value]
        return reader

    stream.source.open = open_  # type: ignore[method-assign]
    with stream.engine() as engine:
        engine.run_until_idle()
        consumer = engine.worker.connectors.consumers[0]
        holds, consumer.holds = consumer.holds, lambda role: False
        engine.run_until_idle()
        assert closed == [PLACE]
        consumer.holds = holds
        engine.run_until_idle()
    assert closed == [PLACE, PLACE]


def test_a_default_parallel_count_is_inherited_and_runs_as_many(world: World) -> None:
    source = MemoryConnectorSource()
    workflow = Workflow("jobs", object_type=Thing, status_type=Status, defaults={"parallel_count": 3})
    handled: list[str] = []

    @workflow.step(from_=Status.NEW, to=Status.DONE)
    def work(run: Any) -> Status:
        return Status.DONE

    @workflow.connector("courier", source=source)
    def on_event(engine: ConnectorEngine, event: Incoming[bytes]) -> None:
        handled.append(event.event_id)

    source.add(*(ConnectorEvent(event_id=f"e-{n}", foreign_id=f"e-{n}", created_at=world.clock.now()) for n in range(500)))
    with world.engine(workflow) as engine:
        assert sorted(name for name in engine.states() if "connector" in name) == [
            f"jobs/courier-connector-{n}-of-3" for n in (1, 2, 3)
        ]
        engine.run_until_idle()
    assert sorted(handled) == sorted(f"e-{n}" for n in range(500))


class _Single(MemoryConnectorSource):
    competing = False


def test_an_engine_that_cannot_connect_says_so_when_it_starts(memory_world: World) -> None:
    orders = Job(memory_world.clock).workflow

    @orders.connector("courier", parallel_count=2)
    def on_event(engine: ConnectorEngine, event: Incoming[bytes]) -> None:
        """Nothing."""

    for sources, says in (
        ({}, "has no source"),
        ({"courier": _Single()}, "cannot have 2 consumers"),
        ({"courier": MemoryConnectorSource(), "curier": MemoryConnectorSource()}, "no connector is named 'curier'"),
    ):
        with pytest.raises(ConfigurationError, match=says):
            memory_world.engine(orders, sources=sources).__enter__()
    for name in ("courier", "jobs/courier"):
        with memory_world.engine(orders, sources={name: MemoryConnectorSource()}) as engine:
            assert "jobs/courier-connector-2-of-2" in engine.states()


def test_what_one_source_gives_out_twice_at_once_is_one_event(memory_world: World) -> None:
    stream = Stream(memory_world)
    stream.add("e-1", "e-1")
    with stream.engine() as engine:
        engine.run_until_idle()
    assert stream.handled == [("e-1", 1)]
    assert stream.unacknowledged() == []
