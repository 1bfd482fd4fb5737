"""The workflow: what users declare steps on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeVar, Unpack, overload

from flowdsl.dsl.callables import doc_line, is_async, is_generator, names, place
from flowdsl.dsl.codec import ObjectCodec
from flowdsl.dsl.connector import ConnectorDecorator, Connectors, ConnectorSpec
from flowdsl.dsl.connector_options import ConnectorOptions
from flowdsl.dsl.run import Run
from flowdsl.dsl.signature import findings_of
from flowdsl.dsl.spec import Place, StepSpec
from flowdsl.dsl.statuses import Statuses
from flowdsl.errors import DefinitionError, WorkflowDefinitionError
from flowdsl.graph.build import Edge, EdgeCause, FlowGraph
from flowdsl.graph.finding import Finding
from flowdsl.graph.validate import validate
from flowdsl.model.limits import MAX_TOPIC
from flowdsl.model.outcome import Outcome
from flowdsl.naming import topic
from flowdsl.options import StepOptions, check_options, resolve
from flowdsl.ports.connector_source import ConnectorSource

ObjectT = TypeVar("ObjectT")
StatusT = TypeVar("StatusT", bound=Enum)


class StepDecorator(Protocol[ObjectT, StatusT]):
    """Takes a step function and returns it."""

    @overload
    def __call__(
        self, fn: Callable[[Run[ObjectT, StatusT]], Coroutine[Any, Any, StatusT | Outcome | None]], /
    ) -> Callable[[Run[ObjectT, StatusT]], Coroutine[Any, Any, StatusT | Outcome | None]]: ...
    @overload
    def __call__(
        self, fn: Callable[[Run[ObjectT, StatusT]], StatusT | Outcome | None], /
    ) -> Callable[[Run[ObjectT, StatusT]], StatusT | Outcome | None]: ...


@dataclass(frozen=True, slots=True)
class Definition:
    """A workflow that was found to be sound."""

    name: str
    steps: Mapping[str, StepSpec]
    """By the stored text of the status they consume, in order of declaration."""
    start: str
    """Where a run begins unless told otherwise: the first starting status in order of declaration."""
    starts: tuple[str, ...]
    statuses: frozenset[str]
    terminal: frozenset[str]
    graph: FlowGraph


class Workflow(Generic[ObjectT, StatusT]):
    """A graph of statuses and the steps that lead from one to the next.

    In: `name`, under which runs are stored; `object_type`, what a run carries (dataclass, msgspec Struct, attrs, TypedDict,
    pydantic model, dict); `status_type`, an Enum with str or int values; `defaults`, options of every step that does not say
    otherwise;
    `allow_cycles`; `retired`, statuses that no step mentions any more but old runs may still be in.
    Raises DefinitionError for what can be refused at once; the rest is found by `check` and `definition`, all of it together.
    """

    def __init__(
        self,
        name: str,
        *,
        object_type: type[ObjectT],
        status_type: type[StatusT],
        defaults: StepOptions | None = None,
        allow_cycles: bool = False,
        retired: Sequence[StatusT] = (),
    ) -> None:
        here = _caller()
        if not isinstance(name, str) or not name.strip() or len(name) > 100:
            raise DefinitionError(f"a workflow's name is 1 to 100 characters, not {name!r}.", place=str(here))
        self.name = name
        self.object_type = object_type
        self.status_type = status_type
        self.place = here
        self._defaults: StepOptions = defaults or {}
        check_options(self._defaults, str(here))
        self._statuses = Statuses(status_type, name)
        self.codec: ObjectCodec[ObjectT] = ObjectCodec(object_type, str(here))
        self._allow_cycles = allow_cycles
        self._retired = frozenset(self._statuses.key(member) for member in retired)
        self._declared: dict[tuple[str, str, str], StepSpec] = {}
        self._early: dict[tuple[str, str, str], list[Finding]] = {}
        self._connectors = Connectors(name)
        self._definition: Definition | None = None

    # -- declaring ------------------------------------------------------------------------------------------------------------

    def step(
        self, *, from_: StatusT, to: StatusT | Sequence[StatusT], **options: Unpack[StepOptions]
    ) -> StepDecorator[ObjectT, StatusT]:
        """The function consumes `from_` and answers one of `to`, or an outcome of its run. Options: see StepOptions.

        The decorator returns the same function. Declaring it again (a reload, a notebook) replaces the earlier declaration.
        Raises DefinitionError for a status that is not of this workflow and for options that cannot work.
        """
        here = _caller()
        check_options(options, str(here))
        try:
            from_key = self._statuses.key(from_)
            several: Any = to
            targets: tuple[StatusT, ...] = (several,) if isinstance(to, (self.status_type, str, int)) else tuple(several)
            to_keys = tuple(self._statuses.key(member) for member in targets)
        except TypeError as error:
            raise DefinitionError(f"to={to!r} is neither a status nor several.", place=str(here)) from error
        except DefinitionError as error:
            raise DefinitionError(str(error), place=str(here)) from error
        for key in (from_key, *to_keys):
            if len(topic(self.name, key)) > MAX_TOPIC:
                raise DefinitionError(
                    f"status {key!r} of {self.name!r} makes a topic of more than {MAX_TOPIC} characters.",
                    place=str(here),
                    remedy="Shorten the names; a character outside ASCII counts up to nine times.",
                )
        if not targets:
            raise DefinitionError("to=() leads nowhere.", place=str(here), remedy="Name at least one destination.")
        twice = sorted({key for key in to_keys if to_keys.count(key) > 1})
        if twice:
            raise DefinitionError(f"to= names {', '.join(twice)} twice.", place=str(here))

        def declare(fn: Callable[..., Any]) -> Callable[..., Any]:
            if not callable(fn):
                raise DefinitionError(f"{fn!r} is not a function.", place=str(here))
            if is_generator(fn):
                raise DefinitionError(
                    f"step {names(fn)[1]} is a generator.", place=str(place(fn)), remedy="Return the answer instead of yielding."
                )
            module, name = names(fn)
            spec = StepSpec(
                name=name,
                module=module,
                fn=fn,
                is_async=is_async(fn),
                from_=from_,
                to=targets,
                from_key=from_key,
                to_keys=to_keys,
                own_options=options,
                options=resolve(options, self._defaults, is_async=is_async(fn)),
                place=place(fn),
                doc=doc_line(fn),
            )
            identity = (module, name, "" if "<locals>" not in name else from_key)
            self._declared[identity] = spec
            self._early[identity] = findings_of(spec, self.status_type)
            self._definition = None
            return fn

        return declare

    def connector(
        self,
        name: str,
        *,
        source: ConnectorSource | None = None,
        event_type: Any = None,
        schema: Mapping[str, Any] | None = None,
        **options: Unpack[ConnectorOptions],
    ) -> ConnectorDecorator:
        """The function is called with an engine and each event of a stream that is not ours.

        In: the name, under which its place in the stream is kept; where events come from (left out: `Engine(sources=...)` says);
        the type of their bodies (left out: that of an `event: Incoming[T]` annotation, else the bytes as they are); a JSON Schema
        of them. Options: see ConnectorOptions. An event is acknowledged when the function has returned; what the function starts
        through the engine it is given is started once, however often the event comes. Raises DefinitionError.
        """
        return self._connectors.declare(name, source, event_type, schema, options, self._defaults, _caller())

    # -- asking ---------------------------------------------------------------------------------------------------------------

    def key(self, member: StatusT) -> str:
        """The text that a status is stored as."""
        return self._statuses.key(member)

    def member(self, key: str) -> StatusT:
        """The status stored as a text. Raises UnknownStatusError."""
        return self._statuses.member(key)

    @property
    def steps(self) -> Mapping[str, StepSpec]:
        """The declared steps by the stored text of the status they consume; of two for one status the later."""
        return MappingProxyType({spec.from_key: spec for spec in self._declared.values()})

    @property
    def connectors(self) -> Mapping[str, ConnectorSpec]:
        """The declared connectors by name."""
        return MappingProxyType(self._connectors.declared)

    @property
    def graph(self) -> FlowGraph:
        """The graph of what is declared, sound or not."""
        edges = [
            Edge(spec.from_key, target, EdgeCause.STEP, spec.name, spec.doc)
            for spec in self._declared.values()
            for target in spec.to_keys
        ]
        return FlowGraph(self.name, edges, {self._statuses.key(m): m.name for m in self._statuses.all()})

    def check(self) -> Sequence[Finding]:
        """Everything that is wrong with the declaration, all at once; empty when it is sound."""
        found = [finding for findings in self._early.values() for finding in findings]
        found += validate(
            self.graph,
            [(spec.from_key, spec.name, str(spec.place)) for spec in self._declared.values()],
            place=str(self.place),
            statuses=[self._statuses.key(member) for member in self._statuses.all()],
            retired=self._retired,
            allow_cycles=self._allow_cycles,
        )
        return found

    def definition(self) -> Definition:
        """The sound definition. Raises WorkflowDefinitionError with every finding."""
        if self._definition is None:
            found = self.check()
            if found:
                raise WorkflowDefinitionError(self.name, found)
            graph = self.graph
            self._definition = Definition(
                self.name,
                self.steps,
                graph.starts[0],
                graph.starts,
                frozenset(graph.nodes),
                frozenset(graph.terminal),
                graph,
            )
        return self._definition

    def __repr__(self) -> str:
        return f"<Workflow {self.name!r} with {len(self._declared)} steps>"


def _caller() -> Place:
    """The first place outside this file."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return Place(frame.f_code.co_filename, frame.f_lineno)
