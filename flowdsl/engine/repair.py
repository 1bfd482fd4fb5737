"""Mending runs by hand: another try now, another status."""

from __future__ import annotations

from collections.abc import Mapping

from flowdsl.engine.control import Control, Draft, control_move, default_actor
from flowdsl.engine.core import Core
from flowdsl.engine.error_pause import paused_by_errors
from flowdsl.engine.placing import placed
from flowdsl.errors import ConfigurationError, FlowError, IllegalMoveError
from flowdsl.model.change import Change
from flowdsl.model.history import Cause, Origin
from flowdsl.model.item import ItemKey, ItemKind
from flowdsl.model.pending import PendingRow
from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState, may_move

Rows = Mapping[str, PendingRow]
"""Step rows by run id."""


class Repair(Control):
    """The verbs of Control, and those that need a look at what waits for the run. Each returns the run as it is afterwards."""

    def retry(self, run_id: str, reason: str | None = None, actor: str | None = None) -> RunRecord:
        """Run the step of its status again, now, counting failures from zero. For a run that errors paused, one whose failed step
        waits for its next attempt, and one whose step answered skip. Raises IllegalMoveError for any other."""
        return self.until_applied(run_id, self.retrying(reason, actor))

    def move(self, run_id: str, status: str, reason: str, actor: str | None = None, *, force: bool = False) -> RunRecord:
        """Put an unfinished run into another status of its workflow's graph, from where it goes on; into a terminal one: it is
        completed. Raises IllegalMoveError, ConfigurationError when the workflow's code is not at hand."""
        return self.until_applied(run_id, self.moving(status, reason, actor, force=force))

    def retrying(self, reason: str | None, actor: str | None, *, handoff: bool = True, rows: Rows | None = None) -> Draft:
        """The change that `retry` makes. In: the step rows of the runs, where they are known."""
        core, who = self._core, actor or default_actor()

        def draft(record: RunRecord, claimed: bool) -> Change:
            if claimed:
                raise _claimed(record, "It is tried without your doing.")
            _refuse_finished(record)
            _refuse_requested(record)
            drop: tuple[ItemKey, ...] = ()
            state = record.state
            if state is RunState.PAUSED:
                _refuse_pause_of_others(record)
                drop, state = (ItemKey(ItemKind.AUTO_RESUME, record.run_id),), RunState.RUNNING
            else:
                _refuse_unfailed(record, step_row(core, record, rows))
            row = core.step_row(record.workflow, record.run_id, record.status, priority=record.priority, handoff=handoff)
            return control_move(
                core,
                record,
                state,
                reason,
                who,
                name=self._name,
                row=row,
                drop_items=drop,
                unless_claimed=True,
                honour_request=True,
            )

        return draft

    def moving(self, status: str, reason: str, actor: str | None, *, force: bool = False, handoff: bool = True) -> Draft:
        """The change that `move` makes."""
        core = self._core
        origin = Origin(cause=Cause.CONTROL, name=self._name, actor=actor or default_actor(), reason=reason)

        def draft(record: RunRecord, claimed: bool) -> Change:
            if claimed:
                raise _claimed(record, "Try again when it is done, or discard its result with force=True.")
            state = self._destination(record, status)
            if not force:
                _refuse_requested(record)
            try:
                return placed(
                    core,
                    record,
                    status,
                    state,
                    origin,
                    new_task=True,
                    unless_moving=not force,
                    handoff=handoff,
                    drop_items=(ItemKey(ItemKind.AUTO_RESUME, record.run_id),) if record.state is RunState.PAUSED else (),
                )
            except FlowError:
                raise
            except Exception as error:  # a user's at= may raise anything
                why = f"at= of a timeout of status {status!r} raised {type(error).__name__}"
                raise _illegal(record, why, "Mend it, then try again.") from error

        return draft

    def _destination(self, record: RunRecord, status: str) -> RunState:
        """The state that the run has when it has been moved there."""
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
            known = ", ".join(sorted(definition.statuses))
            raise _illegal(record, f"nothing leads to or from status {status!r}", f"Move it to one of {known}.")
        state = RunState.COMPLETED if status in definition.terminal else RunState.RUNNING
        if not may_move(record.state, state):  # the table decides, whatever this verb thinks of
            raise _illegal(record, f"a run that is {record.state.label.lower()} cannot become {state.label.lower()}")
        return state


def step_row(core: Core, record: RunRecord, rows: Rows | None) -> PendingRow | None:
    """The run's step row, among those that are known, or as the store has it."""
    if rows is not None:
        return rows.get(record.run_id)
    return next((row for row in core.store.rows([record.run_id]) if row.row_id == record.run_id), None)


def refuse_claimed(record: RunRecord, row: PendingRow | None) -> None:
    """Raises IllegalMoveError while its step is being executed: for a look ahead, since the commit makes sure."""
    if row is not None and row.owner is not None:
        raise _claimed(record)


def _refuse_finished(record: RunRecord) -> None:
    if record.state.finished:
        raise _illegal(record, f"it is {record.state.label.lower()}", "restart starts a new run from any status.")


def _refuse_requested(record: RunRecord) -> None:
    request = record.requested
    if request is not None:
        verb = "cancel" if request.state is RunState.CANCELLED else "pause"
        raise _illegal(record, f"a {verb} by {request.actor} waits for it", "Wait until what is being executed is done.")


def _refuse_pause_of_others(record: RunRecord) -> None:
    if not paused_by_errors(record):
        why = f" ({record.reason})" if record.reason else ""
        raise _illegal(record, f"it was not errors that paused it but {record.actor or 'somebody'}{why}", "resume lets it go on.")


def _refuse_unfailed(record: RunRecord, row: PendingRow | None) -> None:
    if row is None:
        raise _illegal(record, "no step waits for it", "explain says why it stands still.")
    if row.owner is None and row.due_at is not None and not row.attempts and not row.lapses:
        raise _illegal(record, "its step has not failed", f"It is due at {row.due_at.isoformat()} without your doing.")


def _claimed(record: RunRecord, remedy: str | None = None) -> IllegalMoveError:
    return _illegal(record, "its step, a timeout or a kept callback is being executed right now", remedy)


def _illegal(record: RunRecord, why: str, remedy: str | None = None) -> IllegalMoveError:
    return IllegalMoveError(
        f"run {record.run_id} stays as it is: {why}.",
        run_id=record.run_id,
        workflow=record.workflow,
        foreign_id=record.foreign_id,
        remedy=remedy,
    )
