"""What does not fit, put into sentences with what to do."""

from __future__ import annotations

import difflib

from msgspec import Struct

from flowdsl.dsl.definition import Definition
from flowdsl.engine.sentence import count, stopped
from flowdsl.model.misfit import Misfit, MisfitKind

OF_ALL = (MisfitKind.UNKNOWN_STATUS, MisfitKind.NO_WAY_ON, MisfitKind.ENDED_STATUS)
"""What is counted over all runs; the rest over a sample."""


class Found(Struct, frozen=True):
    """A misfit as it was counted."""

    workflow: str
    kind: MisfitKind
    status: str
    runs: int
    detail: str
    """An error, or the name of a function."""
    example: str


def worded(found: Found, definition: Definition, sampled: int) -> Misfit:
    """In: how many runs of the status were looked at."""
    message, remedy = _text(found, definition, sampled)
    return Misfit(
        workflow=found.workflow,
        kind=found.kind,
        status=found.status,
        runs=found.runs,
        sampled=None if found.kind in OF_ALL else sampled,
        message=message,
        remedy=remedy,
        example=found.example,
    )


def _text(found: Found, definition: Definition, sampled: int) -> tuple[str, str]:
    status, detail = found.status, found.detail
    runs, some = count(found.runs, "unfinished run"), f"{found.runs} of {count(sampled, 'run')} looked at"
    migrate = f"Declare @workflow.migrate(from_={status!r}, to=...)"
    match found.kind:
        case MisfitKind.UNKNOWN_STATUS:
            near = difflib.get_close_matches(status, sorted(definition.statuses), 1)
            hint = f" Did it become {near[0]!r}?" if near else ""
            return (
                f"{runs} in {status!r}, which this code does not have.{hint}",
                f"{migrate}, or keep the status until it is empty.",
            )
        case MisfitKind.NO_WAY_ON:
            return (
                f"{runs} in {status!r}, from which nothing of this code leads on.",
                f"{migrate}, or keep its step until it is empty.",
            )
        case MisfitKind.ENDED_STATUS:
            return (
                f"{runs} in {status!r}, where runs end in this code: nothing would complete them.",
                f"{migrate}, or move them by hand: flowdsl runs move.",
            )
        case MisfitKind.UNREADABLE_OBJECT:
            return (
                f"the objects of {some} in {status!r} cannot be read: {stopped(detail)}",
                "Give new fields defaults, or raise schema_version= and declare @workflow.upcast.",
            )
        case MisfitKind.NEWER_OBJECT:
            return (
                f"the objects of {some} in {status!r} were stored by newer code than this.",
                "Deploy newer code: this would leave those runs to it.",
            )
        case MisfitKind.LOST_TIMEOUT:
            return (
                f"{some} in {status!r} wait for timeout {detail!r}, which this code does not have.",
                "Keep it until they have passed, or see that something else leads on.",
            )
        case MisfitKind.LOST_CALLBACK:
            return (
                f"{count(found.runs, 'callback')} {detail!r} kept for runs in {status!r}: this code would not apply them.",
                "Keep the callback until they are applied. Where its status has a new name: declare the migration, and a callback"
                " of the same name there.",
            )
        case MisfitKind.FAILING_MIGRATION:
            return f"the objects of {some} in {status!r} make their migration fail: {stopped(detail)}", "Mend its function."
