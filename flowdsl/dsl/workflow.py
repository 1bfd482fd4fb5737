"""The workflow: what users declare steps on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from functools import partial
from types import MappingProxyType
from typing import Any, Generic, Literal, TypeVar, Unpack

from flowdsl.dsl.codec import ObjectCodec
from flowdsl.dsl.connector import ConnectorDecorator, Connectors, ConnectorSpec
from flowdsl.dsl.connector_options import ConnectorOptions
from flowdsl.dsl.declaring import duration, function_fields, label_of, way
from flowdsl.dsl.decorators import CallbackDecorator, DueAt, HookDecorator, StepDecorator
from flowdsl.dsl.lint import lint
from flowdsl.dsl.payload import PayloadReader
from flowdsl.dsl.registry import Registry
from flowdsl.dsl.retention import Retention
from flowdsl.dsl.run import Run
from flowdsl.dsl.signature import payload_type as annotated_payload
from flowdsl.dsl.spec import CallbackSpec, DeletionSpec, HookEvent, HookSpec, OnEarly, Place, StepSpec, TimeoutSpec
from flowdsl.dsl.statuses import Statuses
from flowdsl.errors import DefinitionError, WorkflowDefinitionError
from flowdsl.graph.build import FlowGraph
from flowdsl.graph.finding import Finding
from flowdsl.graph.validate import validate
from flowdsl.naming import callback_topic, hook_topic, timeout_topic
from flowdsl.options import SIDE_OPTIONS, SideOptions, StepOptions, check_options, resolve, resolve_side
from flowdsl.ports.connector_source import ConnectorSource

ObjectT = TypeVar("ObjectT")
StatusT = TypeVar("StatusT", bound=Enum)
EnumT = TypeVar("EnumT", bound=Enum)
SpecT = TypeVar("SpecT")
KeyT = TypeVar("KeyT")


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
    timeouts: Mapping[str, tuple[TimeoutSpec, ...]]
    """By the stored text of the status that they leave."""
    callbacks: Mapping[str, tuple[CallbackSpec, ...]]
    """The same."""
    hooks: Mapping[HookEvent, tuple[HookSpec, ...]]
    deletion: DeletionSpec | None


class Workflow(Generic[ObjectT, StatusT]):
    """A graph of statuses and the steps that lead from one to the next.

    In: `name`, under which runs are stored; `object_type`, what a run carries (dataclass, msgspec Struct, attrs, TypedDict,
    pydantic model, dict); `status_type`, an Enum with str or int values; `defaults`, options of every step that does not say
    otherwise;
    `allow_cycles`; `retired`, statuses that no step mentions any more but old runs may still be in; how long finished runs are
    kept with their history, by how they ended (None: for ever): `keep_completed`, `keep_cancelled`, and `keep_deleted` for those
    whose data was deleted.
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
        keep_completed: timedelta | None = None,
        keep_cancelled: timedelta | None = None,
        keep_deleted: timedelta | None = None,
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
        for option, kept in (
            ("keep_completed", keep_completed),
            ("keep_cancelled", keep_cancelled),
            ("keep_deleted", keep_deleted),
        ):
            duration(option, kept, here)
        self.retention = Retention(keep_completed, keep_cancelled, keep_deleted)
        self._retired = frozenset(self._statuses.key(member) for member in retired)
        self._registry = Registry(status_type)
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
        lead = way(self._statuses, self.name, from_, to, here)

        def declare(fn: Callable[..., Any]) -> Callable[..., Any]:
            fields = function_fields(fn, "step", here)
            resolved = resolve(options, self._defaults, is_async=fields["is_async"])
            self._registry.add_step(StepSpec(**fields, **lead._asdict(), own_options=options, options=resolved))
            self._definition = None
            return fn

        return declare

    def callback(
        self,
        *,
        from_: StatusT,
        to: StatusT | Sequence[StatusT],
        name: str | None = None,
        payload_type: Any = None,
        on_early: OnEarly | Literal["keep", "refuse"] = OnEarly.KEEP,
        keep_for: timedelta | None = None,
        **options: Unpack[SideOptions],
    ) -> CallbackDecorator[ObjectT, StatusT]:
        """The function moves a run out of `from_` when somebody calls `engine.callback`. It is given the run and the payload,
        decoded to the type that its second parameter is annotated with (bytes: as it came), and answers as a step does.

        In: `name`, where a status has several (default: the function's); `payload_type` where the annotation does not say;
        `on_early`, what becomes of a callback for a run that may still enter the status, and `keep_for`, how long it is kept
        (default: as long as the run is unfinished). `options` are for callbacks that were kept: see SideOptions. Raises
        DefinitionError.
        """
        here = _caller()
        check_options(options, str(here), SIDE_OPTIONS)
        duration("keep_for", keep_for, here)
        lead = way(self._statuses, self.name, from_, to, here)
        early = _member(OnEarly, on_early, "on_early", here)

        def declare(fn: Callable[..., Any]) -> Callable[..., Any]:
            fields = function_fields(fn, "callback", here)
            label = label_of(name, fn, partial(callback_topic, self.name, lead.from_key), here)
            kind = payload_type if payload_type is not None else annotated_payload(fn, fields["place"])
            self._registry.add_callback(
                CallbackSpec(
                    **fields,
                    **lead._asdict(),
                    own_options={},
                    options=resolve_side(options, self._defaults, is_async=fields["is_async"]),
                    label=label,
                    reader=None if kind is None else PayloadReader(kind, str(fields["place"])),
                    on_early=early,
                    keep_for=keep_for,
                )
            )
            self._definition = None
            return fn

        return declare

    def timeout(
        self,
        *,
        from_: StatusT,
        to: StatusT | Sequence[StatusT],
        after: timedelta | None = None,
        at: DueAt[ObjectT, StatusT] | None = None,
        name: str | None = None,
        **options: Unpack[SideOptions],
    ) -> StepDecorator[ObjectT, StatusT]:
        """The function takes a run out of `from_` that has been there for `after`, or until the time that `at(run, now)` answers
        when the run enters the status (an aware datetime; None: no timeout for this run). It answers as a step does.

        A timeout belongs to one visit of one run: a later visit has its own. A pause stops its clock. While a step of the run is
        being executed it waits for the step. `name` tells several of a status apart. Raises DefinitionError.
        """
        here = _caller()
        check_options(options, str(here), SIDE_OPTIONS)
        if (after is None) is (at is None):
            raise DefinitionError("a timeout has either after= or at=.", place=str(here), remedy="Give one of them.")
        duration("after", after, here)
        if at is not None and not callable(at):
            raise DefinitionError(
                f"at={at!r} is not a function.", place=str(here), remedy="Give a function of the run and the time."
            )
        lead = way(self._statuses, self.name, from_, to, here)

        def declare(fn: Callable[..., Any]) -> Callable[..., Any]:
            fields = function_fields(fn, "timeout", here)
            self._registry.add_timeout(
                TimeoutSpec(
                    **fields,
                    **lead._asdict(),
                    own_options={},
                    options=resolve_side(options, self._defaults, is_async=fields["is_async"]),
                    label=label_of(name, fn, partial(timeout_topic, self.name, lead.from_key), here),
                    after=after,
                    at=at,
                )
            )
            self._definition = None
            return fn

        return declare

    @property
    def on_pause(self) -> HookDecorator[ObjectT, StatusT]:
        """The function is told of each run that is paused: at least once, and again until it returns. `@workflow.on_pause`, or
        `@workflow.on_pause(name=..., **options)`. What happened before the hook was deployed it is not told."""
        return self._hook(HookEvent.PAUSE)

    @property
    def on_cancel(self) -> HookDecorator[ObjectT, StatusT]:
        """The same for runs that are cancelled."""
        return self._hook(HookEvent.CANCEL)

    @property
    def on_complete(self) -> HookDecorator[ObjectT, StatusT]:
        """The same for runs that reach a terminal status."""
        return self._hook(HookEvent.COMPLETE)

    @property
    def on_error(self) -> HookDecorator[ObjectT, StatusT]:
        """The same for attempts of steps, timeouts and kept callbacks that fail."""
        return self._hook(HookEvent.ERROR)

    @property
    def on_transition(self) -> HookDecorator[ObjectT, StatusT]:
        """The same for runs that enter a status."""
        return self._hook(HookEvent.TRANSITION)

    def _hook(self, event: HookEvent) -> HookDecorator[ObjectT, StatusT]:
        here = _caller()

        def add(fn: Any, name: str | None, options: SideOptions) -> Any:
            fields = function_fields(fn, "hook", here)
            resolved = resolve_side(options, self._defaults, is_async=fields["is_async"])
            label = label_of(name, fn, partial(hook_topic, self.name, event), here)
            self._registry.add_hook(HookSpec(**fields, options=resolved, event=event, label=label))
            self._definition = None
            return fn

        def decorate(fn: Any = None, /, *, name: str | None = None, **options: Any) -> Any:
            check_options(options, str(here), SIDE_OPTIONS)
            given = SideOptions(**options)  # type: ignore[typeddict-item]
            return add(fn, name, given) if fn is not None else lambda later: add(later, name, given)

        return decorate

    def on_delete(self, fn: Callable[[Run[ObjectT, StatusT]], Any]) -> Callable[[Run[ObjectT, StatusT]], Any]:
        """The function scrubs `run.object` when the data of a finished run is to be deleted, and what it leaves is stored.
        Without one nothing of the object is left. `def` or `async def`; called again until it returns."""
        fields = function_fields(fn, "on_delete", _caller())
        options = resolve_side({"polling_frequency": None}, self._defaults, is_async=fields["is_async"])
        self._registry.set_deletion(DeletionSpec(**fields, options=options))
        self._definition = None
        return fn

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
        return MappingProxyType({spec.from_key: spec for spec in self._registry.steps})

    @property
    def registry(self) -> Registry:
        """Everything that is declared."""
        return self._registry

    @property
    def connectors(self) -> Mapping[str, ConnectorSpec]:
        """The declared connectors by name."""
        return MappingProxyType(self._connectors.declared)

    @property
    def graph(self) -> FlowGraph:
        """The graph of what is declared, sound or not."""
        return FlowGraph(self.name, self._registry.edges(), {self._statuses.key(m): m.name for m in self._statuses.all()})

    def check(self) -> Sequence[Finding]:
        """Everything that is wrong with the declaration, all at once; empty when it is sound."""
        found = self._registry.findings()
        found += validate(
            self.graph,
            [(spec.from_key, spec.name, str(spec.place)) for spec in self._registry.steps],
            [(spec.from_key, spec.name, str(spec.place)) for spec in self._registry.movers],
            place=str(self.place),
            statuses=[self._statuses.key(member) for member in self._statuses.all()],
            retired=self._retired,
            allow_cycles=self._allow_cycles,
        )
        return found

    def lint(self) -> Sequence[Finding]:
        """What may be wrong although the workflow can work. A comment `# flowdsl: ignore[code]` in the head of a function, or on
        the line itself, silences a warning there."""
        return lint(self.graph, self._registry, self.place, self.status_type)

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
                _by(self._registry.timeouts, lambda spec: spec.from_key),
                _by(self._registry.callbacks, lambda spec: spec.from_key),
                _by(self._registry.hooks, lambda spec: spec.event),
                self._registry.deletion,
            )
        return self._definition

    def __repr__(self) -> str:
        return f"<Workflow {self.name!r} with {len(self._registry.steps)} steps>"


def _by(specs: Sequence[SpecT], key: Callable[[SpecT], KeyT]) -> Mapping[KeyT, tuple[SpecT, ...]]:
    found: dict[KeyT, tuple[SpecT, ...]] = {}
    for spec in specs:
        found[key(spec)] = (*found.get(key(spec), ()), spec)
    return MappingProxyType(found)


def _member(kind: type[EnumT], value: EnumT | str, option: str, here: Place) -> EnumT:
    """The member of that value. Raises DefinitionError."""
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(f"{kind.__name__}.{member.name}" for member in kind)
        raise DefinitionError(f"{option}={value!r} is not known.", place=str(here), remedy=f"Give one of {known}.") from None


def _caller() -> Place:
    """The first place outside this file."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return Place(frame.f_code.co_filename, frame.f_lineno)
