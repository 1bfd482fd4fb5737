"""Outcomes made where they mean nothing."""

from __future__ import annotations

from typing import Any

from flowdsl.dsl.run import Run
from flowdsl.errors import UnusedOutcomeError


def refuse_outcome(run: Run[Any, Any], what: str) -> None:
    """Raise UnusedOutcomeError when a function that cannot move its run called run.pause() or the like. In: what people call the
    function, e.g. "hook tell_the_team"."""
    if run.made is not None:
        raise UnusedOutcomeError(
            f"{what} called run.{run.made.kind.value}(), which does nothing there.",
            remedy="Steps, timeouts and callbacks move runs; from elsewhere use the verbs of a handle, e.g. engine.handle(run.run_id).",
        )
