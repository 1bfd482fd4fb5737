"""Connectors as they are declared: a function that is given the events of somebody else's stream."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, get_args, get_origin

from flowdsl.dsl.callables import doc_line, is_async, is_generator, names, place, unwrapped
from flowdsl.dsl.connector_options import (
    ConnectorOptions,
    ResolvedConnectorOptions,
    check_connector_options,
    resolve_connector_options,
)
from flowdsl.dsl.event_body import BodyDecoder
from flowdsl.dsl.incoming import Incoming
from flowdsl.dsl.spec import Place
from flowdsl.errors import DefinitionError
from flowdsl.options import StepOptions
from flowdsl.ports.connector_source import ConnectorSource

FnT = TypeVar("FnT", bound=Callable[[Any, Any], Any])
MAX_NAME = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorSpec:
    """One declared connector."""

    name: str
    """Its own: places in streams, roles and idempotency keys are made of it."""
    module: str
    function: str
    """With `module` the identity that a later declaration replaces."""
    fn: Callable[[Any, Any], Any]
    is_async: bool
    source: ConnectorSource | None
    """None: the engine is given it."""
    body: BodyDecoder
    options: ResolvedConnectorOptions
    place: Place
    doc: str
    """The first line of the function's docstring."""


class ConnectorDecorator(Protocol):
    """Takes a connector's function and returns it."""

    def __call__(self, fn: FnT, /) -> FnT: ...


class Connectors:
    """The connectors of one workflow, by name."""

    def __init__(self, workflow: str) -> None:
        self._workflow = workflow
        self.declared: dict[str, ConnectorSpec] = {}

    def declare(
        self,
        name: str,
        source: ConnectorSource | None,
        event_type: Any,
        schema: Mapping[str, Any] | None,
        options: ConnectorOptions,
        defaults: StepOptions,
        here: Place,
    ) -> ConnectorDecorator:
        """See Workflow.connector."""
        if not isinstance(name, str) or not name.strip() or len(name) > MAX_NAME:
            raise DefinitionError(f"a connector's name is 1 to {MAX_NAME} characters, not {name!r}.", place=str(here))
        if source is not None and not callable(getattr(source, "open", None)):
            raise DefinitionError(
                f"{source!r} is no source of events.", place=str(here), remedy="Give e.g. KombuSource(...), or leave it out."
            )
        check_connector_options(options, str(here))

        def decorate(fn: FnT) -> FnT:
            spec = self._spec(fn, name, source, event_type, schema, options, defaults, here)
            other = self.declared.get(name)
            if other is not None and (other.module, other.function) != (spec.module, spec.function):
                raise DefinitionError(
                    f"two connectors of {self._workflow!r} are named {name!r}; the other is at {other.place}.",
                    place=str(spec.place),
                    remedy="Names are what their places in streams are kept under: rename one.",
                )
            self.declared[name] = spec
            return fn

        return decorate

    def _spec(
        self,
        fn: Callable[[Any, Any], Any],
        name: str,
        source: ConnectorSource | None,
        event_type: Any,
        schema: Mapping[str, Any] | None,
        options: ConnectorOptions,
        defaults: StepOptions,
        here: Place,
    ) -> ConnectorSpec:
        if not callable(fn):
            raise DefinitionError(f"{fn!r} is not a function.", place=str(here))
        module, function = names(fn)
        at = place(fn)
        if is_generator(fn):
            raise DefinitionError(
                f"connector {function} is a generator.", place=str(at), remedy="Call the engine's verbs instead."
            )
        _check_parameters(fn, function, at)
        annotated = _annotated(fn, function, at, resolve=event_type is None)
        return ConnectorSpec(
            name=name,
            module=module,
            function=function,
            fn=fn,
            is_async=is_async(fn),
            source=source,
            body=BodyDecoder(annotated if event_type is None else event_type, schema, str(at)),
            options=resolve_connector_options(options, defaults, is_async=is_async(fn)),
            place=at,
            doc=doc_line(fn),
        )


def _check_parameters(fn: Callable[[Any, Any], Any], function: str, at: Place) -> None:
    try:
        inspect.signature(fn).bind(None, None)
    except TypeError as error:
        raise DefinitionError(
            f"connector {function} cannot be called with an engine and an event: {error}.",
            place=str(at),
            remedy="Give it exactly two parameters without defaults: def on_event(engine, event).",
        ) from error
    except ValueError:  # a callable without a signature, some built-ins
        return


def _annotated(fn: Callable[[Any, Any], Any], function: str, at: Place, *, resolve: bool) -> Any:
    """The payload's type, as the second parameter is annotated: `Incoming[T]`. None: it does not say."""
    target = unwrapped(fn)
    if not (inspect.isfunction(target) or inspect.ismethod(target)):
        target = type(target).__dict__.get("__call__", target)
    if not resolve:
        return None
    try:
        parameter = list(inspect.signature(fn).parameters.values())[1]
    except (ValueError, IndexError):  # without a signature, or taking *args
        return None
    if parameter.annotation is inspect.Parameter.empty:
        return None
    try:
        annotation = typing.get_type_hints(target).get(parameter.name)
    except Exception as error:  # a name that is not there at run time: to guess would hand over something else than it says
        raise DefinitionError(
            f"the annotations of connector {function} cannot be read: {error}.",
            place=str(at),
            remedy="Give event_type=..., or annotate with names that the module has.",
        ) from error
    if get_origin(annotation) is Incoming:
        (payload,) = get_args(annotation)
        return None if payload is Any or isinstance(payload, TypeVar) else payload
    return None
