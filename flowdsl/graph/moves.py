"""From history to the ways of a graph: which rows of a run's history are moves, and along what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import NamedTuple

from flowdsl.model.history import Cause, HistoryRow
from flowdsl.model.run_state import RunState

_MOVERS = frozenset({Cause.STEP, Cause.CALLBACK, Cause.TIMEOUT})


class Way(NamedTuple):
    """A branch of an arrow, by the texts that the diagram has of it."""

    source: str
    target: str
    function: str


class Move(NamedTuple):
    way: Way
    stayed: timedelta
    """In the source, since the run entered it."""
    row: HistoryRow


def moves(history: Sequence[HistoryRow]) -> Iterator[Move]:
    """In: every version of a run, first to last. A step that led back to its own status is a move; a repeat and a pause are
    none."""
    entered = history[0].at if history else None
    for row in history:
        source = row.from_status
        if source is None or entered is None:
            continue
        led_back = row.cause in _MOVERS and row.to_state in (RunState.RUNNING, RunState.COMPLETED)
        if source != row.to_status or led_back:
            yield Move(Way(source, row.to_status, _function(row)), row.at - entered, row)
            entered = row.at


def _function(row: HistoryRow) -> str:
    """Its qualified name; for what is none, what was done."""
    bare = not row.name or row.name == f"{row.from_status} -> {row.to_status}"
    return row.cause.value if bare else row.name
