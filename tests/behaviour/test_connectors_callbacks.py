"""A connector that calls back: each event is applied once, early ones wait for their run, and what has no run is no error."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pytest

from flowdsl.dsl.incoming import Incoming
from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.connector_engine import ConnectorEngine, EventKeys
from flowdsl.memory.connector_source import MemoryConnectorSource
from flowdsl.model.callback_result import CallbackOutcome
from flowdsl.model.event import ConnectorEvent
from tests.behaviour.connecting import PLACE, Forgetful
from tests.behaviour.world import World


class Status(StrEnum):
    WAITING = "waiting"
    SHIPPED = "shipped"
    DELIVERED = "delivered"


@dataclass
class Parcel:
    driver: str = ""
    pickups: int = 0


@dataclass
class PickUp:
    driver: str


class Courier:
    """Parcels that a courier's events move on."""

    def __init__(self, world: World, is_async: bool = False) -> None:
        self.world = world
        self.source = MemoryConnectorSource()
        self.outcomes: list[CallbackOutcome] = []
        self.parcels = Workflow("jobs", object_type=Parcel, status_type=Status)

        @self.parcels.callback(from_=Status.WAITING, to=Status.SHIPPED)
        def picked_up(run: Run[Parcel, Status], payload: PickUp) -> None:
            run.object.driver = payload.driver
            run.object.pickups += 1

        @self.parcels.callback(from_=Status.SHIPPED, to=Status.DELIVERED)
        def delivered(run: Run[Parcel, Status], payload: bytes) -> None: ...

        def status(event: Incoming[bytes]) -> Status:
            return Status.WAITING if event.type == "picked up" else Status.SHIPPED

        if is_async:

            @self.parcels.connector("courier", source=self.source)
            async def on_event_async(engine: ConnectorEngine, event: Incoming[bytes]) -> None:
                result = await engine.aio.callback(self.parcels, event.foreign_id, status(event), event.payload)
                self.outcomes.append(result.outcome)
        else:

            @self.parcels.connector("courier", source=self.source)
            def on_event(engine: ConnectorEngine, event: Incoming[bytes]) -> None:
                self.outcomes.append(engine.callback(self.parcels, event.foreign_id, status(event), event.payload).outcome)

    def send(self, event_id: str, foreign_id: str, kind: str = "picked up", body: bytes = b'{"driver": "Ada"}') -> None:
        now = self.world.clock.now()
        self.source.add(ConnectorEvent(event_id=event_id, foreign_id=foreign_id, type=kind, body=body, created_at=now))

    def unacknowledged(self) -> int:
        reader = self.source.open(PLACE)
        return len(reader.receive(100, self.world.clock.now() - self.world.clock.now()))


@pytest.mark.parametrize("is_async", [False, True])
def test_an_event_that_comes_again_calls_back_once(world: World, is_async: bool) -> None:
    courier = Courier(world, is_async)
    first = world.engine(courier.parcels, sources={"courier": Forgetful(courier.source)})
    with first:
        handle = first.trigger(courier.parcels, "p-1", Parcel())
        courier.send("e-1", "p-1")
        first.run_until_idle()
        assert handle.run().object == Parcel("Ada", 1)
        assert handle.history()[-1].actor == "connector courier"
    with world.engine(courier.parcels) as engine:
        engine.run_until_idle()
        assert engine.latest(courier.parcels, "p-1").run().object == Parcel("Ada", 1)
    assert courier.outcomes == [CallbackOutcome.APPLIED, CallbackOutcome.DUPLICATE]
    assert courier.unacknowledged() == 0


def test_an_event_for_a_status_that_is_still_to_come_waits_with_the_run(world: World) -> None:
    courier = Courier(world)
    with world.engine(courier.parcels) as engine:
        handle = engine.trigger(courier.parcels, "p-1", Parcel())
        courier.send("e-2", "p-1", "delivered", b"")
        courier.send("e-1", "p-1")
        engine.run_until_idle()
        assert courier.outcomes == [CallbackOutcome.KEPT, CallbackOutcome.APPLIED]
        assert handle.run().status is Status.DELIVERED


def test_an_event_without_a_run_or_with_a_payload_that_does_not_fit_is_no_error_of_the_connector(world: World) -> None:
    courier = Courier(world)
    with world.engine(courier.parcels) as engine:
        engine.trigger(courier.parcels, "p-1", Parcel())
        stopped = engine.trigger(courier.parcels, "p-2", Parcel())
        stopped.cancel("no more")
        courier.send("e-1", "nobody")
        courier.send("e-2", "p-1", body=b"{")
        courier.send("e-3", "p-2")
        engine.run_until_idle()
        assert courier.outcomes == [CallbackOutcome.UNKNOWN_RUN, CallbackOutcome.REFUSED_PAYLOAD, CallbackOutcome.STOPPED]
        assert engine.dead_letters.list().letters == []
    assert courier.unacknowledged() == 0


def test_every_callback_has_a_key_of_its_own_and_a_given_one_wins(memory_world: World) -> None:
    """Against a stand-in: what is asked of the engine, whatever it makes of it."""
    asked: list[dict[str, Any]] = []

    class Stand:
        aio = None

        def callback(self, *args: Any, **options: Any) -> None:
            asked.append(options)

    parcels = Courier(memory_world).parcels
    for _ in range(2):
        engine = ConnectorEngine(Stand(), EventKeys("jobs", "courier", "e-1"), "connector courier")  # type: ignore[arg-type]
        engine.callback(parcels, "p-1", Status.WAITING)
        engine.callback(parcels, "p-1", Status.WAITING)
        engine.callback(parcels, "p-1", Status.WAITING, name="picked_up")
        engine.callback(parcels, "p-2", Status.WAITING)
        engine.callback(parcels, "p-1", Status.SHIPPED, idempotency_key="mine", actor="ada")
    first, second = asked[:5], asked[5:]
    assert first == second
    assert len({options["idempotency_key"] for options in first}) == 5
    assert (first[4]["idempotency_key"], first[4]["actor"], first[0]["actor"]) == ("mine", "ada", "connector courier")
