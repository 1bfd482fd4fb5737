"""Starting runs: one at a time or many in a few transactions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from flowdsl.dsl.codec import Leftover
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.answers import Answers, result_of
from flowdsl.engine.awaiting import carry_out, off_loop
from flowdsl.engine.committer import MAX_GROUP
from flowdsl.engine.control import default_actor
from flowdsl.engine.core import Core
from flowdsl.engine.trigger_options import TriggerOptions, check_options
from flowdsl.errors import BadDataError, ConfigurationError, DefinitionError, PayloadError, WorkflowInProgressError
from flowdsl.model.change import CommitResult, Refusal, StartRun
from flowdsl.model.history import Cause, Origin
from flowdsl.model.item import ItemKind, NewItem
from flowdsl.model.pending import NewRow
from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState


def check_workflow(workflow: object) -> None:
    """Raises ConfigurationError for what is no Workflow."""
    if not isinstance(workflow, Workflow):
        remedy = "Pass the Workflow itself, not its name."
        if isinstance(workflow, list | tuple | set):
            remedy = "Pass several one after the other: Engine.from_url(orders, returns, store=...)."
        raise ConfigurationError(f"{workflow!r} is no Workflow.", remedy=remedy)


def check_key(key: object) -> None:
    """Raises BadDataError for an idempotency key that is no text."""
    if key is not None and not isinstance(key, str):
        raise BadDataError(f"idempotency_key {key!r} is not a text.", remedy="Pass it as str.")


class Started:
    """What became of one trigger."""

    __slots__ = ("created", "run_id")

    def __init__(self, run_id: str, created: bool) -> None:
        self.run_id = run_id
        self.created = created


class Starter:
    """Builds StartRun changes and reads their results."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._actor: str | None = None

    def start(
        self,
        workflow: Workflow[Any, Any],
        foreign_id: str,
        obj: object,
        options: TriggerOptions[Any],
        leftover: Leftover | None = None,
    ) -> Started:
        """Start one run. In: `leftover`, what is stored beside the object. Raises WorkflowInProgressError, PayloadError,
        BadDataError, StoreError."""
        session = options.get("session")
        if session is not None:
            return self.joining(workflow, foreign_id, obj, options, leftover)(session)
        change = self.change(workflow, foreign_id, obj, options, handoff=True, leftover=leftover)
        return self._started(change, self.commit(change), options)

    def joining(
        self,
        workflow: Workflow[Any, Any],
        foreign_id: str,
        obj: object,
        options: Mapping[str, Any],
        leftover: Leftover | None = None,
    ) -> Callable[[Any], Started]:
        """Prepare a run that starts with the commit of the caller's own session. Returns what starts it, to be called with that
        session where it may be used. Both raise as `start` does."""
        core = self._core
        change = self.change(workflow, foreign_id, obj, options, handoff=False, leftover=leftover)
        prepared = core.committer.prepare(change)

        def join(session: Any) -> Started:
            results: list[CommitResult] = []
            results += core.store.join(session, [prepared], lambda: self._joined(change, results))
            return self._started(change, results[0], options)

        return join

    def _joined(self, change: StartRun, results: Sequence[CommitResult]) -> None:
        """The session has committed."""
        core = self._core
        for result in results:
            if result.applied:
                core.metrics.moved(change.workflow, RunState.UNKNOWN, RunState.INITIATED)
                core.committed(change.row, started_record(change, result))
        off_loop(core.publish_soon)

    def commit(self, change: StartRun) -> CommitResult:
        """Start one run and wait for the answer. Raises StoreError."""
        return result_of(self._commit([change])[0])

    def start_many(
        self,
        workflow: Workflow[Any, Any],
        entries: Iterable[tuple[str, object]],
        key: Callable[[str], str] | None,
        options: Mapping[str, Any],
    ) -> list[Started]:
        """Start many, without a session of the caller's; an entry whose foreign id has an unfinished run answers with that run.
        Everything is encoded before anything is stored. What an entry raises is raised when the others have been started."""
        if options.get("session") is not None:
            raise ConfigurationError(
                "trigger_many has transactions of its own, and no session=.",
                remedy="Write engine.trigger(..., session=session) for each.",
            )
        if options.get("idempotency_key") is not None:
            raise ConfigurationError(
                "trigger_many starts many runs, and one idempotency_key= is for one.",
                remedy="Give key=, which makes one of each foreign id: key=lambda foreign_id: ...",
            )
        changes = [
            self.change(
                workflow,
                foreign_id,
                obj,
                options if key is None else {**options, "idempotency_key": key(foreign_id)},
                handoff=False,
            )
            for foreign_id, obj in entries
        ]
        started: list[Started] = []
        refused: BadDataError | None = None
        for begin in range(0, len(changes), MAX_GROUP):
            group = changes[begin : begin + MAX_GROUP]
            for change, found in zip(group, self._commit(group), strict=True):
                result = result_of(found)
                try:
                    one = self._read(change, result, None if key is None else key(change.foreign_id))
                except BadDataError as error:
                    refused = refused or error
                    continue
                started.append(one if one is not None else Started(result.run_id or "", created=False))
        if refused is not None:
            raise refused
        return started

    def _commit(self, changes: Sequence[StartRun]) -> Sequence[CommitResult | Exception]:
        core = self._core
        answers = Answers(len(changes))
        for place, change in enumerate(changes):
            self._submit(change, answers, place)
        core.committer.flush(answers.complete)
        if core.committer.waiting:
            core.commit_soon()
        return answers.wait()

    def _submit(self, change: StartRun, answers: Answers, place: int) -> None:
        core = self._core

        def done(result: CommitResult) -> None:
            try:
                follow_up(result)
            finally:  # whatever comes of it, somebody waits
                answers.give(place, result)

        def follow_up(result: CommitResult) -> None:
            if not result.applied:
                core.not_committed(change.row)
                return
            core.metrics.moved(change.workflow, RunState.UNKNOWN, RunState.INITIATED)
            if change.row is not None:
                record = started_record(change, result)
                if change.row.owner is not None:
                    core.waiter.follow(record)
                core.committed(change.row, record)

        def failed(error: Exception) -> None:
            core.abandon(change.row, 1)
            answers.give(place, error)

        core.committer.submit(change, done, failed)

    def change(
        self,
        workflow: Workflow[Any, Any],
        foreign_id: str,
        obj: object,
        options: Mapping[str, Any],
        *,
        handoff: bool,
        leftover: Leftover | None = None,
    ) -> StartRun:
        core = self._core
        check_options(options)
        check_workflow(workflow)
        definition = workflow.definition()
        if core.workflows.get(workflow.name) is not workflow:
            raise ConfigurationError(
                f"workflow {workflow.name!r} is not one of this engine's.",
                remedy="Name it when the engine is made: Engine(workflow, ...).",
            )
        if not isinstance(foreign_id, str) or not foreign_id:
            raise BadDataError(
                f"foreign_id {foreign_id!r} is not a text of at least one character.",
                remedy="Pass the id of your own object as str.",
            )
        member = options.get("start_status")
        status = definition.start if member is None else workflow.key(member)
        if status in definition.terminal or status not in definition.statuses:
            raise DefinitionError(
                f"a run of {workflow.name} cannot start in {status!r}: nothing leaves it.",
                remedy=f"Start in one of {', '.join(sorted(definition.statuses - definition.terminal))}.",
            )
        if obj is None and not workflow.codec.allows_none:
            raise PayloadError(
                f"a run of {workflow.name} needs an object of type {workflow.object_type!r}, not None.",
                remedy="Pass it to trigger, or make the object type optional.",
            )
        run_id = core.ids()
        key = options.get("idempotency_key")
        check_key(key)
        items: tuple[NewItem, ...] = ()
        if key is not None:
            name, kept = f"{workflow.name}/{key}", workflow.retention.keys
            items = (NewItem(kind=ItemKind.TRIGGER_KEY, key=name, body=run_id.encode(), delay=kept),)
        priority = options.get("priority", 0)
        payload = None if obj is None else workflow.codec.encode(obj, leftover)
        now = core.store_clock.now() if definition.timeouts.get(status) else None
        timers = () if now is None else self._timers(workflow, run_id, foreign_id, obj, status, options, now)
        return StartRun(
            change_id=core.ids(),
            namespace=core.namespace,
            workflow=workflow.name,
            run_id=run_id,
            foreign_id=foreign_id,
            status=status,
            payload=payload,
            origin=Origin(cause=Cause.TRIGGER, actor=options.get("actor") or self._user()),
            row=core.step_row(workflow.name, run_id, status, priority=priority, handoff=handoff),
            side_rows=timers,
            items=items,
            metadata=dict(options.get("metadata") or {}),
            tags=tuple(options.get("tags", ())),
            parent_run_id=options.get("parent_run_id"),
            priority=priority,
        )

    def _timers(
        self,
        workflow: Workflow[Any, Any],
        run_id: str,
        foreign_id: str,
        obj: object,
        status: str,
        options: Mapping[str, Any],
        now: datetime,
    ) -> tuple[NewRow, ...]:
        """The timeouts of the first status."""
        core = self._core
        born = RunRecord(
            namespace=core.namespace,
            workflow=workflow.name,
            run_id=run_id,
            foreign_id=foreign_id,
            status=status,
            state=RunState.INITIATED,
            version=1,
            payload=None,
            created_at=now,
            updated_at=now,
            change_id="",
            metadata=dict(options.get("metadata") or {}),
            tags=tuple(options.get("tags", ())),
            priority=options.get("priority", 0),
        )
        return carry_out(core.timers.rows(workflow, born, obj), core.complete)

    def _user(self) -> str:
        if self._actor is None:
            self._actor = default_actor()
        return self._actor

    def _started(self, change: StartRun, result: CommitResult, options: Mapping[str, Any]) -> Started:
        started = self._read(change, result, options.get("idempotency_key"))
        if started is None:
            raise WorkflowInProgressError(
                f"{change.workflow} {change.foreign_id!r} has an unfinished run.",
                run_id=result.run_id,
                workflow=change.workflow,
                foreign_id=change.foreign_id,
                remedy="Wait for it to end, or cancel it.",
            )
        return started

    def _read(self, change: StartRun, result: CommitResult, key: str | None) -> Started | None:
        """What the result says; None: in progress."""
        if result.applied:
            return Started(change.run_id, created=True)
        if result.refusal is Refusal.KEY_TAKEN and key is not None and result.item is not None:
            return self._started_before(change, result.item.decode(), key)
        if result.refusal is Refusal.IN_PROGRESS:
            return None
        raise BadDataError(f"the store refused run {change.foreign_id!r} of {change.workflow}: {result.detail or result.refusal}")

    def _started_before(self, change: StartRun, run_id: str, key: str) -> Started:
        """The run that has the key. Raises BadDataError for one of another foreign id: what is asked for would never be done."""
        run = self._core.store.lookup([run_id]).get(run_id)
        if run is not None and run.foreign_id != change.foreign_id:
            raise BadDataError(
                f"idempotency_key {key!r} of {change.workflow} has started {run.foreign_id!r}, so {change.foreign_id!r} was not "
                "started.",
                remedy="A key is for one run: make it of what asks for that, a request's id for example.",
            )
        return Started(run_id, created=False)


def started_record(change: StartRun, result: CommitResult) -> RunRecord:
    """The run as an applied StartRun left it."""
    at = result.at
    if at is None:
        raise ValueError("an applied StartRun says when")
    return RunRecord(
        namespace=change.namespace,
        workflow=change.workflow,
        run_id=change.run_id,
        foreign_id=change.foreign_id,
        status=change.status,
        state=RunState.INITIATED,
        version=1,
        payload=change.payload,
        created_at=at,
        updated_at=at,
        change_id=change.change_id,
        metadata=change.metadata,
        tags=change.tags,
        parent_run_id=change.parent_run_id,
        priority=change.priority,
    )
