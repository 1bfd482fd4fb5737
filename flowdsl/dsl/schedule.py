"""Schedules as they are declared in code, and the options that those made at run time take as well."""

from __future__ import annotations

import difflib
import inspect
import typing
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from typing import Any, NamedTuple, Protocol, TypedDict, TypeVar, overload

from flowdsl.dsl.callables import unwrapped
from flowdsl.dsl.declaring import function_fields
from flowdsl.dsl.signature import arguments_of
from flowdsl.dsl.spec import FunctionSpec, Place
from flowdsl.dsl.statuses import Statuses
from flowdsl.errors import BadDataError, ConfigurationError, DefinitionError, FlowError
from flowdsl.graph.build import FlowGraph
from flowdsl.graph.finding import Finding
from flowdsl.model.limits import MAX_TEXT
from flowdsl.model.schedule import IfRunning, Misfire, ScheduleRule, timetable_of
from flowdsl.options import StepOptions, resolve_side
from flowdsl.timetable import Gap, OverlapHour

ObjectT = TypeVar("ObjectT")
LONGEST_NAME = 100
LONGEST_FOREIGN_ID = MAX_TEXT - len("@2030-01-01T00:00:00.000000Z")
MOST_CATCH_UP = 10_000
POLICIES: Mapping[str, type[StrEnum]] = {
    "gap": Gap,
    "overlap_hour": OverlapHour,
    "misfire": Misfire,
    "if_running": IfRunning,
}


class ScheduleOptions(TypedDict, total=False):
    """What a schedule may be told beside its expression and its foreign id. All may be left out."""

    timezone: str
    """The name of the time zone that the expression is read in. Default: UTC."""
    gap: Gap
    """Times that do not exist because clocks go forward. Default: NEXT."""
    overlap_hour: OverlapHour
    """Times that come twice because clocks go back. Default: AUTO."""
    misfire: Misfire
    """Slots that were missed while nobody was there to fire them. Default: ONCE."""
    misfire_grace: timedelta
    """How late a slot may be and is not missed. Default: 1 minute."""
    max_catch_up: int
    """Misfire.ALL: how many missed slots are made up for, the latest. Default: 100."""
    if_running: IfRunning
    """A slot that comes while the run before has not ended. Default: SKIP."""


OPTIONS = tuple(ScheduleOptions.__annotations__)


class ScheduleDecorator(Protocol[ObjectT]):
    """Takes a function of the slot's time that answers the object of the run; None: no run for this slot."""

    @overload
    def __call__(self, fn: Callable[[datetime], ObjectT], /) -> Callable[[datetime], ObjectT]: ...
    @overload
    def __call__(
        self, fn: Callable[[datetime], Coroutine[Any, Any, ObjectT]], /
    ) -> Callable[[datetime], Coroutine[Any, Any, ObjectT]]: ...
    @overload
    def __call__(
        self, fn: Callable[[datetime], Coroutine[Any, Any, ObjectT | None]], /
    ) -> Callable[[datetime], Coroutine[Any, Any, ObjectT | None]]: ...
    @overload
    def __call__(self, fn: Callable[[datetime], ObjectT | None], /) -> Callable[[datetime], ObjectT | None]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSpec(FunctionSpec):
    """A schedule whose function makes the objects of its runs."""

    label: str
    """The schedule's name."""
    rule: ScheduleRule


def schedule_rule(
    workflow: str,
    name: str,
    spec: str,
    foreign_id: str,
    start_status: str | None,
    options: Mapping[str, Any],
) -> ScheduleRule:
    """What a user asks for, looked at. In: the stored text of the start status; ScheduleOptions. Raises ConfigurationError,
    BadDataError and TimetableError."""
    for option in options:
        if option not in OPTIONS:
            near = difflib.get_close_matches(option, OPTIONS, 1)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            raise ConfigurationError(f"a schedule has no option {option!r}.", remedy=f"{hint}Known: {', '.join(OPTIONS)}.")
    given = {option: value for option, value in options.items() if value is not None}
    for option, kind in POLICIES.items():
        if option in given:
            given[option] = _member(kind, option, given[option])
    grace, most = given.get("misfire_grace"), given.get("max_catch_up")
    if grace is not None and (not isinstance(grace, timedelta) or grace < timedelta(0)):
        raise ConfigurationError(
            f"misfire_grace={grace!r} is no duration of zero or more.", remedy="Give e.g. misfire_grace=timedelta(minutes=5)."
        )
    if most is not None:
        if not isinstance(most, int) or isinstance(most, bool) or not 1 <= most <= MOST_CATCH_UP:
            raise ConfigurationError(f"max_catch_up={most!r} is not a number from 1 to {MOST_CATCH_UP}.", remedy="Give an int.")
        if given.get("misfire") is not Misfire.ALL:
            raise ConfigurationError("max_catch_up= is for misfire=Misfire.ALL.", remedy="Give both, or neither.")
    _text("a schedule's name", name, LONGEST_NAME)
    _text("foreign_id", foreign_id, LONGEST_FOREIGN_ID)
    rule = ScheduleRule(spec=spec, foreign_id=foreign_id, start_status=start_status, **given)
    timetable_of(workflow, name, rule)
    return rule


class DeclaredRule(NamedTuple):
    """A schedule that waits for its function."""

    label: str
    rule: ScheduleRule
    here: Place

    def by(self, fn: Callable[..., Any], defaults: StepOptions) -> ScheduleSpec:
        """The schedule with the function. In: the workflow's options, of which the retry policy counts."""
        fields = function_fields(fn, "schedule", self.here)
        options = resolve_side({}, defaults, is_async=fields["is_async"])
        return ScheduleSpec(**fields, options=options, label=self.label, rule=self.rule)


def declared_rule(
    statuses: Statuses[Any],
    workflow: str,
    spec: str,
    foreign_id: str,
    name: str | None,
    start_status: Enum | None,
    options: Mapping[str, Any],
    here: Place,
) -> DeclaredRule:
    """Raises DefinitionError, naming the place."""
    label = foreign_id if name is None else name
    try:
        start = None if start_status is None else statuses.key(start_status)
        return DeclaredRule(label, schedule_rule(workflow, label, spec, foreign_id, start, options), here)
    except FlowError as error:
        raise DefinitionError(str(error), place=str(here)) from error


def findings_together(specs: Sequence[ScheduleSpec]) -> list[Finding]:
    """What is wrong with several schedules of one workflow."""
    first: dict[str, ScheduleSpec] = {}
    found: list[Finding] = []
    for spec in specs:
        earlier = first.setdefault(spec.label, spec)
        if earlier is not spec:
            text = f"schedules {earlier.name} ({earlier.place}) and {spec.name} are both named {spec.label!r}."
            found.append(Finding("duplicate-schedule", text, str(spec.place), "Pass name= to tell them apart."))
    return found


def start_findings(specs: Sequence[ScheduleSpec], graph: FlowGraph) -> list[Finding]:
    """Schedules whose runs would start where nothing leads on."""
    ends = set(graph.terminal)
    return [
        Finding(
            "start-status",
            f"schedule {spec.name} starts runs in {spec.rule.start_status!r}, which nothing leaves.",
            str(spec.place),
            "Start them where a step, callback or timeout leads on.",
        )
        for spec in specs
        if spec.rule.start_status is not None and (spec.rule.start_status in ends or spec.rule.start_status not in graph.nodes)
    ]


def schedule_findings(spec: ScheduleSpec, object_type: Any) -> list[Finding]:
    """What is wrong with the function of a schedule."""
    found = arguments_of(spec.fn, f"schedule {spec.name}", spec.place, 1, "the time of the firing")
    fn = unwrapped(spec.fn)
    try:
        annotation = typing.get_type_hints(fn).get("return") if inspect.isroutine(fn) else None
    except Exception:  # a name that only exists for the type checker is not our finding
        return found
    if not isinstance(object_type, type) or typing.is_typeddict(object_type):
        return found
    if isinstance(annotation, type) and annotation is not type(None) and not _may_be(annotation, object_type):
        found.append(
            Finding(
                "return",
                f"schedule {spec.name} is annotated to return {annotation.__name__}.",
                str(spec.place),
                f"Return the run's object ({object_type.__name__}), or None for no run.",
            )
        )
    return found


def _may_be(annotation: type, object_type: type) -> bool:
    return annotation is object or issubclass(annotation, object_type) or issubclass(object_type, annotation)


def _member(kind: type[StrEnum], option: str, value: object) -> StrEnum:
    try:
        return kind(value)  # type: ignore[arg-type]
    except ValueError:
        known = ", ".join(f"{kind.__name__}.{member.name}" for member in kind)
        raise ConfigurationError(f"{option}={value!r} is not known.", remedy=f"Give one of {known}.") from None


def _text(what: str, value: object, longest: int) -> None:
    if not isinstance(value, str) or not value.strip() or len(value) > longest or "\0" in value:
        raise BadDataError(f"{what} is a text of 1 to {longest} characters, not {value!r}.", remedy="Give a shorter one.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadDataError(f"{what} {value!r} holds a lone surrogate, which is not text.") from None
