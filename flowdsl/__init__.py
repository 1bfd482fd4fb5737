"""Durable, event-driven workflows inside your own services."""

import logging

from flowdsl.dsl.incoming import Incoming
from flowdsl.dsl.run import Run
from flowdsl.dsl.spec import OnEarly
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.auto_resume import AutoResume
from flowdsl.engine.connector_engine import ConnectorEngine
from flowdsl.engine.engine import Engine
from flowdsl.engine.handle import AioRunHandle, RunHandle
from flowdsl.errors import (
    BadDataError,
    ConfigurationError,
    DeadLetterNotFoundError,
    DefinitionError,
    FlowError,
    IllegalMoveError,
    OperationError,
    OperationStoppedError,
    PayloadError,
    ReplayFailedError,
    RetryAfter,
    RunEndedError,
    RunNotFoundError,
    ScheduleError,
    ScheduleExistsError,
    ScheduleNotFoundError,
    StoreError,
    StreamerError,
    TimetableError,
    UnknownStatusError,
    WaitTimeoutError,
    WorkflowDefinitionError,
    WorkflowInProgressError,
)
from flowdsl.model.callback_result import CallbackOutcome, CallbackResult
from flowdsl.model.condition import WhereError
from flowdsl.model.failure import Failure
from flowdsl.model.outcome import Outcome
from flowdsl.model.query import QueryError
from flowdsl.model.run_state import RunState
from flowdsl.model.schedule import IfRunning, Misfire
from flowdsl.options import Retry, StepOptions
from flowdsl.timetable import Gap, OverlapHour

# Without a handler of the application's, Python would print the library's warnings to stderr unasked.
logging.getLogger("flowdsl").addHandler(logging.NullHandler())

__version__ = "0.1.0"

__all__ = [
    "AioRunHandle",
    "AutoResume",
    "BadDataError",
    "CallbackOutcome",
    "CallbackResult",
    "ConfigurationError",
    "ConnectorEngine",
    "DeadLetterNotFoundError",
    "DefinitionError",
    "Engine",
    "Failure",
    "FlowError",
    "Gap",
    "IfRunning",
    "IllegalMoveError",
    "Incoming",
    "Misfire",
    "OnEarly",
    "OperationError",
    "OperationStoppedError",
    "Outcome",
    "OverlapHour",
    "PayloadError",
    "QueryError",
    "ReplayFailedError",
    "Retry",
    "RetryAfter",
    "Run",
    "RunEndedError",
    "RunHandle",
    "RunNotFoundError",
    "RunState",
    "ScheduleError",
    "ScheduleExistsError",
    "ScheduleNotFoundError",
    "StepOptions",
    "StoreError",
    "StreamerError",
    "TimetableError",
    "UnknownStatusError",
    "WaitTimeoutError",
    "WhereError",
    "Workflow",
    "WorkflowDefinitionError",
    "WorkflowInProgressError",
]
