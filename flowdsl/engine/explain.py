"""Why is a run where it is? What the store knows about it, put into sentences."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from flowdsl.dsl.definition import Definition
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.auto_resumer import pause_mark
from flowdsl.engine.core import Core
from flowdsl.engine.error_pause import paused_by_errors
from flowdsl.engine.explain_rows import RowExplainer
from flowdsl.engine.sentence import count, moment, short_name, stopped
from flowdsl.errors import PayloadError, RunNotFoundError
from flowdsl.model.explanation import Because, Explanation, Reason
from flowdsl.model.history import Cause, HistoryRow, by_worker
from flowdsl.model.item import ItemKind
from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState

S = RunState


def explain(core: Core, run_id: str) -> Explanation:
    """With the workflow's code at hand it says more. Raises RunNotFoundError, StoreError."""
    record = core.store.lookup([run_id]).get(run_id)
    if record is None:
        raise RunNotFoundError(f"there is no run {run_id}.", run_id=run_id)
    now = core.store.now()
    return Explanation(
        run_id=run_id,
        workflow=record.workflow,
        foreign_id=record.foreign_id,
        status=record.status,
        state=record.state.name.lower(),
        since=record.updated_at,
        now=now,
        reasons=tuple(dict.fromkeys(_RunExplainer(core, record, now).reasons())),  # two rows may wait for the same reason
    )


class _RunExplainer:
    def __init__(self, core: Core, record: RunRecord, now: datetime) -> None:
        self._core = core
        self._record = record
        self._workflow: Workflow[Any, Any] | None = core.workflows.get(record.workflow)
        self._definition: Definition | None = None if self._workflow is None else self._workflow.definition()
        self._rows = RowExplainer(core, record, now, self._step_name())

    def reasons(self) -> Iterator[Reason]:
        record = self._record
        rows = self._core.store.rows([record.run_id])
        step_row = next((row for row in rows if row.row_id == record.run_id), None)
        if record.state.finished:
            yield self._finished()
        elif record.state is S.PAUSED:
            yield from self._paused()
        elif step_row is not None:
            yield from self._rows.step(step_row)
        else:
            yield self._no_step()
        yield from self._requested()
        if not record.state.stopped:
            yield from self._callbacks()
        for row in rows:
            if row.row_id != record.run_id:
                yield from self._rows.beside(row)
        if not record.state.finished:
            yield from self._unreadable()

    def _step_name(self) -> str:
        spec = None if self._definition is None else self._definition.steps.get(self._record.status)
        return f"The step of {self._record.status!r}" if spec is None else f"Step {short_name(spec.name)}"

    def _last(self) -> HistoryRow | None:
        """How the run came into its state."""
        history = self._core.store.history(self._record.run_id)
        return history[-1] if history else None

    # -- stopped --------------------------------------------------------------------------------------------------------------

    def _finished(self) -> Reason:
        record, last = self._record, self._last()
        when = moment(record.updated_at)
        match record.state:
            case S.COMPLETED:
                sentence = f"It was completed at {when}: {record.status!r} is where it ends."
                if last is not None and last.cause is Cause.CONTROL:
                    sentence = f"{last.actor} completed it at {when} by moving it to {record.status!r}: {stopped(last.reason)}"
            case S.CANCELLED:
                sentence = f"{self._who(last)} cancelled it at {when}: {stopped(record.reason)}"
            case S.DATA_DELETED:
                sentence = f"It is finished, and its data was erased at {when}."
            case _:
                who = last.actor if last is not None and last.actor else "Somebody"
                sentence = f"It is finished; {who} asked at {when} for its data to be erased."
        remedy = "flowdsl restart, or handle.restart(), starts a new run like it."
        if record.state in (S.REQUESTED_DATA_DELETED, S.DATA_DELETED):
            remedy = "flowdsl restart --object, or handle.restart(obj=...), starts a new run with another object."
        return Reason(because=Because.FINISHED, sentence=sentence, at=record.updated_at, remedy=remedy)

    def _who(self, last: HistoryRow | None) -> str:
        """Who stopped it: a function of its own, or a person."""
        own = last is not None and (last.cause is Cause.CALLBACK or by_worker(last.cause, last.actor))
        if last is not None and own and last.name and last.cause is not Cause.ERRORS:
            return f"Its own {last.cause.value} {short_name(last.name)}"
        return self._record.actor or "Somebody"

    def _paused(self) -> Iterator[Reason]:
        record, when = self._record, moment(self._record.updated_at)
        if not paused_by_errors(record):
            sentence = f"{self._who(self._last())} paused it at {when}: {stopped(record.reason)}"
            remedy = "flowdsl resume, or handle.resume(), lets it go on."
            yield Reason(because=Because.PAUSED, sentence=sentence, at=record.updated_at, remedy=remedy)
            return
        yield Reason(
            because=Because.PAUSED_BY_ERRORS,
            sentence=f"Errors paused it at {when}: {record.reason}; the last error was {stopped(record.last_error)}",
            at=record.updated_at,
            remedy="flowdsl retry, or handle.retry(), tries it again now.",
        )
        yield self._auto_resume()

    def _auto_resume(self) -> Reason:
        record, before = self._record, count(self._record.auto_resumes, "automatic resume")
        so_far = f" {before} in this status came to nothing." if record.auto_resumes else ""
        item = self._core.store.item(self._core.namespace, ItemKind.AUTO_RESUME, record.run_id)
        if item is None or item.due_at is None or item.body != pause_mark(record.version, record.actor):
            return Reason(because=Because.AUTO_RESUME, sentence=f"It is not going to be resumed by itself.{so_far}")
        sentence = f"It is going to be resumed by itself at {moment(item.due_at)}.{so_far}"
        return Reason(because=Because.AUTO_RESUME, sentence=sentence, at=item.due_at)

    def _requested(self) -> Iterator[Reason]:
        request = self._record.requested
        if request is not None:
            verb = "cancel" if request.state is S.CANCELLED else "pause"
            sentence = f"A {verb} by {request.actor} waits for the commit of what is being executed: {stopped(request.reason)}"
            yield Reason(because=Because.REQUESTED, sentence=sentence)

    # -- without a step row ---------------------------------------------------------------------------------------------------

    def _no_step(self) -> Reason:
        status, definition = self._record.status, self._definition
        if definition is None:
            sentence = f"No step waits for it; whether callbacks or timeouts lead on from {status!r} only its code tells."
            return Reason(
                because=Because.NO_CODE,
                sentence=sentence,
                remedy="Ask with the code at hand: --app MODULE:ENGINE.",
            )
        if status not in definition.statuses:
            return Reason(
                because=Because.UNKNOWN_STATUS,
                sentence=f"This code of {definition.name!r} does not know status {status!r}; other code may.",
                remedy="Deploy that code, declare a migration, or move the run.",
            )
        if status in definition.steps:
            sentence = f"{self._step_name()} consumes its status and its row is missing: the sweeper makes it within a minute."
            return Reason(because=Because.ROW_MISSING, sentence=sentence)
        if definition.callbacks.get(status) or definition.timeouts.get(status):
            sentence = f"It has been in {status!r} since {moment(self._record.updated_at)}; no step consumes that status."
            return Reason(because=Because.WAITING, sentence=sentence, at=self._record.updated_at)
        ends = " It is where runs end in this code, and was not when the run came there." if status in definition.terminal else ""
        return Reason(
            because=Because.NOTHING_LEADS_ON,
            sentence=f"Nothing of this code leads on from {status!r}.{ends}",
            remedy="Declare a migration, or move the run: flowdsl move.",
        )

    def _callbacks(self) -> Iterator[Reason]:
        since = self._record.updated_at
        for spec in () if self._definition is None else self._definition.callbacks.get(self._record.status, ()):
            sentence = f"Callback {spec.label!r} would move it on; it waits for that since {moment(since)}."
            yield Reason(because=Because.CALLBACK, sentence=sentence, at=since)

    def _unreadable(self) -> Iterator[Reason]:
        if self._workflow is None:
            return
        try:
            self._workflow.codec.decode(self._record.payload)
        except PayloadError as error:
            text = str(error).removesuffix(error.remedy or "").strip()
            sentence = f"This code cannot read its object: {stopped(text)}"
            yield Reason(because=Because.UNREADABLE, sentence=sentence, remedy=error.remedy)
