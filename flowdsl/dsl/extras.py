"""What a step asks for beside its answer: stored in the transaction of its transition, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flowdsl.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class EventIntent:
    """An event of the user's to publish."""

    topic: str
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class StartIntent:
    """A run to start."""

    workflow: Any
    foreign_id: str
    obj: object
    options: Mapping[str, Any]


def _nowhere() -> Any:
    raise ConfigurationError(
        "this run belongs to no engine that could store what is asked of it.",
        remedy="It is for functions that move runs: steps, timeouts and callbacks.",
    )


@dataclass(slots=True)
class Extras:
    """Collected by the verbs of Run, carried out by the engine. `open_work` begins the transaction that `run.session` writes in;
    `refuse_events` says why nothing can be published."""

    open_work: Callable[[], Any] = _nowhere
    refuse_events: str | None = "this run belongs to no engine."
    events: list[EventIntent] = field(default_factory=list)
    starts: list[StartIntent] = field(default_factory=list)
    writes: list[Callable[[Any], object]] = field(default_factory=list)
    work: Any = None
    """The open unit of work."""

    @property
    def alone(self) -> bool:
        """Whether the transition needs a transaction of its own."""
        return bool(self.starts or self.writes) or self.work is not None

    def session(self) -> Any:
        if self.work is None:
            self.work = self.open_work()
        return self.work.session

    def close(self) -> None:
        """Undo what was written and not committed."""
        if self.work is not None:
            work, self.work = self.work, None
            work.close()
