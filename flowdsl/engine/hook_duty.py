"""The duty of hooks: tell a function what happened to a run, until it returns."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from flowdsl.dsl.run import Run
from flowdsl.dsl.spec import HookEvent, HookSpec
from flowdsl.engine.awaiting import Plan
from flowdsl.engine.core import Core
from flowdsl.engine.duty import Duty, Opened
from flowdsl.engine.idle_intent import refuse_intents
from flowdsl.engine.results import Results
from flowdsl.engine.work import Work
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
        workflow, record = work.lane.workflow, self._as_it_was(work)
        obj, leftover = workflow.codec.decode(record.payload)
        spec, failure = work.lane.spec, None
        task = f"{work.version}:{spec.event}:{spec.label}" if isinstance(spec, HookSpec) else ""
        if isinstance(spec, HookSpec) and spec.event is HookEvent.ERROR:
            failure = Failure("", "", 0) if work.payload is None else msgspec.json.decode(work.payload, type=Failure)
            task += f":{work.row_id.partition(':')[0]}"  # a version may have failed several times
        run = Run(record, obj, workflow.member(record.status), work.failures + 1, task, failure)
        return Opened(run, leftover)

    def _as_it_was(self, work: Work) -> RunRecord:
        record = work.record
        if record.version == work.version:
            return record
        for row in self._core.store.history(record.run_id):
            if row.version == work.version:
                return replace(
                    record,
                    status=row.to_status,
                    state=row.to_state,
                    version=row.version,
                    reason=row.reason,
                    actor=row.actor,
                    last_error=row.error,
                    updated_at=row.at,
                )
        return record

    def finish(self, work: Work, opened: Opened, answer: object) -> Plan[None]:
        refuse_intents(opened.run, f"hook {work.lane.spec.name}")
        change = DropRow(change_id=self._core.ids(), **work.claim)
        self._results.submit(work, change, lambda result: self._results.told(work, result))
        return
        yield  # a plan that waits for nothing

    def give_up(self, work: Work, failures: int, error: str) -> MoveRun | None:
        return None
