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
from flowdsl.errors import FlowError, RunEndedError, WaitTimeoutError, WorkflowInProgressError
from flowdsl.model.callback_result import CallbackOutcome, CallbackResult
from flowdsl.model.failure import Failure
from flowdsl.model.outcome import Outcome
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
    "CallbackOutcome",
    "CallbackResult",
    "ConnectorEngine",
    "Engine",
    "Failure",
    "FlowError",
    "Gap",
    "IfRunning",
    "Incoming",
    "Misfire",
    "OnEarly",
    "Outcome",
    "OverlapHour",
    "Retry",
    "Run",
    "RunEndedError",
    "RunHandle",
    "RunState",
    "StepOptions",
    "WaitTimeoutError",
    "Workflow",
    "WorkflowInProgressError",
]
