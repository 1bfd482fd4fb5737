"""Points at which a process may die or a call may fail, and the trap that is set at one of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class Point(Enum):
    """Where, on the way of an event from its receipt to the commit of what it caused."""

    RECEIVE = "events were received, and nothing was done about them"
    CLAIM = "rows were claimed, and nobody knows of them yet"
    STEP_BEFORE = "a step is about to begin"
    STEP_AFTER = "a step has done its work, and its answer is not stored"
    TX_UPDATE = "in the transaction: the run was written, its rows were not"
    TX_OUTBOX = "in the transaction: run and rows were written, nothing is committed"
    COMMIT_BEFORE = "the transaction is about to be committed"
    COMMIT_AFTER = "it is committed, and nobody knows it yet"
    ACK_BEFORE = "rows are claimed, their events are not acknowledged"
    ACK_AFTER = "the events are acknowledged, the rows are not worked on"
    PUBLISH_BEFORE = "rows are committed, and not announced"
    PUBLISH_AFTER = "the broker has the events, and nobody knows it yet"
    TIMER_CLAIMED = "a timeout is claimed, its function was not called"
    TIMER_TX = "a timeout's move is committed, and nobody knows it yet"
    SLOT_DUE = "a slot of a schedule is due, its object was asked for, and no run is started"
    SLOT_TX = "the run of a slot is committed, and nobody knows it yet"
    LEASE = "roles were leased, and nobody knows it yet"
    BEAT = "the heartbeat was renewed, and nobody knows it yet"


class Action(Enum):
    """What happens there."""

    KILL = "kill -9"
    RAISE = "the call fails, four times in a row, and nothing was done"
    UNKNOWN = "the call fails, and it was done"


REPEATS = 4
"""So often a call fails that adapters have tried all they may."""


@dataclass
class Trap:
    """In: at which visit of the point it snaps, counted from 1. A trap without a point only counts."""

    point: Point | None
    action: Action = Action.RAISE
    nth: int = 1
    visits: int = 0
    snapped: int = 0

    def before(self, point: Point, fail: Callable[[], None]) -> None:
        """A call at the point is about to be made. `fail` raises what the callee raises when it fails."""
        if point is not self.point or self.action is not Action.RAISE:
            return
        self.visits += 1
        if self.nth <= self.visits < self.nth + REPEATS:
            self.snapped += 1
            fail()

    def after(self, point: Point, fail: Callable[[], None]) -> None:
        """It was made."""
        if point is not self.point or self.action is Action.RAISE:
            return
        self.visits += 1
        if self.visits == self.nth:
            self._snap(fail)

    def here(self, point: Point, fail: Callable[[], None]) -> None:
        """The process is at the point, between two calls."""
        if point is not self.point:
            return
        self.visits += 1
        if self.visits == self.nth:
            self._snap(fail)

    def _snap(self, fail: Callable[[], None]) -> None:
        self.snapped += 1
        if self.action is Action.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        fail()
