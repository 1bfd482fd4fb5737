"""A process is an object that does one bounded piece of work at a time. Who calls it, and when, is the runtime's business."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol


class Process(Protocol):
    """One of the engine's loops, seen from outside."""

    @abstractmethod
    def step(self) -> bool:
        """Do one bounded piece of work. True: something was done, so there may be more right away."""

    @abstractmethod
    def next_due(self) -> float | None:
        """The monotonic time of the next step that nobody has to ask for; None: only on demand."""
