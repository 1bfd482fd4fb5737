"""What a function asked of a run that it cannot move: refused, because nobody would do it."""

from __future__ import annotations

from typing import Any

from flowdsl.dsl.run import Run
from flowdsl.errors import UnusedOutcomeError


def refuse_intents(run: Run[Any, Any], what: str) -> None:
    """Raise UnusedOutcomeError when a function that does not move its run called run.pause(), run.trigger() or the like. In: what
    people call the function, e.g. "hook tell_the_team"."""
    verb = None if run.made is None else run.made.kind.value
    if run.extras.starts:
        verb = "trigger"
    elif run.extras.writes:
        verb = "in_transaction"
    if verb is not None:
        raise UnusedOutcomeError(
            f"{what} called run.{verb}(), which does nothing there.",
            remedy="Only steps, timeouts and callbacks move runs; elsewhere use the verbs of engine.handle(run.run_id).",
        )
