"""The rows of a status's timeouts, made by whoever brings a run there and stored with the transition."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from flowdsl.dsl.run import Run
from flowdsl.dsl.spec import TimeoutSpec
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.awaiting import Plan, settled
from flowdsl.errors import StepOutcomeError
from flowdsl.model.pending import NewRow, RowKind
from flowdsl.model.record import RunRecord
from flowdsl.naming import timeout_topic
from flowdsl.options import ZERO


class Timers:
    """In: the store's time. Computed times become durations from it, which the store counts from its own commit: a timeout may be
    late by that, never early."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now

    def rows(self, workflow: Workflow[Any, Any], record: RunRecord, obj: object, status: str) -> Plan[tuple[NewRow, ...]]:
        """In: the run as it is before it enters `status` (version 0: it is not there yet), and its object as it will be. Raises
        what an `at=` raises, and StepOutcomeError for an answer that is no time."""
        specs = workflow.definition().timeouts.get(status, ())
        if not specs:
            return ()
        version = record.version + 1
        made: list[NewRow] = []
        for number, spec in enumerate(specs):
            delay = spec.after if spec.at is None else (yield from self._delay(spec, workflow, record, obj, status))
            made.append(
                NewRow(
                    row_id=f"{record.run_id}:{version}:{number}",
                    topic=timeout_topic(workflow.name, status, spec.label),
                    kind=RowKind.TIMEOUT,
                    receiver=spec.label,
                    delay=delay,  # None: parked, so that everybody sees that it was asked
                    priority=record.priority,
                )
            )
        return tuple(made)

    def _delay(
        self, spec: TimeoutSpec, workflow: Workflow[Any, Any], record: RunRecord, obj: object, status: str
    ) -> Plan[timedelta | None]:
        now = self._now()
        arrived = replace(record, status=status, version=record.version + 1, visit=record.visit + 1)
        run: Run[Any, Any] = Run(arrived, obj, workflow.member(status))
        if spec.at is None:
            return spec.after
        due = yield from settled(spec.at(run, now))
        if due is None:
            return None
        if not isinstance(due, datetime) or due.tzinfo is None:
            raise StepOutcomeError(
                f"at= of timeout {spec.label} ({spec.place}) answered a {type(due).__name__} that is no aware datetime.",
                remedy="Answer a datetime with a time zone, or None for no timeout.",
            )
        return max(ZERO, due - now)
