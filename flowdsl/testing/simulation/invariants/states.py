"""States and causes, as the checker sees them: tables of its own."""

from __future__ import annotations

from flowdsl.model.history import Cause
from flowdsl.model.run_state import RunState

ENDED = frozenset({RunState.COMPLETED, RunState.CANCELLED})
ERASED = frozenset({RunState.REQUESTED_DATA_DELETED, RunState.DATA_DELETED})
FINISHED = ENDED | ERASED
UNDER_WAY = frozenset({RunState.INITIATED, RunState.RUNNING})
BODIES = frozenset({Cause.STEP, Cause.REPEAT, Cause.TIMEOUT, Cause.CALLBACK})
"""Causes behind which there is the answer of a function, whose object is stored."""
STAYS = frozenset({Cause.CONTROL, Cause.ERRORS, Cause.AUTO_RESUME, Cause.SWEEP, Cause.REPEAT, Cause.DELETION})
"""Causes that never change a run's status."""
WAKES = frozenset({Cause.CONTROL, Cause.AUTO_RESUME})
"""What may move a paused run."""
ERASURES = {
    RunState.COMPLETED: {RunState.REQUESTED_DATA_DELETED},
    RunState.CANCELLED: {RunState.REQUESTED_DATA_DELETED},
    RunState.REQUESTED_DATA_DELETED: {RunState.DATA_DELETED},
    RunState.DATA_DELETED: {RunState.REQUESTED_DATA_DELETED},
}
"""Where a run may still go that has ended."""
