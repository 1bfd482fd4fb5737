"""Every connector's consumers of one engine, and what they share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flowdsl.dsl.connector import ConnectorSpec
from flowdsl.dsl.incoming import Incoming
from flowdsl.engine.connector_consumer import ConnectorConsumer
from flowdsl.engine.connector_engine import ConnectorEngine, EventKeys, Verbs
from flowdsl.engine.core import Core
from flowdsl.engine.dead_letters import Replay
from flowdsl.engine.event_calls import EventCalls
from flowdsl.engine.metrics import ProcessState
from flowdsl.errors import ConfigurationError
from flowdsl.model.dead_letter import DeadLetter
from flowdsl.model.event import ConnectorEvent
from flowdsl.ports.connector_source import ConnectorSource

Sources = Mapping[str, ConnectorSource]
"""By a connector's name, or workflow/connector where two workflows have one of that name."""


class ConnectorProcesses:
    """Made with the worker. In: the engine whose verbs the functions are given; sources that replace the declared ones. Raises
    ConfigurationError for a connector without a source, for more consumers than the source can have, for a source that no
    connector asks for."""

    def __init__(self, core: Core, engine: Verbs, sources: Sources, calls: EventCalls) -> None:
        self._calls = calls
        self.consumers: list[ConnectorConsumer] = []
        used: set[str] = set()
        for workflow in core.workflows.values():
            for spec in workflow.connectors.values():
                source = self._source(workflow.name, spec, sources, used)
                make = _engines(engine, workflow.name, spec)
                for slot in range(1, spec.options.parallel_count + 1):
                    self.consumers.append(ConnectorConsumer(core, workflow.name, spec, source, slot, make, calls))
        if unknown := sorted(sources.keys() - used):
            raise ConfigurationError(
                f"no connector is named {unknown[0]!r}, for which sources= has one.", remedy="Check the name."
            )

    def _source(self, workflow: str, spec: ConnectorSpec, sources: Sources, used: set[str]) -> ConnectorSource:
        found = spec.source
        for name in (spec.name, f"{workflow}/{spec.name}"):
            if name in sources:
                used.add(name)
                found = sources[name]
        if found is None:
            raise ConfigurationError(
                f"connector {spec.name!r} of {workflow!r} ({spec.place}) has no source.",
                remedy=f"Declare it with source=..., or give the engine sources={{{spec.name!r}: ...}}.",
            )
        if spec.options.parallel_count > 1 and not found.competing:
            raise ConfigurationError(
                f"connector {spec.name!r} of {workflow!r} ({spec.place}) cannot have {spec.options.parallel_count} consumers: "
                f"readers of {found!r} do not share its events.",
                remedy="Leave parallel_count out; concurrency= says how many events are handled at once.",
            )
        return found

    @property
    def roles(self) -> Sequence[str]:
        return [consumer.role for consumer in self.consumers]

    def begin(self, holds: Callable[[str], bool]) -> None:
        """In: whether a role may be acted in now."""
        for consumer in self.consumers:
            consumer.holds = holds

    @property
    def drained(self) -> bool:
        return all(consumer.drained for consumer in self.consumers)

    def states(self) -> Mapping[tuple[str, str], ProcessState]:
        """By workflow and name."""
        return {(consumer.workflow, consumer.name): consumer.state for consumer in self.consumers}

    def lose(self) -> None:
        """Every connection breaks, as they do when the process ends."""
        for consumer in self.consumers:
            consumer.lose()

    def close(self) -> None:
        """Let go of every reader and thread. To be called when nobody steps the consumers any more."""
        for consumer in self.consumers:
            consumer.close()
        self._calls.stop()


def _engines(engine: Verbs, workflow: str, spec: ConnectorSpec) -> Callable[[ConnectorEvent], ConnectorEngine]:
    """What the function is given for an event. The same event gets the same keys each time."""

    def make(event: ConnectorEvent) -> ConnectorEngine:
        return ConnectorEngine(engine, EventKeys(workflow, spec.name, event.event_id), f"connector {spec.name}")

    return make


class ConnectorReplayer:
    """Tries a dead letter of a connector again."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def __call__(self, letter: DeadLetter) -> Replay:
        workflow = next((workflow for workflow in self._engine.workflows if workflow.name == letter.workflow), None)
        spec: ConnectorSpec | None = None if workflow is None else workflow.connectors.get(letter.name)
        if spec is None:
            raise ConfigurationError(
                f"this engine has no connector {letter.name!r} of workflow {letter.workflow!r}.",
                remedy="Use an engine that has the code which received the event.",
            )
        found = spec
        event = ConnectorEvent(
            event_id=letter.event_id,
            foreign_id=letter.foreign_id,
            type=letter.type,
            headers=letter.headers,
            body=letter.body,
            created_at=letter.happened_at or letter.buried_at,
            redelivered=True,
        )
        engine = _engines(self._engine, letter.workflow, found)(event)

        def call() -> Any:
            return found.fn(engine, Incoming(event, found.body.decode(event.body), letter.attempts + 1))

        return Replay(call, found.is_async)
