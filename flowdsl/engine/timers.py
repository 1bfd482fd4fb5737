"""The rows of a status's timeouts, made by whoever brings a run there and stored with the transition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from msgspec.structs import replace

from flowdsl.dsl.run import Run
from flowdsl.dsl.spec import TimeoutSpec
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.awaiting import Plan, settled
from flowdsl.engine.idle_intent import refuse_intents
from flowdsl.errors import StepOutcomeError
from flowdsl.model.pending import NewRow, PendingRow, RowKind
from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState
from flowdsl.naming import timeout_topic
from flowdsl.options import ZERO

NOTHING_KEPT: Mapping[str, PendingRow] = MappingProxyType({})


def arriving(record: RunRecord, status: str) -> RunRecord:
    """A run as it will be when it has entered a status. In: the run as it is before."""
    state = RunState.RUNNING if record.state is RunState.INITIATED else record.state
    return replace(record, status=status, state=state, version=record.version + 1, visit=record.visit + 1)


class Timers:
    """In: the store's time. Computed times become durations from it, which the store counts from its own commit: a timeout may be
    late by that, never early."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now

    def rows(
        self,
        workflow: Workflow[Any, Any],
        there: RunRecord,
        obj: object,
        only: TimeoutSpec | None = None,
        kept: Mapping[str, PendingRow] = NOTHING_KEPT,
    ) -> Plan[tuple[NewRow, ...]]:
        """In: the run as it is once it is in the status, its object, the one timeout that is wanted (None: all of them), and the
        rows, by name, of timeouts that run on: to the microsecond, and without asking an `at=` again. Raises what an `at=`
        raises, and StepOutcomeError for an answer that is no time."""
        made: list[NewRow] = []
        for number, spec in enumerate(workflow.definition().timeouts.get(there.status, ())):
            if only is not None and spec is not only:
                continue
            earlier = kept.get(spec.label)
            delay = earlier.remaining if earlier is not None else (yield from self._delay(spec, workflow, there, obj))
            made.append(
                NewRow(
                    row_id=f"{there.run_id}:{there.version}:{number}",
                    topic=timeout_topic(workflow.name, there.status, spec.label),
                    kind=RowKind.TIMEOUT,
                    receiver=spec.label,
                    delay=delay,
                    due_at=None if earlier is None else earlier.due_at,
                    priority=there.priority,
                )
            )
        return tuple(made)

    def _delay(self, spec: TimeoutSpec, workflow: Workflow[Any, Any], there: RunRecord, obj: object) -> Plan[timedelta | None]:
        """How long until it is due. None: it is parked, so that everybody sees that it was asked."""
        if spec.at is None:
            return spec.after
        now = self._now()
        run: Run[Any, Any] = Run(there, obj, workflow.member(there.status))
        due = yield from settled(spec.at(run, now))
        refuse_intents(run, f"at= of timeout {spec.label}")
        if due is None:
            return None
        if not isinstance(due, datetime) or due.tzinfo is None:
            raise StepOutcomeError(
                f"at= of timeout {spec.label} ({spec.place}) answered a {type(due).__name__} that is no aware datetime.",
                remedy="Answer a datetime with a time zone, or None for no timeout.",
            )
        return max(ZERO, due - now)
