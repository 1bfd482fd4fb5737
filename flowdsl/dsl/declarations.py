"""Declaring: the decorators of a workflow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from enum import Enum
from functools import partial
from typing import Any, Generic, Literal, TypeVar, Unpack

from flowdsl.dsl.codec import ObjectCodec
from flowdsl.dsl.connector import ConnectorDecorator, Connectors
from flowdsl.dsl.connector_options import ConnectorOptions
from flowdsl.dsl.declaring import caller, duration, function_fields, label_of, refuse_async, way
from flowdsl.dsl.decorators import CallbackDecorator, DueAt, HookDecorator, StepDecorator
from flowdsl.dsl.migration import Migrations, MigrationSpec, Rewrite
from flowdsl.dsl.payload import PayloadReader
from flowdsl.dsl.registry import Registry
from flowdsl.dsl.run import Run
from flowdsl.dsl.schedule import ScheduleDecorator, ScheduleOptions, declared_rule
from flowdsl.dsl.signature import payload_type as annotated_payload
from flowdsl.dsl.spec import CallbackSpec, DeletionSpec, HookEvent, HookSpec, OnEarly, Place, StepSpec, TimeoutSpec
from flowdsl.dsl.statuses import Statuses
from flowdsl.dsl.upcasting import Upcast, Upcaster
from flowdsl.errors import DefinitionError
from flowdsl.naming import callback_topic, hook_topic, timeout_topic
from flowdsl.options import (
    HOOK_OPTIONS,
    SIDE_OPTIONS,
    HookOptions,
    SideOptions,
    StepOptions,
    check_options,
    resolve,
    resolve_side,
)
from flowdsl.ports.connector_source import ConnectorSource

ObjectT = TypeVar("ObjectT")
StatusT = TypeVar("StatusT", bound=Enum)
EnumT = TypeVar("EnumT", bound=Enum)
SpecT = TypeVar("SpecT")
KeyT = TypeVar("KeyT")
AnswerT = TypeVar("AnswerT")
UpcastT = TypeVar("UpcastT", bound=Upcast)
RewriteT = TypeVar("RewriteT", bound=Rewrite)


class Declarations(Generic[ObjectT, StatusT]):
    """See Workflow, which makes what is used here."""

    name: str
    codec: ObjectCodec[ObjectT]
    status_type: type[StatusT]
    _statuses: Statuses[StatusT]
    _defaults: StepOptions
    _registry: Registry
    _connectors: Connectors
    _migrations: Migrations
    _definition: Any

    def step(
        self, *, from_: StatusT, to: StatusT | Sequence[StatusT], **options: Unpack[StepOptions]
    ) -> StepDecorator[ObjectT, StatusT]:
        """The function consumes `from_` and answers one of `to`, or an outcome of its run. Options: see StepOptions.

        The decorator returns the same function. Declaring it again (a reload, a notebook) replaces the earlier declaration.
        Raises DefinitionError for a status that is not of this workflow and for options that cannot work.
        """
        here = caller()
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
        here = caller()
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
        here = caller()
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
        here = caller()

        def add(fn: Any, name: str | None, options: HookOptions) -> Any:
            fields = function_fields(fn, "hook", here)
            resolved = resolve_side(options, self._defaults, is_async=fields["is_async"])
            label = label_of(name, fn, partial(hook_topic, self.name, event), here)
            self._registry.add_hook(HookSpec(**fields, options=resolved, event=event, label=label))
            self._definition = None
            return fn

        def decorate(fn: Any = None, /, *, name: str | None = None, **options: Any) -> Any:
            check_options(options, str(here), HOOK_OPTIONS)
            given = HookOptions(**options)  # type: ignore[typeddict-item]
            return add(fn, name, given) if fn is not None else lambda later: add(later, name, given)

        return decorate

    def schedule(
        self,
        spec: str,
        *,
        foreign_id: str,
        name: str | None = None,
        start_status: StatusT | None = None,
        **options: Unpack[ScheduleOptions],
    ) -> ScheduleDecorator[ObjectT]:
        """The function starts a run by the calendar: given a slot's time, it answers the run's object, or None for no run.

        In: `spec`, a cron expression (see `flowdsl.cron`); the `foreign_id` of the runs; `name`, where several schedules have one
        foreign id (default: the foreign id); `start_status`; `options`: see ScheduleOptions. Each slot starts at most one run,
        but the function may be called again for a slot: it should do nothing else. Raises DefinitionError.
        """
        here = caller()
        declared = declared_rule(self._statuses, self.name, spec, foreign_id, name, start_status, options, here)

        def declare(fn: Callable[..., Any]) -> Callable[..., Any]:
            self._registry.add_schedule(declared.by(fn, self._defaults))
            self._definition = None
            return fn

        return declare

    def on_delete(self, fn: Callable[[Run[ObjectT, StatusT]], AnswerT]) -> Callable[[Run[ObjectT, StatusT]], AnswerT]:
        """The function scrubs `run.object` when the data of a finished run is to be deleted, and what it leaves is stored.
        Without one nothing of the object is left. `def` or `async def`; called again until it returns."""
        fields = function_fields(fn, "on_delete", caller())
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
        return self._connectors.declare(name, source, event_type, schema, options, self._defaults, caller())

    def migrate(self, *, from_: StatusT | str, to: StatusT) -> Callable[[RewriteT], RewriteT]:
        """Runs that are in status `from_`, a stored text that the code has no more, go to `to`. As a decorator its function may
        rewrite the object: it is given the JSON object in the present schema version and changes it in place, or answers another.

        Unfinished runs go as soon as a process with this code works (paused ones stay paused), or by `flowdsl migrate`; their
        idempotency keys stay. A timeout of `to` that is named as one of `from_` was is due when that was; others begin with the
        migration. Raises DefinitionError.
        """
        here = caller()
        from_key = self._statuses.key(from_) if isinstance(from_, self.status_type) else from_
        if not isinstance(from_key, str) or not from_key:
            raise DefinitionError(
                f"from_={from_!r} is neither a status nor the text of one.",
                place=str(here),
                remedy="Give the text as it is stored.",
            )
        to_key = way(self._statuses, self.name, to, to, here).from_key
        bare = MigrationSpec(
            from_key=from_key, to_key=to_key, fn=None, name=f"{from_key} -> {to_key}", module="", place=here, doc=""
        )
        self._migrations.add(bare)
        self._definition = None

        def declare(fn: RewriteT) -> RewriteT:
            fields = function_fields(fn, "migration", here)
            refuse_async(fields, "migration")
            spec = replace(bare, fn=fn, **{name: fields[name] for name in ("name", "module", "place", "doc")})
            self._migrations.replace(bare, spec)
            self._definition = None
            return fn

        return declare

    def upcast(self, *, from_version: int) -> Callable[[UpcastT], UpcastT]:
        """The function brings an object that was stored with schema version `from_version` to the next: JSON object to JSON
        object, before it is decoded. Upcasters are chained up to the workflow's `schema_version`, and the object is stored in
        that version with the next change of its run. Raises DefinitionError."""
        here = caller()

        def declare(fn: UpcastT) -> UpcastT:
            fields = function_fields(fn, "upcaster", here)
            refuse_async(fields, "upcaster")
            self.codec.upcasters.add(from_version, Upcaster(fn, fields["name"], fields["module"], str(fields["place"])))
            self._definition = None
            return fn

        return declare


def _member(kind: type[EnumT], value: EnumT | str, option: str, here: Place) -> EnumT:
    """The member of that value. Raises DefinitionError."""
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(f"{kind.__name__}.{member.name}" for member in kind)
        raise DefinitionError(f"{option}={value!r} is not known.", place=str(here), remedy=f"Give one of {known}.") from None
