"""The duties that move runs: steps, timeouts, and callbacks that were kept until their run arrived."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from msgspec.structs import replace

from flowdsl.dsl.run import Run
from flowdsl.dsl.spec import CallbackSpec, TimeoutSpec
from flowdsl.engine.auto_resume import AutoResume
from flowdsl.engine.auto_resumer import pause_mark
from flowdsl.engine.awaiting import Plan
from flowdsl.engine.burying import bury_callback
from flowdsl.engine.control import request_move
from flowdsl.engine.core import Core
from flowdsl.engine.duty import Duty, Opened
from flowdsl.engine.error_pause import error_pause_reason
from flowdsl.engine.kept_callback import KeptCallback
from flowdsl.engine.metrics import SkipReason
from flowdsl.engine.moving import judge, moving, step_spec
from flowdsl.engine.results import BUSY_RETRY, Results, first_of_those
from flowdsl.engine.sentence import short_name
from flowdsl.engine.transacting import Transactions
from flowdsl.engine.work import Work
from flowdsl.errors import PayloadError
from flowdsl.model.change import MoveRun, ParkRow
from flowdsl.model.history import Cause, Origin
from flowdsl.model.item import ItemKind, NewItem
from flowdsl.model.outcome import OutcomeKind
from flowdsl.model.pending import MOVERS, NewRow, RowKind
from flowdsl.model.run_state import RunState

log = logging.getLogger("flowdsl.steps")


class StepDuty(Duty):
    """Run the step of a status."""

    what = "step"
    cause = Cause.STEP
    beside = False
    """Whether the row stands beside the run's step row, and waits while that is in somebody's hands."""

    def __init__(self, core: Core, results: Results, auto_resume: AutoResume) -> None:
        self._core, self._results, self._auto_resume = core, results, auto_resume
        self._transactions = Transactions(core)

    def admit(self, work: Work) -> bool:
        record, lane = work.record, work.lane
        if record.version != work.version or record.state.stopped or record.status != lane.status:
            return self._stale(work)
        return not self._stopped_instead(work)

    def _stopped_instead(self, work: Work) -> bool:
        """A pause or cancel that waited for a function of the run comes before this one."""
        if work.record.requested is None:
            return False
        self._stop(work)
        return True

    def _stop(self, work: Work, *, looks: int = 1) -> None:
        """Apply what waits, unless another row of the run is held: maybe by the function that it waits for, whose commit applies
        it, maybe by somebody who has come to apply it. Of those one stays and looks again."""
        core, record, results = self._core, work.record, self._results
        if record.requested is None or work.owner != core.owner:
            core.close(work)  # freed together with the heartbeat, while it was waited
            return
        held = results.held_beside(work, MOVERS)
        if held == []:
            results.submit_move(work, request_move(core, record, record.requested, unless_claimed=self.beside), None)
        elif looks and core.accepting and first_of_those(work, held):
            results.look_again(work, partial(self._stop, work, looks=looks - 1))
        else:
            core.release(work, BUSY_RETRY)

    def _stale(self, work: Work) -> bool:
        stopped = work.record.state.stopped
        work.lane.metrics.skipped(SkipReason.STOPPED if stopped else SkipReason.LOWER_VERSION)
        self._results.drop(work)
        return False

    def open(self, work: Work) -> Opened:
        obj, leftover = work.lane.workflow.codec.decode(work.record.payload)
        return Opened(self._run(work, obj), leftover)

    def _run(self, work: Work, obj: Any) -> Run[Any, Any]:
        record, lane = work.record, work.lane
        shown = record if record.state is not RunState.INITIATED else replace(record, state=RunState.RUNNING)
        extras = self._transactions.extras(is_async=lane.spec.is_async)
        return Run(shown, obj, step_spec(lane).from_, work.failures + 1, self._task(work), extras=extras)

    def _task(self, work: Work) -> str:
        """The part of its idempotency key that comes after the run's id; empty: the version that brought the work."""
        return ""

    def finish(self, work: Work, opened: Opened, answer: object) -> Plan[None]:
        lane, run, record = work.lane, opened.run, work.record
        key, outcome = judge(lane, run, answer)
        kind = outcome.kind if outcome is not None else None
        if kind is OutcomeKind.SKIP:
            lane.metrics.skipped(SkipReason.SKIPPED)
            self._skip(work)
            return
        payload = None
        if run.object is not None or record.payload is not None:
            payload = lane.workflow.codec.encode(run.object, opened.leftover)
        origin = Origin(
            cause=Cause.REPEAT if kind is OutcomeKind.REPEAT else self.cause,
            name=lane.spec.name,
            actor=self._actor(work),
            reason=outcome.reason or None if outcome is not None else None,
            attempt=work.failures + 1,
        )
        change = yield from moving(
            self._core,
            lane,
            record,
            run.object,
            payload,
            key,
            outcome,
            origin,
            settle=work.row_id if self._settled_by(kind) else None,
            unless_claimed=self.beside,
        )
        change = self._transactions.with_events(change, run.extras)
        if not run.extras.alone:
            self._results.submit_move(work, change, payload)
            return
        result = yield from self._transactions.commit(change, run.extras, is_async=lane.spec.is_async)
        self._results.moved(work, change, payload, result)

    def _skip(self, work: Work) -> None:
        """The row stays, so that everybody sees why nothing happens, and is never due."""
        self._results.give_up(work, ParkRow(change_id=self._core.ids(), **work.claim))

    def _settled_by(self, kind: OutcomeKind | None) -> bool:
        """Whether the move removes the row."""
        return False  # a step's row is replaced, by every move

    def _step_is_running(self, work: Work) -> bool:
        """Whether a step of the run is being executed, for rows beside it: they wait for it. The commit makes sure; this look
        only saves calls that would come to nothing."""
        record = work.record
        return (record.workflow, record.status) in self._core.lanes and bool(self._results.held_beside(work, (RowKind.STEP,)))

    def _actor(self, work: Work) -> str:
        return work.owner

    def give_up(self, work: Work, failures: int, error: str, *, final: bool) -> MoveRun | None:
        record, name = work.record, f"{self.what} {short_name(work.lane.spec.name)}"
        items: tuple[NewItem, ...] = ()
        wait = None if final else self._auto_resume.wait(record.auto_resumes)
        if wait is not None:
            body = pause_mark(record.version + 1, work.owner)
            items = (NewItem(kind=ItemKind.AUTO_RESUME, key=record.run_id, body=body, delay=wait, replace=True),)
        return MoveRun(
            change_id=self._core.ids(),
            namespace=record.namespace,
            workflow=record.workflow,
            run_id=record.run_id,
            version=record.version,
            from_status=record.status,
            from_state=record.state,
            to_status=record.status,
            to_state=RunState.PAUSED,
            origin=Origin(
                cause=Cause.ERRORS,
                name=work.lane.spec.name,
                actor=work.owner,
                reason=error_pause_reason(name, failures, final=final),
                attempt=failures,
                error=error,
            ),
            items=items,
            auto_resumes=record.auto_resumes,
            unless_claimed=self.beside,
        )


class TimeoutDuty(StepDuty):
    """Move a run that has stayed too long."""

    what = "timeout"
    cause = Cause.TIMEOUT
    beside = True

    def admit(self, work: Work) -> bool:
        record = work.record
        if record.visit != work.visit or record.status != work.lane.status or record.state.finished:
            return self._stale(work)
        if record.state is RunState.PAUSED:  # paused since the claim, which is void
            self._core.release(work)
            return False
        if self._stopped_instead(work):
            return False
        if self._step_is_running(work):
            self._core.release(work, BUSY_RETRY)
            return False
        return True

    def _skip(self, work: Work) -> None:
        core, spec = self._core, work.lane.spec
        label = spec.label if isinstance(spec, TimeoutSpec) else ""
        over = NewRow(
            row_id=core.ids(),
            topic=work.lane.topic,
            kind=RowKind.TIMEOUT,
            receiver=label,
            delay=None,
            priority=work.record.priority,
        )
        self._results.give_up(work, ParkRow(change_id=core.ids(), **work.claim), instead=over)

    def _settled_by(self, kind: OutcomeKind | None) -> bool:
        return kind is not OutcomeKind.PAUSE  # after a resume it is asked again, as a step is

    def _task(self, work: Work) -> str:
        spec = work.lane.spec
        label = spec.label if isinstance(spec, TimeoutSpec) else ""
        return f"{work.version}:timeout:{label}"


class CallbackDuty(StepDuty):
    """Apply a callback that came before its run was in the status."""

    what = "callback"
    cause = Cause.CALLBACK
    beside = True

    def admit(self, work: Work) -> bool:
        record = work.record
        if work.payload is None or record.state.data_goes:  # it goes with the run's data, and leaves no letter
            return self._stale(work)
        try:
            kept = KeptCallback.of(work.payload)
        except PayloadError:
            if not record.state.finished:
                return True  # the attempt will fail with that
            kept = KeptCallback(data=work.payload, actor="", task="")
        if record.state.finished:
            return self._bury(work, kept, f"the run was {record.state.label.lower()} before it entered the status")
        if kept.expires_at is not None and self._core.store_clock.now() >= kept.expires_at:
            return self._bury(work, kept, "it was kept no longer")
        if record.state is RunState.PAUSED or record.status != work.lane.status:
            # Void, if the run has gone on since the claim. In a status that a migration takes it out of, older code may apply it.
            self._core.release(work, BUSY_RETRY)
            return False
        if self._stopped_instead(work):
            return False
        if self._step_is_running(work):
            self._core.release(work, BUSY_RETRY)
            return False
        return True

    def _skip(self, work: Work) -> None:
        self._results.drop(work)  # what the function does not want is not offered again

    def _settled_by(self, kind: OutcomeKind | None) -> bool:
        return True

    def _bury(self, work: Work, kept: KeptCallback, why: str) -> bool:
        """Nobody will apply it: it goes to the dead letters, where people find it."""
        core, spec = self._core, work.lane.spec
        if not isinstance(spec, CallbackSpec):
            return self._stale(work)
        items = bury_callback(core.ids(), spec, work.record, work.row_id, kept, work.failures, why, core.store_clock.now())
        work.lane.metrics.skipped(SkipReason.STOPPED)
        self._results.bury(work, items)
        return False

    def open(self, work: Work) -> Opened:
        kept, spec = KeptCallback.of(work.payload), work.lane.spec
        opened = super().open(work)
        if isinstance(spec, CallbackSpec) and spec.reader is not None:
            opened.more = (spec.reader.read(kept.data),)
        return opened

    def _task(self, work: Work) -> str:
        return KeptCallback.of(work.payload).task

    def _actor(self, work: Work) -> str:
        return KeptCallback.of(work.payload).actor
