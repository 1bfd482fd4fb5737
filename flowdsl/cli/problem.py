"""What can be wrong with the way a command was called."""

from __future__ import annotations

from flowdsl.errors import FlowError


class UsageProblem(FlowError):
    """The command cannot be carried out as it was given."""


class TargetProblem(UsageProblem):
    """MODULE:NAME does not lead to what the command needs."""
