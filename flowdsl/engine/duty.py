"""A duty: what one kind of row asks for."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Protocol

from flowdsl.dsl.run import Run
from flowdsl.engine.awaiting import Plan
from flowdsl.engine.work import Work
from flowdsl.model.change import MoveRun


@dataclass(slots=True)
class Opened:
    """What a body is called with, and what was stored beside what the object's type knows."""

    run: Run[Any, Any]
    leftover: Any
    more: tuple[Any, ...] = ()
    """Further arguments."""


class Duty(Protocol):
    """From the claim to the change that is to be committed. `Steps` does what all kinds have in common."""

    what: str
    """What people call the function: step, timeout, ..."""

    @abstractmethod
    def admit(self, work: Work) -> bool:
        """Whether a claimed row still asks for its body; if not, what has to happen instead is submitted."""

    @abstractmethod
    def open(self, work: Work) -> Opened:
        """What the body is called with. Raises PayloadError, UnknownStatusError."""

    @abstractmethod
    def finish(self, work: Work, opened: Opened, answer: object) -> Plan[None]:
        """Submit what the answer means. Raises StepOutcomeError, and what user code raises that it calls: the attempt failed."""

    @abstractmethod
    def give_up(self, work: Work, failures: int, error: str, *, final: bool) -> MoveRun | None:
        """What happens to the run instead of another attempt, when it has failed too often, or (`final`) with an error after
        which it is not tried again. None: it is tried again."""
