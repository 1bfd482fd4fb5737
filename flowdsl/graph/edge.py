"""An edge: what leads from one status to another."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class EdgeCause(Enum):
    """What kind of function takes a run along the edge."""

    STEP = "step"


@dataclass(frozen=True, slots=True)
class Edge:
    """From one status to another, by a function."""

    source: str
    target: str
    cause: EdgeCause
    name: str
    doc: str
