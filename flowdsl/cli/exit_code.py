"""The exit codes of the command line, and which error ends in which."""

from __future__ import annotations

from enum import IntEnum

from flowdsl.cli.problem import UsageProblem
from flowdsl.errors import (
    BadDataError,
    ConfigurationError,
    ConflictError,
    DeadLetterNotFoundError,
    DefinitionError,
    FlowError,
    IllegalMoveError,
    OperationError,
    PayloadError,
    RoleSchedulerError,
    RunNotFoundError,
    ScheduleError,
    ScheduleNotFoundError,
    StoreError,
    TimetableError,
    UnknownStatusError,
    WorkflowInProgressError,
)
from flowdsl.model.condition import WhereError
from flowdsl.model.query import QueryError


class ExitCode(IntEnum):
    """What the shell is told."""

    OK = 0
    FINDINGS = 1
    USAGE = 2
    STORE = 3
    NOT_FOUND = 4
    NOT_ALLOWED = 5
    UNCLEAN = 6
    UNHEALTHY = 7
    INTERNAL = 70
    INTERRUPTED = 130
    PIPE_CLOSED = 141
    TERMINATED = 143


MEANINGS: dict[ExitCode, str] = {
    ExitCode.OK: "done",
    ExitCode.FINDINGS: "a check found something, or what was asked for failed",
    ExitCode.USAGE: "wrong usage: arguments, names, objects, configuration",
    ExitCode.STORE: "the store cannot be reached, or its tables do not fit",
    ExitCode.NOT_FOUND: "there is no such run, dead letter or schedule",
    ExitCode.NOT_ALLOWED: "the run or schedule does not allow it (wrong state, in progress)",
    ExitCode.UNCLEAN: "run: steps were still running when the drain time was over",
    ExitCode.UNHEALTHY: "run: this worker should be replaced",
    ExitCode.INTERNAL: "an error nobody expected; --debug shows where",
    ExitCode.INTERRUPTED: "ended by Ctrl-C (run: by a second one)",
    ExitCode.PIPE_CLOSED: "the reader of the output went away",
    ExitCode.TERMINATED: "run: ended by a second SIGTERM",
}

OF_ERRORS: tuple[tuple[type[FlowError], ExitCode], ...] = (
    (UsageProblem, ExitCode.USAGE),
    (StoreError, ExitCode.STORE),
    (RoleSchedulerError, ExitCode.STORE),
    (RunNotFoundError, ExitCode.NOT_FOUND),
    (DeadLetterNotFoundError, ExitCode.NOT_FOUND),
    (ScheduleNotFoundError, ExitCode.NOT_FOUND),
    (ScheduleError, ExitCode.NOT_ALLOWED),
    (TimetableError, ExitCode.USAGE),
    (WorkflowInProgressError, ExitCode.NOT_ALLOWED),
    (IllegalMoveError, ExitCode.NOT_ALLOWED),
    (ConflictError, ExitCode.NOT_ALLOWED),
    (OperationError, ExitCode.NOT_ALLOWED),
    (PayloadError, ExitCode.USAGE),
    (BadDataError, ExitCode.USAGE),
    (ConfigurationError, ExitCode.USAGE),
    (QueryError, ExitCode.USAGE),
    (WhereError, ExitCode.USAGE),
    (UnknownStatusError, ExitCode.USAGE),
    (DefinitionError, ExitCode.FINDINGS),
)
"""The first class that fits decides."""


def exit_code_of(error: BaseException) -> ExitCode:
    """The exit code that an error ends in."""
    for kind, code in OF_ERRORS:
        if isinstance(error, kind):
            return code
    return ExitCode.FINDINGS if isinstance(error, FlowError) else ExitCode.INTERNAL


def epilog() -> str:
    """The table of codes, for --help: a code per line, and readable where an older Typer makes one paragraph of it."""
    return "Exit codes:\n" + ";\n".join(f"{code.value:3}  {meaning}" for code, meaning in MEANINGS.items()) + "."
