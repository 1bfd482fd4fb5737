"""Mishaps: what may befall a process between two lines of its work, and where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Mishap(Enum):
    """What happens at a point."""

    CRASH = "the process dies"
    LOSE_ANSWER = "the store does it, and its answer is lost"
    UNAVAILABLE = "the store cannot be reached"


class Moment(Enum):
    """The kinds of points in an engine's work."""

    BEFORE_CLAIM = "before rows are claimed"
    AFTER_CLAIM = "after rows were claimed"
    BEFORE_BODY = "before a function is called"
    AFTER_BODY = "after a function has returned, before anything of it is stored"
    BEFORE_COMMIT = "before a commit"
    AFTER_COMMIT = "after a commit"


POSSIBLE: Mapping[Moment, frozenset[Mishap]] = {
    Moment.BEFORE_CLAIM: frozenset({Mishap.CRASH, Mishap.UNAVAILABLE}),
    Moment.AFTER_CLAIM: frozenset({Mishap.CRASH, Mishap.LOSE_ANSWER}),
    Moment.BEFORE_BODY: frozenset({Mishap.CRASH}),
    Moment.AFTER_BODY: frozenset({Mishap.CRASH}),
    Moment.BEFORE_COMMIT: frozenset({Mishap.CRASH, Mishap.UNAVAILABLE}),
    Moment.AFTER_COMMIT: frozenset({Mishap.CRASH, Mishap.LOSE_ANSWER}),
}


@dataclass(frozen=True, slots=True)
class Point:
    """One place in one rehearsal: the `number`-th that was passed."""

    number: int
    moment: Moment
    about: str
    """What was being done: the function and the run."""

    def __str__(self) -> str:
        return f"point {self.number}, {self.moment.value}{f' ({self.about})' if self.about else ''}"


@dataclass(slots=True)
class Plan:
    """Which mishap happens at which point; and the points that were passed."""

    at: Mapping[int, Mishap] = field(default_factory=dict)
    passed: list[Point] = field(default_factory=list)
    happened: list[tuple[Point, Mishap]] = field(default_factory=list)

    def reach(self, moment: Moment, about: str = "") -> Mishap | None:
        """A point is passed; what happens there."""
        point = Point(len(self.passed) + 1, moment, about)
        self.passed.append(point)
        mishap = self.at.get(point.number)
        if mishap is None or mishap not in POSSIBLE[moment]:
            return None
        self.happened.append((point, mishap))
        return mishap


class ProcessDiedError(BaseException):
    """The rehearsed process is gone: nothing in it may catch this."""
