"""What can be seen from a step's signature without calling it."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable
from enum import Enum
from typing import Any, Literal, get_args, get_origin

from flowdsl.dsl.callables import unwrapped
from flowdsl.dsl.spec import Place, StepSpec
from flowdsl.errors import DefinitionError
from flowdsl.graph.finding import Finding
from flowdsl.model.outcome import Outcome

GIVEN = {1: "a run alone", 2: "a run and a payload"}
MEND = {1: "Give it exactly one parameter without a default: the run.", 2: "Give it two parameters: the run and the payload."}


def findings_of(spec: StepSpec, status_type: type[Enum], what: str, arguments: int) -> list[Finding]:
    """What is wrong with a function that moves runs. In: what it is, and how many arguments it is called with. Annotations that
    cannot be resolved here are left to the type checkers."""
    return [*_parameters(spec, what, arguments), *_return(spec, status_type, what)]


def arguments_of(fn: Callable[..., Any], what: str, place: Place, count: int, given: str) -> list[Finding]:
    """What is wrong with a function that is called with `count` arguments."""
    try:
        inspect.signature(fn).bind(*[None] * count)
    except TypeError as error:
        text = f"{what} cannot be called with {given} alone: {error}."
        return [Finding("parameters", text, str(place), f"Let it take {given}, and nothing else without a default.")]
    except ValueError:  # a callable without a signature, some built-ins
        return []
    return []


def payload_type(fn: Callable[..., Any], place: Place) -> Any:
    """What a callback is given beside the run, by its annotation; bytes when it has none. None: it takes nothing beside the run.
    Raises DefinitionError for an annotation that cannot be resolved."""
    parameters = _positional(fn)
    if len(parameters) < 2:
        return None
    if parameters[1].annotation is inspect.Parameter.empty:
        return bytes
    try:
        return typing.get_type_hints(_annotated(fn)).get(parameters[1].name, bytes)
    except Exception as error:
        raise DefinitionError(
            f"the annotation {parameters[1].annotation!r} of {parameters[1].name} cannot be resolved: {error}.",
            place=str(place),
            remedy="Define the type at module level, or pass payload_type= to the decorator.",
        ) from error


def _positional(fn: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        parameters = inspect.signature(fn).parameters.values()
    except ValueError:
        return []
    return [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD, each.VAR_POSITIONAL)]


def _annotated(fn: Callable[..., Any]) -> Any:
    inner = unwrapped(fn)
    return inner if inspect.isfunction(inner) or inspect.ismethod(inner) else type(inner).__dict__.get("__call__", inner)


def _parameters(spec: StepSpec, what: str, arguments: int) -> list[Finding]:
    try:
        inspect.signature(spec.fn).bind(*[None] * arguments)
    except TypeError as error:
        return [
            Finding(
                "parameters",
                f"{what} {spec.name} cannot be called with {GIVEN[arguments]}: {error}.",
                str(spec.place),
                MEND[arguments],
            )
        ]
    except ValueError:  # a callable without a signature, some built-ins
        return []
    return []


def _return(spec: StepSpec, status_type: type[Enum], what: str) -> list[Finding]:
    try:
        annotation = typing.get_type_hints(_annotated(spec.fn)).get("return", inspect.Parameter.empty)
    except Exception:  # a name that only exists for the type checker is not our finding
        return []
    if annotation is inspect.Parameter.empty:
        return []
    place, needed = str(spec.place), f"{status_type.__name__}, Outcome or None"
    if annotation is type(None) and len(spec.to) > 1:
        return [
            Finding(
                "return",
                f"{what} {spec.name} is annotated to return None but has {len(spec.to)} destinations.",
                place,
                f"Return one of {', '.join(spec.to_keys)}.",
            )
        ]
    wrong = [part for part in _parts(annotation) if not _can_be_answer(part, status_type)]
    if wrong:
        names = ", ".join(sorted(getattr(part, "__name__", repr(part)) for part in wrong))
        return [Finding("return", f"{what} {spec.name} is annotated to return {names}.", place, f"Return {needed}.")]
    declared = [part for part in _parts(annotation) if isinstance(part, status_type)]
    strays = [member.name for member in declared if member not in spec.to]
    if strays:
        return [
            Finding(
                "return",
                f"{what} {spec.name} is annotated to return {', '.join(strays)}, not in to=.",
                place,
                "Add it to to=, or drop it.",
            )
        ]
    return []


def _parts(annotation: Any) -> list[Any]:
    origin = get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return [part for argument in get_args(annotation) for part in _parts(argument)]
    if origin is Literal:
        return list(get_args(annotation))
    return [annotation]


def _can_be_answer(part: Any, status_type: type[Enum]) -> bool:
    if part in (Any, typing.NoReturn, typing.Never, Outcome, type(None), None, object) or isinstance(part, typing.TypeVar):
        return True
    if isinstance(part, status_type):
        return True
    return isinstance(part, type) and issubclass(part, status_type)
