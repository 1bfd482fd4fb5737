"""An edge: what leads from one status to another."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class EdgeCause(Enum):
    """What kind of function takes a run along the edge."""

    STEP = "step"
    CALLBACK = "callback"
    TIMEOUT = "timeout"
    MIGRATION = "migration"


@dataclass(frozen=True, slots=True)
class Edge:
    """From one status to another, by a function.

    The detail is what a reader wants to see beside the cause, such as "after 3 days" of a timeout.
    """

    source: str
    target: str
    cause: EdgeCause
    name: str
    doc: str
    detail: str = ""
