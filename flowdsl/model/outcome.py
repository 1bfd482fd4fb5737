"""What a step may answer beside a status."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class OutcomeKind(Enum):
    PAUSE = "pause"
    CANCEL = "cancel"
    SKIP = "skip"
    REPEAT = "save_and_repeat"


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer that the engine applies together with the object's changes. Made by the methods of `Run`; it does nothing until
    the step returns it."""

    kind: OutcomeKind
    reason: str = ""
