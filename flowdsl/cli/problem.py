"""What can be wrong with the way a command was called."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from flowdsl.errors import DefinitionError, FlowError, WorkflowDefinitionError


class UsageProblem(FlowError):
    """The command cannot be carried out as it was given."""


class TargetProblem(UsageProblem):
    """MODULE:NAME does not lead to what the command needs."""


def unfit_after(text: str, elsewhere: str) -> UsageProblem:
    """An --after that no list ended with. In: where its value is to be had besides."""
    shown = text if len(text) <= 40 else f"{text[:40]}..."
    return UsageProblem(
        f"--after {shown!r} is no place in this list.",
        remedy=f"Give what a list says under it (More: --after ...), or {elsewhere}.",
    )


@contextmanager
def asked_of_sound_code() -> Generator[None]:
    """The workflow works: where it has nothing of what a command names, the command is wrong and not the declaration."""
    try:
        yield
    except WorkflowDefinitionError:
        raise
    except DefinitionError as error:
        raise UsageProblem(str(error)) from error
