"""Everything that can go wrong, one class per thing. The docstring's first line is the message's beginning;
ids and the remedy are attributes, so a handler never has to parse text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

LONGEST_WAIT = timedelta(days=366)


class FlowError(Exception):
    """Base of every error that flowdsl raises. `remedy` says what to do next, when there is something to do."""

    def __init__(self, message: str | None = None, *, remedy: str | None = None) -> None:
        text = message or first_line(type(self).__doc__)
        text = text.removesuffix(".") if text.endswith("..") and not text.endswith("...") else text
        if remedy and not text.endswith((".", "!", "?", ":")):
            text = f"{text}."
        super().__init__(f"{text} {remedy}" if remedy else text)
        self.remedy = remedy


def first_line(doc: str | None) -> str:
    return (doc or "").strip().partition("\n")[0]


class DefinitionError(FlowError):
    """A workflow is declared in a way that cannot work."""

    def __init__(self, message: str | None = None, *, place: str | None = None, remedy: str | None = None) -> None:
        text = message or first_line(type(self).__doc__)
        super().__init__(f"{place}: {text}" if place else text, remedy=remedy)
        self.place = place


class WorkflowDefinitionError(DefinitionError):
    """A workflow's declarations do not make a sound graph. `findings` has them all."""

    def __init__(self, workflow: str, findings: Sequence[object]) -> None:
        lines = "\n".join(f"  {finding}" for finding in findings)
        super().__init__(f"workflow {workflow!r} cannot work:\n{lines}")
        self.findings = findings


class OptionError(DefinitionError):
    """An option has a value that cannot work."""


class StepOutcomeError(FlowError):
    """A step answered something that its declaration does not allow."""


class UndeclaredDestinationError(StepOutcomeError):
    """A step answered a status that is not among its declared destinations."""


class UnusedOutcomeError(StepOutcomeError):
    """A step made an outcome (pause, cancel, skip, repeat) and then answered something else."""


class RetryAfter(FlowError):
    """The function asks to be called again after a while of its choice."""

    def __init__(self, wait: timedelta, reason: str | None = None) -> None:
        """Raise it from a step, timeout, callback, hook or connector that knows when another attempt makes sense: a server has
        answered with a `Retry-After`, say. It is a failed attempt as any other, counted, but for its wait.

        In: how long to wait, at most a year (no jitter is added, no `cap` of the retry policy counts); what to store as the
        attempt's error. Raises OptionError for a wait that cannot be."""
        if not isinstance(wait, timedelta):
            raise OptionError(f"RetryAfter({wait!r}) is not a duration.", remedy="Give a timedelta, e.g. timedelta(seconds=30).")
        if not timedelta(0) <= wait <= LONGEST_WAIT:
            raise OptionError(f"RetryAfter({wait}) is not from zero to {LONGEST_WAIT}.", remedy="Give a wait in between.")
        super().__init__(reason or f"another attempt was asked for after {wait}.")
        self.wait = wait


class TimeLimitExceededError(FlowError):
    """A step ran longer than its time_limit."""


class PayloadError(FlowError):
    """Bytes could not be turned into an object, or an object into bytes."""


class NewerSchemaError(PayloadError):
    """A stored object has a schema version that this code does not know yet."""


class PayloadTooLargeError(PayloadError):
    """An object is larger than the payload limit."""


class ConfigurationError(FlowError):
    """The engine was put together in a way that cannot work."""


class MissingExtraError(ConfigurationError):
    """An optional dependency is needed and not installed."""


class EngineClosedError(FlowError):
    """The engine is stopped; it takes no more work."""


class EngineForkedError(FlowError):
    """A started engine was used in a forked child; make a new Engine in the child."""


class BlockingCallError(FlowError):
    """A blocking verb was called on a running event loop."""


class TimetableError(FlowError):
    """A cron expression or a time zone cannot be understood, or never comes."""


class ScheduleError(FlowError):
    """A schedule does not allow this. `workflow` and `schedule` name it."""

    def __init__(
        self, message: str | None = None, *, workflow: str | None = None, schedule: str | None = None, remedy: str | None = None
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.workflow = workflow
        self.schedule = schedule


class ScheduleNotFoundError(ScheduleError):
    """There is no such schedule."""


class ScheduleExistsError(ScheduleError):
    """There is a schedule of this name."""


class RunError(FlowError):
    """Something concerning one run. `run_id`, `workflow` and `foreign_id` are set where they are known."""

    def __init__(
        self,
        message: str | None = None,
        *,
        run_id: str | None = None,
        workflow: str | None = None,
        foreign_id: str | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.run_id = run_id
        self.workflow = workflow
        self.foreign_id = foreign_id


class RunNotFoundError(RunError):
    """There is no such run."""


class WorkflowInProgressError(RunError):
    """The foreign id has an unfinished run of this workflow. `run_id` is that run's."""


class RunEndedError(RunError):
    """The run ended without passing the status that was waited for."""


class WaitTimeoutError(RunError, TimeoutError):
    """The run did not get there in the given time."""


class IllegalMoveError(RunError):
    """The run's state does not allow this."""


class ConflictError(RunError):
    """The run kept changing while this was tried; nothing was stored. Try again."""


class StoreError(FlowError):
    """The record store could not answer."""


class StoreUnavailableError(StoreError):
    """The record store cannot be reached right now; the call may be repeated."""


class SchemaError(StoreError):
    """The database's tables do not fit this version of flowdsl."""


class OperationStoppedError(StoreError):
    """An operation on many runs could not go on because the store did not answer. `operation` is its id."""

    def __init__(self, message: str | None = None, *, operation: str, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.operation = operation


class OperationError(FlowError):
    """An operation on many runs is not in a state that allows this."""


class StreamerError(FlowError):
    """The event streamer could not do this."""


class UnreadableEventError(StreamerError):
    """A message is no event."""


class RoleSchedulerError(FlowError):
    """The role scheduler could not answer."""


class DeadLetterNotFoundError(FlowError):
    """There is no such dead letter."""

    def __init__(self, letter_id: str) -> None:
        super().__init__(f"there is no dead letter {letter_id!r}.", remedy="It may have been replayed or dropped.")
        self.letter_id = letter_id


class ReplayFailedError(FlowError):
    """A dead letter was tried again and failed again. The cause is what was raised."""

    def __init__(self, letter_id: str, error: Exception) -> None:
        super().__init__(f"dead letter {letter_id} failed again: {type(error).__name__}: {error}")
        self.letter_id = letter_id


class BadDataError(FlowError):
    """The store cannot hold this data."""


class UnknownStatusError(FlowError):
    """A stored status is not one of this code's; a newer version may know it."""


def no_sessions(store: str) -> ConfigurationError:
    """A store was asked for the user's own transaction and has none."""
    return ConfigurationError(
        f"{store} has no sessions: nothing of yours can be written in its transactions.",
        remedy="Use PostgreSQL or MariaDB; SQLite has run.in_transaction(fn).",
    )
