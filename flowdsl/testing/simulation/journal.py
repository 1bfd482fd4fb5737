"""What happened in a simulation, as seen from outside the library: what step bodies were told and did, what customers asked and
were answered, what the store said to changes, who was lost when. The checker compares it with what the store holds in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from itertools import count

from flowdsl.clock import Clock
from flowdsl.model.callback_result import CallbackOutcome
from flowdsl.model.change import Change, CommitOutcome, CommitResult, FailRow, MoveRun, StartRun
from flowdsl.model.run_state import RunState


class Answer(Enum):
    """How an execution of a step's body ended."""

    NONE = "none"
    """It did not: its process is gone."""
    STATUS = "status"
    """With a status; a hook simply returned."""
    PAUSE = "pause"
    CANCEL = "cancel"
    REPEAT = "repeat"
    SKIP = "skip"
    RAISED = "raised"


class Kind(Enum):
    """What is executed."""

    STEP = "step"
    TIMEOUT = "timeout"
    CALLBACK = "callback"
    HOOK = "hook"


@dataclass(slots=True, kw_only=True)
class Execution:
    """One call of a body: of a step, a timeout, a callback, a hook."""

    node: str
    began: int
    """When, as a place in the order of all that happened."""
    began_at: datetime
    """By the world's clock."""
    workflow: str
    foreign_id: str
    run_id: str
    version: int
    status: str
    state: RunState
    attempt: int
    key: str
    """The idempotency key that it was given."""
    trail: tuple[str, ...]
    """What earlier steps had left in the object."""
    ended: int | None = None
    ended_at: datetime | None = None
    answer: Answer = Answer.NONE
    to: str = ""
    kind: Kind = Kind.STEP
    task: str = ""
    """What tells it from others of its kind: the callback's id, the hook's event."""


class Told(Enum):
    """What a customer was told."""

    NOTHING = "nothing"
    """An error, or the process was gone: it may have happened or not."""
    DONE = "done"
    """Yes; a pause or cancel may still wait for the running step."""
    FOUND = "found"
    """A trigger found the run of its key."""
    REFUSED = "refused"


@dataclass(slots=True, kw_only=True)
class Trigger:
    """A customer's attempt to start a run."""

    workflow: str
    foreign_id: str
    key: str | None
    asked: int
    answered: int | None = None
    told: Told = Told.NOTHING
    run_id: str = ""
    """DONE, FOUND: the run; REFUSED: the unfinished run that was in the way."""


@dataclass(slots=True, kw_only=True)
class Order:
    """A customer's pause, resume or cancel."""

    verb: str
    run_id: str
    reason: str
    asked: int
    asked_at: datetime
    answered: int | None = None
    told: Told = Told.NOTHING


@dataclass(slots=True, kw_only=True)
class Call:
    """A customer's callback."""

    call_id: str
    """In its payload, and in the trail of the run that it moved."""
    workflow: str
    foreign_id: str
    status: str
    key: str | None
    asked: int
    answered: int | None = None
    outcome: CallbackOutcome | None = None
    """None: an error, or no answer."""
    run_id: str = ""


@dataclass(slots=True, kw_only=True)
class Waiting:
    """A customer's wait for a status (None: for the end)."""

    run_id: str
    status: str | None
    node: str
    done: bool = False
    abandoned: bool = False
    """Its process is gone."""
    reached: bool = False
    """It was told that the run got there; else that it cannot any more."""
    version: int = 0


@dataclass(slots=True, frozen=True)
class Commit:
    """What the store did with one change of a run, whether or not the asker got the answer."""

    node: str
    change_id: str
    run_id: str
    version: int
    """The version that the change makes."""
    outcome: CommitOutcome
    failed: bool = False
    """It is no change of a run, but notes that an attempt at a row failed."""


@dataclass(slots=True, frozen=True)
class Ordered:
    """A schedule's function was asked for the object of a slot."""

    workflow: str
    schedule: str
    slot: datetime
    at: datetime
    answer: Answer
    """STATUS: it made one; SKIP: no run is wanted; RAISED."""


@dataclass(slots=True, frozen=True)
class Loss:
    """An instance lost its claims: its process was gone, or it learnt that its heartbeat had lapsed."""

    node: str
    owner: str
    when: int


@dataclass(slots=True, frozen=True)
class Held:
    """Who acts in a role at one moment, by their own account."""

    role: str
    nodes: tuple[str, ...]
    when: int


@dataclass(slots=True, frozen=True)
class Granted:
    """A lease that the role scheduler gave."""

    role: str
    member: str
    token: int
    when: int


@dataclass(slots=True)
class Journal:
    """Everything, in order. In: the world's clock."""

    clock: Clock
    executions: list[Execution] = field(default_factory=list)
    triggers: list[Trigger] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    waits: list[Waiting] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)
    ordered: list[Ordered] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    granted: list[Granted] = field(default_factory=list)
    accidents: list[str] = field(default_factory=list)
    """Errors that the library should have dealt with itself."""
    lines: list[str] | None = None
    """A story for people, when one is wanted."""
    _ticks: count[int] = field(default_factory=count)

    def tick(self) -> int:
        """The next place in the order of all that happens."""
        return next(self._ticks)

    def say(self, who: str, what: str) -> None:
        """One line of the story."""
        if self.lines is not None:
            self.lines.append(f"{self.clock.monotonic():9.3f}  {who:10} {what}")

    def committed(self, node: str, changes: Sequence[Change], results: Sequence[CommitResult]) -> None:
        """The store dealt with a group."""
        for change, result in zip(changes, results, strict=True):
            if isinstance(change, StartRun):
                self.commits.append(Commit(node, change.change_id, change.run_id, 1, result.outcome))
            elif isinstance(change, MoveRun):
                self.commits.append(Commit(node, change.change_id, change.run_id, change.version + 1, result.outcome))
            elif isinstance(change, FailRow):
                self.commits.append(Commit(node, change.change_id, change.row_id, 0, result.outcome, failed=True))
            if self.lines is not None:
                self.say(
                    node, f"commit {_shown(change)}: {result.outcome.value}{f' ({result.refusal})' if result.refusal else ''}"
                )

    def undone(self, changes: Sequence[Change]) -> None:
        """The store could not answer for changes that were to be stored together, and did not store them: the attempt failed,
        as if its body had."""
        moved = {(change.run_id, change.version) for change in changes if isinstance(change, MoveRun)}
        for execution in reversed(self.executions):
            if execution.kind is Kind.STEP and (execution.run_id, execution.version) in moved:
                execution.answer = Answer.RAISED
                return


def _shown(change: Change) -> str:
    kind = type(change).__name__
    if isinstance(change, StartRun):
        return f"{kind} {change.run_id} {change.foreign_id} in {change.status}, row of {change.row.owner if change.row else '-'}"
    if isinstance(change, MoveRun):
        row = "no row" if change.row is None else f"row of {change.row.owner or 'nobody'}"
        return (
            f"{kind} {change.run_id} v{change.version} {change.from_status}->{change.to_status} "
            f"{change.to_state.name} {change.origin.cause.value}, {row}"
        )
    return f"{kind} {getattr(change, 'run_id', getattr(change, 'row_id', ''))}"
