"""What every decorator looks at, before anything is declared."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from enum import Enum
from typing import Any, Generic, NamedTuple, TypeVar

from flowdsl.dsl.callables import doc_line, is_async, is_generator, names, place
from flowdsl.dsl.spec import Place
from flowdsl.dsl.statuses import Statuses
from flowdsl.errors import DefinitionError
from flowdsl.model.limits import MAX_TOPIC
from flowdsl.naming import topic

StatusT = TypeVar("StatusT", bound=Enum)
LONGEST_LABEL = 100


class Way(NamedTuple, Generic[StatusT]):
    """From where to where, as members and as stored texts."""

    from_: StatusT
    to: tuple[StatusT, ...]
    from_key: str
    to_keys: tuple[str, ...]


def way(statuses: Statuses[StatusT], workflow: str, from_: StatusT, to: StatusT | Sequence[StatusT], here: Place) -> Way[StatusT]:
    """Raises DefinitionError, naming the place, for what are no statuses of the workflow."""
    try:
        from_key = statuses.key(from_)
        several: Any = to
        targets: tuple[StatusT, ...] = (several,) if isinstance(to, (statuses.type, str, int)) else tuple(several)
        to_keys = tuple(statuses.key(member) for member in targets)
    except TypeError as error:
        raise DefinitionError(f"to={to!r} is neither a status nor several.", place=str(here)) from error
    except DefinitionError as error:
        raise DefinitionError(str(error), place=str(here)) from error
    for key in (from_key, *to_keys):
        if len(topic(workflow, key)) > MAX_TOPIC:
            raise DefinitionError(
                f"status {key!r} of {workflow!r} makes a topic of more than {MAX_TOPIC} characters.",
                place=str(here),
                remedy="Shorten the names; a character outside ASCII counts up to nine times.",
            )
    if not targets:
        raise DefinitionError("to=() leads nowhere.", place=str(here), remedy="Name at least one destination.")
    twice = sorted({key for key in to_keys if to_keys.count(key) > 1})
    if twice:
        raise DefinitionError(f"to= names {', '.join(twice)} twice.", place=str(here))
    return Way(from_, targets, from_key, to_keys)


def function_fields(fn: Any, what: str, here: Place) -> dict[str, Any]:
    """The fields of a FunctionSpec that the function itself gives. Raises DefinitionError for what cannot be called for an
    answer."""
    if not callable(fn):
        raise DefinitionError(f"{fn!r} is not a function.", place=str(here))
    if is_generator(fn):
        raise DefinitionError(
            f"{what} {names(fn)[1]} is a generator.", place=str(place(fn)), remedy="Return the answer instead of yielding."
        )
    module, name = names(fn)
    return {"name": name, "module": module, "fn": fn, "is_async": is_async(fn), "place": place(fn), "doc": doc_line(fn)}


def refuse_async(fields: Mapping[str, Any], what: str) -> None:
    """Raises DefinitionError for a function that works on stored objects and is `async def`. In: its fields."""
    if fields["is_async"]:
        raise DefinitionError(
            f"{what} {fields['name']} is `async def`; stored objects are read where nobody can wait.",
            place=str(fields["place"]),
            remedy="Use `def`.",
        )


def label_of(name: str | None, fn: Callable[..., Any], topic_of: Callable[[str], str], here: Place) -> str:
    """What tells a function from others of its kind: `name`, or the function's own. Raises DefinitionError."""
    label = names(fn)[1].rpartition(".")[2] if name is None else name
    if not isinstance(label, str) or not 0 < len(label) <= LONGEST_LABEL:
        raise DefinitionError(f"name={name!r} is not a text of 1 to {LONGEST_LABEL} characters.", place=str(here))
    if len(topic_of(label)) > MAX_TOPIC:
        raise DefinitionError(
            f"name {label!r} makes a topic of more than {MAX_TOPIC} characters.", place=str(here), remedy="Pass a shorter name=."
        )
    return label


def duration(name: str, value: timedelta | None, here: Place) -> None:
    """Raises DefinitionError for what is no duration above zero. None passes."""
    if value is None:
        return
    if not isinstance(value, timedelta):
        remedy = f"Give a timedelta, e.g. {name}=timedelta(hours=1)."
        raise DefinitionError(f"{name}={value!r} is not a duration.", place=str(here), remedy=remedy)
    if value <= timedelta(0):
        raise DefinitionError(f"{name}={value} is not above zero.", place=str(here), remedy="Give a timedelta above zero.")


def caller() -> Place:
    """The first place outside this room: the line of the user's that declares."""
    room = os.path.dirname(__file__)
    frame = sys._getframe(1)
    while frame.f_back is not None and os.path.dirname(frame.f_code.co_filename) == room:
        frame = frame.f_back
    return Place(frame.f_code.co_filename, frame.f_lineno)
