"""What can be wrong with the way a command was called."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from flowdsl.errors import DefinitionError, FlowError, WorkflowDefinitionError


class UsageProblem(FlowError):
    """The command cannot be carried out as it was given."""


class TargetProblem(UsageProblem):
    """MODULE:NAME does not lead to what the command needs."""


@contextmanager
def asked_of_sound_code() -> Generator[None]:
    """The workflow works: where it has nothing of what a command names, the command is wrong and not the declaration."""
    try:
        yield
    except WorkflowDefinitionError:
        raise
    except DefinitionError as error:
        raise UsageProblem(str(error)) from error
