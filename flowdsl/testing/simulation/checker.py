"""The checker: whether what is known after a simulation is compatible with what the library promises."""

from __future__ import annotations

from flowdsl.testing.simulation.evidence import Evidence
from flowdsl.testing.simulation.invariants.callbacks import callbacks_kept
from flowdsl.testing.simulation.invariants.deletion import deleted_is_gone
from flowdsl.testing.simulation.invariants.exclusion import nothing_moves_what_stands, one_holder, one_unfinished_run
from flowdsl.testing.simulation.invariants.executions import at_least_once
from flowdsl.testing.simulation.invariants.fates import no_work_wasted, nothing_lost, nothing_stuck
from flowdsl.testing.simulation.invariants.hooks import hooks_told
from flowdsl.testing.simulation.invariants.moments import back_to_baseline, never_early, recovers
from flowdsl.testing.simulation.invariants.offspring import stored_together
from flowdsl.testing.simulation.invariants.schedules import slots_fired
from flowdsl.testing.simulation.invariants.timers import timers_on_time
from flowdsl.testing.simulation.invariants.transitions import committed_once
from flowdsl.testing.simulation.invariants.violation import Check, Violation

INVARIANTS: tuple[Check, ...] = (
    nothing_lost,
    no_work_wasted,
    callbacks_kept,
    nothing_stuck,
    committed_once,
    stored_together,
    at_least_once,
    hooks_told,
    one_unfinished_run,
    nothing_moves_what_stands,
    never_early,
    timers_on_time,
    slots_fired,
    one_holder,
    recovers,
    back_to_baseline,
    deleted_is_gone,
)
"""Each says in its docstring what it holds the library to."""


def check(evidence: Evidence) -> list[Violation]:
    """Everything that is wrong. It uses nothing of the engine and decides by tables of its own."""
    return [violation for invariant in INVARIANTS for violation in invariant(evidence)]
