"""The diagrams of the page on the architecture, drawn as workflows are: `flowdsl docs build docs.drawings --inject ...`. These
workflows are never run."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from flowdsl import Run, RunState, Workflow
from flowdsl.engine.membership import DEFAULT_LAPSE

WAYS: Mapping[tuple[RunState, RunState], str] = {
    (RunState.INITIATED, RunState.RUNNING): "first_move",
    (RunState.INITIATED, RunState.COMPLETED): "only_move",
    (RunState.INITIATED, RunState.PAUSED): "pause_before",
    (RunState.INITIATED, RunState.CANCELLED): "cancel_before",
    (RunState.RUNNING, RunState.RUNNING): "move",
    (RunState.RUNNING, RunState.COMPLETED): "last_move",
    (RunState.RUNNING, RunState.PAUSED): "pause",
    (RunState.RUNNING, RunState.CANCELLED): "cancel",
    (RunState.PAUSED, RunState.RUNNING): "resume",
    (RunState.PAUSED, RunState.CANCELLED): "cancel_paused",
    (RunState.PAUSED, RunState.COMPLETED): "move_by_hand",
    (RunState.COMPLETED, RunState.REQUESTED_DATA_DELETED): "delete_data",
    (RunState.CANCELLED, RunState.REQUESTED_DATA_DELETED): "delete_its_data",
    (RunState.REQUESTED_DATA_DELETED, RunState.DATA_DELETED): "erase",
    (RunState.DATA_DELETED, RunState.REQUESTED_DATA_DELETED): "delete_again",
}
"""Every allowed move of a run's state but the trigger, and what to call it."""


class Row(StrEnum):
    """How far a piece of work is."""

    DUE = "due"
    CLAIMED = "claimed"
    EXECUTED = "executed"
    REPLACED = "replaced"


def states() -> Workflow[dict[str, Any], RunState]:
    """The states of a run."""
    drawn = Workflow("run_states", object_type=dict[str, Any], status_type=RunState)
    for (before, after), name in WAYS.items():
        drawn.step(from_=before, to=after)(_named(name))
    return drawn


def rows() -> Workflow[dict[str, Any], Row]:
    """A step's row, from one transition to the next."""
    drawn = Workflow("step_row", object_type=dict[str, Any], status_type=Row)
    drawn.step(from_=Row.DUE, to=Row.CLAIMED)(_named("claim"))
    drawn.step(from_=Row.CLAIMED, to=Row.EXECUTED)(_named("run_the_body"))
    drawn.step(from_=Row.EXECUTED, to=Row.REPLACED)(_named("commit"))
    drawn.step(from_=Row.EXECUTED, to=Row.DUE)(_named("fail"))
    drawn.timeout(from_=Row.CLAIMED, to=Row.DUE, after=DEFAULT_LAPSE)(_named("no_heartbeat"))
    return drawn


def _named(name: str) -> Any:
    def way(run: Run[Any, Any]) -> None: ...

    way.__name__ = way.__qualname__ = name
    return way


run_states = states()
step_row = rows()
