"""A workflow with a connector over a source in memory."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from flowdsl.dsl.incoming import Incoming
from flowdsl.engine.connector_engine import ConnectorEngine
from flowdsl.memory.connector_source import MemoryConnectorSource
from flowdsl.model.event import ConnectorEvent
from flowdsl.ports.connector_source import ConnectorReader, ConnectorSource
from flowdsl.testing.stepped import SteppedEngine
from tests.behaviour.world import Job, Thing, World

Handler = Callable[[ConnectorEngine, Incoming[Any]], Any]
PLACE = "flowdsl/default/jobs/courier"
PROCESS = {"workflow_name": "jobs", "process_name": "courier-connector-1-of-1"}


class Stream:
    """A workflow with a connector, and the events of its source."""

    def __init__(self, world: World, handler: Handler | None = None, **options: Any) -> None:
        self.world = world
        self.source = MemoryConnectorSource()
        self.job = Job(world.clock)
        self.orders = self.job.workflow
        self.handled: list[tuple[str, int]] = []
        """Event id and attempt of every call."""
        self.times: list[datetime] = []

        def on_event(engine: ConnectorEngine, event: Incoming[Any]) -> None:
            self.handled.append((event.event_id, event.attempt))
            self.times.append(world.clock.now())
            (handler or self.trigger)(engine, event)

        self.orders.connector("courier", source=self.source, **options)(on_event)

    def trigger(self, engine: ConnectorEngine, event: Incoming[Any]) -> None:
        engine.trigger(self.orders, event.foreign_id, Thing(event.event_id))

    def event(self, event_id: str, foreign_id: str | None = None, **more: Any) -> ConnectorEvent:
        fields: dict[str, Any] = {"created_at": self.world.clock.now(), **more}
        return ConnectorEvent(event_id=event_id, foreign_id=event_id if foreign_id is None else foreign_id, **fields)

    def add(self, *event_ids: str, **more: Any) -> None:
        self.source.add(*(self.event(event_id, **more) for event_id in event_ids))

    def engine(self, **settings: Any) -> SteppedEngine:
        return self.world.engine(self.orders, **settings)

    def runs(self, engine: SteppedEngine) -> list[str]:
        return sorted(run.foreign_id for run in engine.runs(self.orders, limit=500).runs)

    def unacknowledged(self) -> list[str]:
        """What another reader of the connector would get."""
        reader = self.source.open(PLACE)
        events = reader.receive(500, timedelta(0))
        reader.close()
        return [event.event_id for event in events]


class Forgetful(ConnectorSource):
    """A source whose acknowledgements are lost, as when the process ends before they are said."""

    keeps_places = True
    competing = True

    def __init__(self, source: ConnectorSource) -> None:
        self._source = source

    def open(self, name: str) -> ConnectorReader:
        reader: Any = self._source.open(name)
        reader.acknowledge = lambda events: None
        return reader  # type: ignore[no-any-return]
