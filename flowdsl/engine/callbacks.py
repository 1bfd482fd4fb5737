"""Callbacks from outside: applied at once where they can be, kept where the run has still to arrive."""

from __future__ import annotations

from enum import Enum
from typing import Any, TypedDict, Unpack

import msgspec

from flowdsl.dsl.payload_bytes import payload_bytes
from flowdsl.dsl.run import Run
from flowdsl.dsl.spec import CallbackSpec, OnEarly
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.awaiting import carry_out, refuse_awaitable
from flowdsl.engine.committer import INTERRUPTS
from flowdsl.engine.control import TRIES, commit_one, default_actor
from flowdsl.engine.core import Core
from flowdsl.engine.kept_callback import KeptCallback, callback_task
from flowdsl.engine.moving import judge, moved_record, moving
from flowdsl.engine.starter import check_key, check_workflow
from flowdsl.engine.transacting import Transactions
from flowdsl.engine.unknown_option import refuse_unknown_options
from flowdsl.errors import BadDataError, ConfigurationError, ConflictError, DefinitionError, PayloadError, StoreError
from flowdsl.model.callback_result import CallbackOutcome, CallbackResult
from flowdsl.model.change import AddRow, CommitOutcome, CommitResult, MoveRun, Refusal
from flowdsl.model.history import Cause, Origin
from flowdsl.model.item import ItemKind, NewItem
from flowdsl.model.outcome import OutcomeKind
from flowdsl.model.pending import NOW, NewRow, RowKind
from flowdsl.model.record import Payload, RunRecord
from flowdsl.model.run_state import RunState
from flowdsl.naming import callback_topic


class CallbackOptions(TypedDict, total=False):
    """What a callback may be told beside foreign id, status and payload. All may be left out."""

    name: str | None
    """Where the status has several callbacks."""
    idempotency_key: str | None
    """A second callback of the workflow with this key does nothing and is answered DUPLICATE."""
    actor: str | None
    """Who calls, for the history; left out: the user of this process."""


class Callbacks:
    """The verb. The function runs in the caller's thread, or on the engine's loop when it is `async def`."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def call(
        self,
        workflow: Workflow[Any, Any],
        foreign_id: str,
        status: Enum,
        payload: object,
        *,
        run_id: str | None = None,
        **options: Unpack[CallbackOptions],
    ) -> CallbackResult:
        """In: `run_id`, where one run is meant and not the latest of the foreign id. Raises what the function raises (nothing is
        stored then), DefinitionError for a status without such a callback, StepOutcomeError, BadDataError, StoreError."""
        check_workflow(workflow)
        check_key(options.get("idempotency_key"))
        return self.apply(workflow, foreign_id, workflow.key(status), payload, run_id=run_id, options=options)

    def apply(
        self,
        workflow: Workflow[Any, Any],
        foreign_id: str,
        status: str,
        payload: object,
        *,
        run_id: str | None = None,
        task: str | None = None,
        options: CallbackOptions,
    ) -> CallbackResult:
        """The same with the status as it is stored. In: `task`, under which the function knows this piece of work; None: as the
        idempotency key says."""
        refuse_unknown_options(options, CallbackOptions.__annotations__, "a callback")
        spec = self._spec(workflow, status, options.get("name"))
        call = _Call(self._core, workflow, spec, foreign_id, run_id, payload, task, options)
        for _ in range(TRIES):
            result = call.once()
            if result is not None:
                return result
        raise ConflictError(
            f"the run of {workflow.name} {foreign_id!r} kept changing; the callback was not stored.",
            workflow=workflow.name,
            foreign_id=foreign_id,
            remedy="Try again.",
        )

    def _spec(self, workflow: Workflow[Any, Any], status: str, name: str | None) -> CallbackSpec:
        if self._core.workflows.get(workflow.name) is not workflow:
            raise ConfigurationError(
                f"workflow {workflow.name!r} is not one of this engine's.",
                remedy="Name it when the engine is made: Engine(workflow, ...).",
            )
        specs = workflow.definition().callbacks.get(status, ())
        known = ", ".join(repr(spec.label) for spec in specs)
        if not specs:
            others = ", ".join(repr(other) for other in workflow.definition().callbacks)
            raise DefinitionError(
                f"status {status!r} of {workflow.name!r} has no callback.",
                remedy=f"Declare one with @workflow.callback(from_=...){f', or call back in {others}' if others else ''}.",
            )
        if name is None and len(specs) > 1:
            raise DefinitionError(
                f"status {status!r} of {workflow.name!r} has several callbacks.",
                remedy=f"Say which (name=, --name): {known}.",
            )
        for spec in specs:
            if name is None or spec.label == name:
                return spec
        raise DefinitionError(
            f"status {status!r} of {workflow.name!r} has no callback named {name!r}.",
            remedy=f"Known: {known}.",
        )


class _Call:
    """One callback; `once` is tried until the run holds still."""

    def __init__(
        self,
        core: Core,
        workflow: Workflow[Any, Any],
        spec: CallbackSpec,
        foreign_id: str,
        run_id: str | None,
        payload: object,
        task: str | None,
        options: CallbackOptions,
    ) -> None:
        self._core, self._workflow, self._spec, self._foreign_id, self._run_id = core, workflow, spec, foreign_id, run_id
        self._data = payload_bytes(payload)
        self._key = options.get("idempotency_key")
        self._actor = options.get("actor") or default_actor()
        self._task = task or callback_task(self._key, core.ids())
        self._busy = False
        self._transactions = Transactions(core)
        self._lane = core.topics[callback_topic(workflow.name, spec.from_key, spec.label)]

    def once(self) -> CallbackResult | None:
        """None: the run changed meanwhile."""
        core, spec = self._core, self._spec
        record = self._find()
        if record is None:
            what = f"no run for {self._foreign_id!r}" if self._run_id is None else f"no run {self._run_id}"
            return CallbackResult(outcome=CallbackOutcome.UNKNOWN_RUN, detail=f"{self._workflow.name} has {what}")
        if self._key is not None:
            item = core.store.item(core.namespace, ItemKind.CALLBACK_KEY, self._item_key())
            if item is not None:
                return self._duplicate(item.body)
        try:
            more = () if spec.reader is None else (spec.reader.read(self._data),)
        except PayloadError as error:
            return self._result(CallbackOutcome.REFUSED_PAYLOAD, record, str(error))
        if record.state.finished:
            return self._result(CallbackOutcome.STOPPED, record, f"the run is {record.state.label.lower()}")
        if record.status != spec.from_key:
            return self._early(record)
        if record.state is RunState.PAUSED:
            if spec.on_early is OnEarly.REFUSE:
                return self._result(CallbackOutcome.STOPPED, record, "the run is paused")
            return self._keep(record, arrived=True)
        if self._busy or self._step_is_running(record):
            return self._keep(record, arrived=True)
        return self._apply(record, more)

    def _find(self) -> RunRecord | None:
        store, run_id = self._core.store, self._run_id
        if run_id is not None:
            return store.lookup([run_id]).get(run_id)
        return store.latest(self._core.namespace, self._workflow.name, self._foreign_id)

    def _step_is_running(self, record: RunRecord) -> bool:
        """Whether the call would come to nothing. The commit makes sure."""
        if (record.workflow, record.status) not in self._core.lanes:
            return False
        rows = self._core.store.rows([record.run_id])
        return any(row.row_id == record.run_id and row.owner is not None for row in rows)

    # -- now ------------------------------------------------------------------------------------------------------------------

    def _apply(self, record: RunRecord, more: tuple[Any, ...]) -> CallbackResult | None:
        spec = self._spec
        if not self._workflow.codec.upcasters.knows(record.payload):
            return self._keep(record, arrived=True)  # newer code applies it
        obj, leftover = self._workflow.codec.decode(record.payload)
        extras = self._transactions.extras(is_async=spec.is_async)
        run: Run[Any, Any] = Run(record, obj, spec.from_, 1, self._task, extras=extras)
        try:
            return self._answered(record, run, leftover, spec.fn(run, *more))
        finally:
            extras.close()

    def _answered(self, record: RunRecord, run: Run[Any, Any], leftover: Any, answer: Any) -> CallbackResult | None:
        core, spec, lane = self._core, self._spec, self._lane
        if spec.is_async:
            answer = core.complete(answer)
        else:
            refuse_awaitable(answer, f"callback {spec.name}")
        status, outcome = judge(lane, run, answer)
        if outcome is not None and outcome.kind is OutcomeKind.SKIP:
            return self._result(CallbackOutcome.SKIPPED, record)
        payload = None
        if run.object is not None or record.payload is not None:
            payload = self._workflow.codec.encode(run.object, leftover)
        origin = Origin(
            cause=Cause.REPEAT if outcome is not None and outcome.kind is OutcomeKind.REPEAT else Cause.CALLBACK,
            name=spec.name,
            actor=self._actor,
            reason=outcome.reason or None if outcome is not None else None,
        )
        plan = moving(
            core, lane, record, run.object, payload, status, outcome, origin, unless_claimed=True, items=self._items(record)
        )
        change = self._transactions.with_events(carry_out(plan, core.complete), run.extras)
        if run.extras.alone:
            result = carry_out(self._transactions.commit(change, run.extras, is_async=False), core.complete)
            return self._applied(record, change, payload, result)
        try:
            result = commit_one(core, change)
        except (StoreError, *INTERRUPTS):
            core.abandon(change.row, change.version + 1)
            raise
        return self._applied(record, change, payload, result)

    def _applied(
        self, record: RunRecord, change: MoveRun, payload: Payload | None, result: CommitResult
    ) -> CallbackResult | None:
        core = self._core
        if not result.applied:
            core.not_committed(change.row)
            self._busy = result.refusal is Refusal.CLAIMED
            return self._refused(record, result)
        after = moved_record(record, change, payload, result)
        core.metrics.moved(record.workflow, record.state, after.state)
        core.committed(change.row, after)
        core.publish_soon()
        core.waiter.notify(after)
        return self._result(CallbackOutcome.APPLIED, record)

    def _refused(self, record: RunRecord, result: CommitResult) -> CallbackResult | None:
        if result.refusal is Refusal.KEY_TAKEN:
            return self._duplicate(result.item or record.run_id.encode())
        if result.refusal is Refusal.BAD_DATA:
            raise BadDataError(f"the store refused the callback: {result.detail}")
        return None

    # -- later ----------------------------------------------------------------------------------------------------------------

    def _early(self, record: RunRecord) -> CallbackResult | None:
        if self._spec.on_early is OnEarly.KEEP and self._reachable(record.status):
            return self._keep(record, arrived=False)
        return self._result(CallbackOutcome.NOT_IN_STATUS, record, f"the run is in {record.status!r}")

    def _reachable(self, status: str) -> bool:
        return self._workflow.definition().graph.leads(status, self._spec.from_key)

    def _keep(self, record: RunRecord, *, arrived: bool) -> CallbackResult | None:
        core, spec = self._core, self._spec
        change_id = core.ids()
        expires = None if spec.keep_for is None else core.store_clock.now() + spec.keep_for
        kept = KeptCallback(data=self._data, actor=self._actor, task=self._task, expires_at=expires)
        row = NewRow(
            row_id=f"{record.run_id}:{change_id}",
            topic=self._lane.topic,
            kind=RowKind.CALLBACK,
            receiver=spec.from_key,
            delay=NOW if arrived else None,
            priority=record.priority,
            payload=msgspec.json.encode(kept),
        )
        change = AddRow(
            change_id=change_id,
            namespace=record.namespace,
            workflow=record.workflow,
            run_id=record.run_id,
            version=record.version,
            row=row,
            items=self._items(record),
        )
        result = commit_one(core, change)
        if not result.applied:
            return self._refused(record, result)
        if result.outcome is CommitOutcome.APPLIED and arrived:
            core.wake([row.topic])
        return self._result(CallbackOutcome.KEPT, record, f"the run is {record.state.label.lower()} in {record.status!r}")

    def _items(self, record: RunRecord) -> tuple[NewItem, ...]:
        if self._key is None:
            return ()
        kept = self._workflow.retention.keys
        return (NewItem(kind=ItemKind.CALLBACK_KEY, key=self._item_key(), body=record.run_id.encode(), delay=kept),)

    def _item_key(self) -> str:
        return f"{self._workflow.name}/{self._key}"

    def _duplicate(self, run_id: bytes) -> CallbackResult:
        """In: the id of the run that the first one went to."""
        return CallbackResult(outcome=CallbackOutcome.DUPLICATE, run_id=run_id.decode())

    def _result(self, outcome: CallbackOutcome, record: RunRecord, detail: str = "") -> CallbackResult:
        return CallbackResult(outcome=outcome, run_id=record.run_id, detail=detail)
