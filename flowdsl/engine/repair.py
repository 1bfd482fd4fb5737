"""Mending runs by hand: another try now, another status."""

from __future__ import annotations

from collections.abc import Callable

from flowdsl.engine.control import Control, control_move, default_actor
from flowdsl.engine.error_pause import paused_by_errors
from flowdsl.engine.placing import placed
from flowdsl.errors import ConfigurationError, FlowError, IllegalMoveError
from flowdsl.model.change import Change, CommitResult, Refusal
from flowdsl.model.history import Cause, Origin
from flowdsl.model.item import ItemKey, ItemKind
from flowdsl.model.pending import PendingRow
from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState, may_move


class Repair(Control):
    """The verbs of Control, and those that need a look at what waits for the run. Each returns the run as it is afterwards."""

    def retry(self, run_id: str, reason: str | None = None, actor: str | None = None) -> RunRecord:
        """Run the step of its status again, now, counting failures from zero. For a run that errors paused, one whose failed step
        waits for its next attempt, and one whose step answered skip. Raises IllegalMoveError for any other."""
        return self._unless_claimed(
            run_id, lambda record: self.retrying(record, reason, actor), "It is tried without your doing."
        )

    def retrying(self, record: RunRecord, reason: str | None, actor: str | None, *, handoff: bool = True) -> Change:
        """The change that `retry` makes. Raises IllegalMoveError when the run needs none."""
        core = self._core
        _refuse_finished(record)
        self._refuse_requested(record)
        drop: tuple[ItemKey, ...] = ()
        state = record.state
        if state is RunState.PAUSED:
            if not paused_by_errors(record):
                why = f" ({record.reason})" if record.reason else ""
                raise _illegal(
                    record, f"it was not errors that paused it but {record.actor or 'somebody'}{why}", "resume lets it go on."
                )
            drop, state = (ItemKey(ItemKind.AUTO_RESUME, record.run_id),), RunState.RUNNING
        else:
            self._refuse_unfailed(record)
        row = core.step_row(record.workflow, record.run_id, record.status, priority=record.priority, handoff=handoff)
        return control_move(
            core,
            record,
            state,
            reason,
            actor or default_actor(),
            name=self._name,
            row=row,
            drop_items=drop,
            unless_claimed=True,
            honour_request=True,
        )

    def move(self, run_id: str, status: str, reason: str, actor: str | None = None, *, force: bool = False) -> RunRecord:
        """Put an unfinished run into another status of its workflow's graph, from where it goes on; into a terminal one: it is
        completed. Raises IllegalMoveError, ConfigurationError when the workflow's code is not at hand."""
        remedy = "Try again when it is done, or discard its result with force=True."
        return self._unless_claimed(run_id, lambda record: self.moving(record, status, reason, actor, force=force), remedy)

    def moving(
        self, record: RunRecord, status: str, reason: str, actor: str | None, *, force: bool = False, handoff: bool = True
    ) -> Change:
        """The change that `move` makes. Raises IllegalMoveError, ConfigurationError."""
        workflow = self._core.workflows.get(record.workflow)
        if workflow is None:
            raise ConfigurationError(
                f"the code of workflow {record.workflow!r} is not at hand, so its statuses are not known.",
                remedy="Name the workflow when the engine is made (command line: --app MODULE:ENGINE).",
            )
        definition = workflow.definition()
        _refuse_finished(record)
        if status == record.status:
            raise _illegal(record, f"it is in {status!r} already", "retry runs the status's step again.")
        if status not in definition.statuses:
            raise _illegal(
                record,
                f"nothing leads to or from status {status!r}",
                f"Move it to one of {', '.join(sorted(definition.statuses))}.",
            )
        if not force:
            self._refuse_requested(record)
        state = RunState.COMPLETED if status in definition.terminal else RunState.RUNNING
        if not may_move(record.state, state):  # the table decides, whatever this verb thinks of
            raise _illegal(record, f"a run that is {record.state.label.lower()} cannot become {state.label.lower()}")
        try:
            return placed(
                self._core,
                record,
                status,
                state,
                Origin(cause=Cause.CONTROL, name=self._name, actor=actor or default_actor(), reason=reason),
                new_task=True,
                unless_claimed=not force,
                handoff=handoff,
                drop_items=(ItemKey(ItemKind.AUTO_RESUME, record.run_id),) if record.state is RunState.PAUSED else (),
            )
        except FlowError:
            raise
        except Exception as error:  # a user's at= may raise anything
            why = f"at= of a timeout of status {status!r} raised {type(error).__name__}"
            raise _illegal(record, why, "Mend it, then try again.") from error

    def refuse_claimed(self, record: RunRecord) -> None:
        """Raises IllegalMoveError while its step is being executed: for a look ahead, since the commit makes sure."""
        row = self._step_row(record)
        if row is not None and row.owner is not None:
            raise _claimed(record)

    def _unless_claimed(self, run_id: str, make: Callable[[RunRecord], Change], remedy: str) -> RunRecord:
        claimed = False

        def change(record: RunRecord) -> Change:
            if claimed:
                raise _claimed(record, remedy)
            return make(record)

        def learn(result: CommitResult) -> None:
            nonlocal claimed
            claimed = result.refusal is Refusal.CLAIMED

        return self._until_applied(run_id, change, learn)

    def _step_row(self, record: RunRecord) -> PendingRow | None:
        rows = self._core.store.rows([record.run_id])
        return next((row for row in rows if row.row_id == record.run_id), None)

    def _refuse_unfailed(self, record: RunRecord) -> None:
        row = self._step_row(record)
        if row is None:
            raise _illegal(record, "no step waits for it", "explain says why it stands still.")
        if row.owner is None and row.due_at is not None and not row.attempts and not row.lapses:
            raise _illegal(record, "its step has not failed", f"It is due at {row.due_at.isoformat()} without your doing.")

    def _refuse_requested(self, record: RunRecord) -> None:
        request = record.requested
        if request is not None:
            verb = "cancel" if request.state is RunState.CANCELLED else "pause"
            raise _illegal(record, f"a {verb} by {request.actor} waits for it", "Wait until its step is done.")


def _refuse_finished(record: RunRecord) -> None:
    if record.state.finished:
        raise _illegal(record, f"it is {record.state.label.lower()}", "restart starts a new run from any status.")


def _claimed(record: RunRecord, remedy: str | None = None) -> IllegalMoveError:
    return _illegal(record, "its step is being executed right now", remedy)


def _illegal(record: RunRecord, why: str, remedy: str | None = None) -> IllegalMoveError:
    return IllegalMoveError(
        f"run {record.run_id} stays as it is: {why}.",
        run_id=record.run_id,
        workflow=record.workflow,
        foreign_id=record.foreign_id,
        remedy=remedy,
    )
