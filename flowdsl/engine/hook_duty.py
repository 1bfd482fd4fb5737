"""The duty of hooks: tell a function what happened to a run, until it returns."""

from __future__ import annotations

import logging
from datetime import timedelta

import msgspec

from flowdsl.dsl.spec import HookEvent, HookSpec
from flowdsl.engine.awaiting import Plan
from flowdsl.engine.burying import bury_hook
from flowdsl.engine.core import Core
from flowdsl.engine.duty import Duty, Opened
from flowdsl.engine.hook_view import as_it_was, failure_of, hook_view
from flowdsl.engine.idle_intent import refuse_intents
from flowdsl.engine.results import Results, fields
from flowdsl.engine.work import Work
from flowdsl.errors import ConfigurationError, StoreError, UnknownStatusError
from flowdsl.model.change import DropRow, MoveRun
from flowdsl.model.failure import Failure
from flowdsl.model.history import HistoryRow
from flowdsl.model.record import RunRecord

log = logging.getLogger("flowdsl.hooks")
WHILE_DEPLOYING = timedelta(hours=1)
"""For so long from an event on, code that does not know its status leaves it to code that does."""


class HookDuty(Duty):
    """Every row is a run's event that one hook has not been told of yet. A hook that fails is told again, however often, and
    never pauses its run. What happened in a status that the code has no more is given up after `pause_after_err_count` attempts
    and an hour, time for a deployment to end: a dead letter, which people find and which code that knows the status can still
    replay."""

    what = "hook"

    def __init__(self, core: Core, results: Results) -> None:
        self._core, self._results = core, results

    def admit(self, work: Work) -> bool:
        limit, spec = work.lane.options.pause_after_err_count, work.lane.spec
        if not limit or work.attempts < limit or not isinstance(spec, HookSpec):
            return True
        try:
            then = _then(work, self._row(work))
        except StoreError:
            return True  # the attempt will fail with that
        try:
            work.lane.workflow.member(then.status)
        except UnknownStatusError as error:
            if self._failed_so_before(work):
                self._bury(work, spec, then, str(error))
                return False
        return True

    def _failed_so_before(self, work: Work) -> bool:
        """The attempts before may have been other code's, which knows the status and goes on trying; and where old and new code
        work side by side, the old one may have come first each time."""
        try:
            rows = self._core.store.rows([work.record.run_id])
        except StoreError:
            return False
        mine = next((row for row in rows if row.row_id == work.row_id), None)
        if mine is None or self._core.store_clock.now() - mine.created_at < WHILE_DEPLOYING:
            return False
        return (mine.last_error or "").startswith(f"{UnknownStatusError.__name__}:")

    def _bury(self, work: Work, spec: HookSpec, then: RunRecord, why: str) -> None:
        core, record = self._core, work.record
        mark, body = _mark(work, spec), b"" if record.state.data_goes or work.payload is None else work.payload
        items = bury_hook(core.ids(), spec, then, why, work.attempts, core.store_clock.now(), mark=mark, body=body)
        log.warning("hook %s of %s/%s is given up: %s", spec.name, record.workflow, record.foreign_id, why, extra=fields(work))
        self._results.bury(work, items)

    def open(self, work: Work) -> Opened:
        """The run with its object as it is now, and status, state, reason and error as they were."""
        spec, failure = work.lane.spec, None
        if not isinstance(spec, HookSpec):
            raise ConfigurationError(f"{work.lane.name} tells no hook.")
        row = self._row(work) if spec.event is HookEvent.PAUSE or work.record.version != work.version else None
        if spec.event is HookEvent.ERROR:
            failure = Failure("", "", 0) if work.payload is None else msgspec.json.decode(work.payload, type=Failure)
        elif spec.event is HookEvent.PAUSE and row is not None:
            failure = failure_of(row)
        then, mark = _then(work, row), _mark(work, spec)
        return Opened(hook_view(work.lane.workflow, spec, then, work.failures + 1, failure=failure, mark=mark), None)

    def _row(self, work: Work) -> HistoryRow | None:
        """What history has of the event."""
        rows = self._core.store.history(work.record.run_id)
        return next((row for row in rows if row.version == work.version), None)

    def finish(self, work: Work, opened: Opened, answer: object) -> Plan[None]:
        refuse_intents(opened.run, f"hook {work.lane.spec.name}")
        change = DropRow(change_id=self._core.ids(), **work.claim)
        self._results.submit(work, change, lambda result: self._results.told(work, result))
        return
        yield  # a plan that waits for nothing

    def give_up(self, work: Work, failures: int, error: str, *, final: bool) -> MoveRun | None:
        return None


def _then(work: Work, row: HistoryRow | None) -> RunRecord:
    """The run as it was at the event."""
    record = work.record
    return record if row is None or record.version == work.version else as_it_was(record, row)


def _mark(work: Work, spec: HookSpec) -> str:
    """What tells the event from others of its version, which may have failed several times."""
    return work.row_id.partition(":")[0] if spec.event is HookEvent.ERROR else ""
