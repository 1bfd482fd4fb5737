"""A step as it was declared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from flowdsl.options import ResolvedOptions, StepOptions


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was declared."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSpec:
    """One declared step. `from_key` and `to_keys` are the stored texts of the statuses."""

    name: str
    """The function's qualified name; with `module` the identity that a later declaration replaces."""
    module: str
    fn: Callable[[Any], Any]
    is_async: bool
    from_: Enum
    to: tuple[Enum, ...]
    from_key: str
    to_keys: tuple[str, ...]
    own_options: StepOptions
    options: ResolvedOptions
    place: Place
    doc: str
    """The first line of the function's docstring."""
