"""What was declared: one record per function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, StrEnum
from typing import Any

from flowdsl.dsl.payload import PayloadReader
from flowdsl.graph.spelling import duration_text
from flowdsl.options import ResolvedOptions, StepOptions


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was declared."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSpec:
    """A function of the user's that the engine calls."""

    name: str
    """Its qualified name; with `module` the identity that a later declaration replaces."""
    module: str
    fn: Callable[..., Any]
    is_async: bool
    options: ResolvedOptions
    place: Place
    doc: str
    """The first line of its docstring."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSpec(FunctionSpec):
    """One declared step, or another function that moves runs. `from_key` and `to_keys` are the stored texts of the statuses."""

    from_: Enum
    to: tuple[Enum, ...]
    from_key: str
    to_keys: tuple[str, ...]
    own_options: StepOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeoutSpec(StepSpec):
    """What happens to a run that stays too long. One of `after` and `at` is given."""

    label: str
    """Tells it from the other timeouts of the status."""
    after: timedelta | None
    at: Callable[..., Any] | None
    """Given the run, as it will be in the status, and the time: when it is due; None: not at all."""

    @property
    def detail(self) -> str:
        return "at a computed time" if self.after is None else f"after {duration_text(self.after)}"


class OnEarly(StrEnum):
    """What becomes of a callback for a status that the run has not entered yet."""

    KEEP = "keep"
    """It is kept with the run and applied when the run enters the status."""
    REFUSE = "refuse"
    """It is not: the caller is told that the run is elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackSpec(StepSpec):
    """What moves a run from outside."""

    label: str
    """Tells it from the other callbacks of the status."""
    reader: PayloadReader | None
    """Makes the payload of bytes; None: the function takes none."""
    on_early: OnEarly
    keep_for: timedelta | None
    """How long an early one is kept; None: as long as the run is unfinished."""


class HookEvent(StrEnum):
    """What a hook is told of."""

    PAUSE = "pause"
    CANCEL = "cancel"
    COMPLETE = "complete"
    ERROR = "error"
    """A step, timeout or callback failed."""
    TRANSITION = "transition"
    """The run entered a status."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookSpec(FunctionSpec):
    """A function that is told what happened to a run, at least once."""

    event: HookEvent
    label: str
    """Tells it from the other hooks of the event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionSpec(FunctionSpec):
    """A function that scrubs the object of a run whose data is to be deleted."""
