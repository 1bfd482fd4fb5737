"""The state of a run and the one table of allowed moves."""

from __future__ import annotations

from enum import IntEnum


class RunState(IntEnum):
    """How far a run is in its life; the numbers are what is stored, and a text of it is its label."""

    UNKNOWN = 0
    INITIATED = 1
    """Triggered; no step has committed yet."""
    RUNNING = 2
    """At least one step has committed."""
    PAUSED = 3
    """Nothing happens to it until it is resumed or cancelled."""
    COMPLETED = 4
    """It reached a terminal status."""
    CANCELLED = 5
    """It was ended before that."""
    DATA_DELETED = 6
    REQUESTED_DATA_DELETED = 7

    @property
    def finished(self) -> bool:
        """No step will run any more; the foreign id is free for a new run."""
        return self in FINISHED

    @property
    def stopped(self) -> bool:
        """No step may run now (finished, or paused)."""
        return self in STOPPED

    @property
    def data_goes(self) -> bool:
        """What the run holds is being erased, or was."""
        return self in (S.REQUESTED_DATA_DELETED, S.DATA_DELETED)

    @property
    def label(self) -> str:
        """The text people read, as in 'Data Deleted'."""
        return self.name.replace("_", " ").title()

    def __str__(self) -> str:
        return self.label

    def __format__(self, spec: str) -> str:
        return format(int(self), spec) if spec.endswith(tuple("bcdoxXn")) else format(self.label, spec)


S = RunState
FINISHED = frozenset({S.COMPLETED, S.CANCELLED, S.DATA_DELETED, S.REQUESTED_DATA_DELETED})
STOPPED = FINISHED | {S.PAUSED}

ALLOWED_MOVES: dict[RunState, frozenset[RunState]] = {
    S.UNKNOWN: frozenset({S.INITIATED}),
    S.INITIATED: frozenset({S.RUNNING, S.PAUSED, S.CANCELLED, S.COMPLETED}),
    S.RUNNING: frozenset({S.RUNNING, S.COMPLETED, S.PAUSED, S.CANCELLED}),
    S.PAUSED: frozenset({S.RUNNING, S.CANCELLED, S.COMPLETED}),
    S.COMPLETED: frozenset({S.REQUESTED_DATA_DELETED}),
    S.CANCELLED: frozenset({S.REQUESTED_DATA_DELETED}),
    S.REQUESTED_DATA_DELETED: frozenset({S.DATA_DELETED}),
    S.DATA_DELETED: frozenset({S.REQUESTED_DATA_DELETED}),
}
"""From each state, where a run may go. RUNNING to RUNNING is a step's transition; every other move to itself is refused. That a
person takes over a pause which errors made is no move: the run is paused as before, and not resumed by itself any more. A paused
run is completed only by a person, or a migration, that puts it into a terminal status."""


def may_move(before: RunState, after: RunState) -> bool:
    """Whether a run in `before` may be put into `after`."""
    return after in ALLOWED_MOVES[before]
