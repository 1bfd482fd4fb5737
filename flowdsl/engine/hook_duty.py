"""The duty of hooks: tell a function what happened to a run, until it returns."""

from __future__ import annotations

import msgspec

from flowdsl.dsl.spec import HookEvent, HookSpec
from flowdsl.engine.awaiting import Plan
from flowdsl.engine.core import Core
from flowdsl.engine.duty import Duty, Opened
from flowdsl.engine.hook_view import as_it_was, hook_view
from flowdsl.engine.idle_intent import refuse_intents
from flowdsl.engine.results import Results
from flowdsl.engine.work import Work
from flowdsl.errors import ConfigurationError
from flowdsl.model.change import DropRow, MoveRun
from flowdsl.model.failure import Failure
from flowdsl.model.record import RunRecord


class HookDuty(Duty):
    """Every row is a run's event that one hook has not been told of yet. A hook that fails is told again, however often, and
    never pauses its run."""

    what = "hook"

    def __init__(self, core: Core, results: Results) -> None:
        self._core, self._results = core, results

    def admit(self, work: Work) -> bool:
        return True

    def open(self, work: Work) -> Opened:
        """The run with its object as it is now, and status, state, reason and error as they were."""
        spec, failure, mark = work.lane.spec, None, ""
        if not isinstance(spec, HookSpec):
            raise ConfigurationError(f"{work.lane.name} tells no hook.")
        if spec.event is HookEvent.ERROR:
            failure = Failure("", "", 0) if work.payload is None else msgspec.json.decode(work.payload, type=Failure)
            mark = work.row_id.partition(":")[0]  # a version may have failed several times
        then = self._then(work)
        return Opened(hook_view(work.lane.workflow, spec, then, work.failures + 1, failure=failure, mark=mark), None)

    def _then(self, work: Work) -> RunRecord:
        record = work.record
        if record.version == work.version:
            return record
        rows = self._core.store.history(record.run_id)
        return next((as_it_was(record, row) for row in rows if row.version == work.version), record)

    def finish(self, work: Work, opened: Opened, answer: object) -> Plan[None]:
        refuse_intents(opened.run, f"hook {work.lane.spec.name}")
        change = DropRow(change_id=self._core.ids(), **work.claim)
        self._results.submit(work, change, lambda result: self._results.told(work, result))
        return
        yield  # a plan that waits for nothing

    def give_up(self, work: Work, failures: int, error: str) -> MoveRun | None:
        return None
