"""What can be seen from a step's signature without calling it."""

from __future__ import annotations

import inspect
import types
import typing
from enum import Enum
from typing import Any, Literal, get_args, get_origin

from flowdsl.dsl.callables import unwrapped
from flowdsl.dsl.spec import StepSpec
from flowdsl.graph.finding import Finding
from flowdsl.model.outcome import Outcome


def findings_of(spec: StepSpec, status_type: type[Enum]) -> list[Finding]:
    """What is wrong with the function of a step. Annotations that cannot be resolved here are left to the type checkers."""
    return [*_parameters(spec), *_return(spec, status_type)]


def _parameters(spec: StepSpec) -> list[Finding]:
    try:
        inspect.signature(spec.fn).bind(None)
    except TypeError as error:
        return [
            Finding(
                "parameters",
                f"step {spec.name} cannot be called with a run alone: {error}.",
                str(spec.place),
                "Give it exactly one parameter without a default: the run.",
            )
        ]
    except ValueError:  # a callable without a signature, some built-ins
        return []
    return []


def _return(spec: StepSpec, status_type: type[Enum]) -> list[Finding]:
    fn = unwrapped(spec.fn)
    target = fn if inspect.isfunction(fn) or inspect.ismethod(fn) else type(fn).__dict__.get("__call__", fn)
    try:
        annotation = typing.get_type_hints(target).get("return", inspect.Parameter.empty)
    except Exception:  # a name that only exists for the type checker is not our finding
        return []
    if annotation is inspect.Parameter.empty:
        return []
    place, needed = str(spec.place), f"{status_type.__name__}, Outcome or None"
    if annotation is type(None) and len(spec.to) > 1:
        return [
            Finding(
                "return",
                f"step {spec.name} is annotated to return None but has {len(spec.to)} destinations.",
                place,
                f"Return one of {', '.join(spec.to_keys)}.",
            )
        ]
    wrong = [part for part in _parts(annotation) if not _can_be_answer(part, status_type)]
    if wrong:
        names = ", ".join(sorted(getattr(part, "__name__", repr(part)) for part in wrong))
        return [Finding("return", f"step {spec.name} is annotated to return {names}.", place, f"Return {needed}.")]
    declared = [part for part in _parts(annotation) if isinstance(part, status_type)]
    strays = [member.name for member in declared if member not in spec.to]
    if strays:
        return [
            Finding(
                "return",
                f"step {spec.name} is annotated to return {', '.join(strays)}, not in to=.",
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
