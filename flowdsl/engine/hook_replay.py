"""Telling a hook of the past, when somebody asks for it: a new one knows of nothing that was before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from flowdsl.dsl.spec import HookEvent, HookSpec
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.awaiting import refuse_awaitable
from flowdsl.engine.burying import MARK, VERSION, bury_hook
from flowdsl.engine.control import commit_one
from flowdsl.engine.core import Core
from flowdsl.engine.dead_letters import Replay
from flowdsl.engine.hook_view import as_it_was, failure_of, hook_view
from flowdsl.engine.hooks import EVENT_OF
from flowdsl.engine.idle_intent import refuse_intents
from flowdsl.engine.steps import describe
from flowdsl.errors import ConfigurationError, DefinitionError, RunNotFoundError
from flowdsl.model.change import PutItems
from flowdsl.model.dead_letter import DeadLetter
from flowdsl.model.failure import Failure
from flowdsl.model.history import HistoryRow
from flowdsl.model.item import ItemKey, NewItem
from flowdsl.model.query import MAX_PAGE, Cursor, Order, RunQuery
from flowdsl.model.record import RunRecord

ERASED = "it failed while the data of its run was being deleted"
"""What is kept of an error whose own text may hold what is gone."""


class HookReplay(NamedTuple):
    """What became of it."""

    told: int
    failed: int
    """Events that the hook failed to take; they are dead letters now."""


class PastEvents:
    """Calls the hook here and now, for each event in the history of each run, oldest runs first, under the key that it has or
    would have been told under. What fails is put among the dead letters, where it can be tried again."""

    def __init__(self, core: Core, workflow: Workflow[Any, Any], name: str, since: datetime | None) -> None:
        if core.workflows.get(workflow.name) is not workflow:
            raise ConfigurationError(
                f"workflow {workflow.name!r} is not one of this engine's.",
                remedy="Name it when the engine is made: Engine(workflow, ...).",
            )
        if since is not None and since.tzinfo is None:
            raise ConfigurationError(f"since={since} has no time zone.", remedy="Give an aware datetime.")
        self._core, self._workflow, self._since = core, workflow, since
        self._specs = _specs(workflow, name)

    def tell(self, seen: Callable[[HookReplay], object] | None = None) -> HookReplay:
        """In: who is told, after each run, what became of it so far. Raises StoreError; then it may be asked for once more."""
        told = failed = 0
        for record in self._runs():
            for row in self._core.store.history(record.run_id):
                if self._since is not None and row.at < self._since:
                    continue
                for spec in self._specs:
                    if not tells(spec.event, row):
                        continue
                    if self._told(spec, record, row):
                        told += 1
                    else:
                        failed += 1
            if seen is not None:
                seen(HookReplay(told, failed))
        return HookReplay(told, failed)

    def _runs(self) -> Iterator[RunRecord]:
        after: Cursor | None = None
        while True:
            page = self._core.store.runs(
                RunQuery(
                    namespace=self._core.namespace,
                    workflows=(self._workflow.name,),
                    order=Order.OLDEST_FIRST,
                    limit=MAX_PAGE,
                    after=after,
                )
            )
            yield from (run for run in page.runs if self._since is None or run.updated_at >= self._since)
            if page.next is None:
                return
            after = page.next

    def _told(self, spec: HookSpec, record: RunRecord, row: HistoryRow) -> bool:
        try:
            answer = call(self._workflow, spec, record, row, 1)
            if spec.is_async:
                self._core.complete(answer)
        except Exception as error:
            self._bury(spec, record, row, describe(error))
            return False
        return True

    def _bury(self, spec: HookSpec, record: RunRecord, row: HistoryRow, error: str) -> None:
        if self._erased(record):
            error = ERASED
        letter = self._put(spec, record, row, error)
        if error is not ERASED and self._erased(record):  # while the letter was written: its text goes too
            dug_up = tuple(ItemKey(item.kind, item.key) for item in letter)
            core = self._core
            commit_one(core, PutItems(change_id=core.ids(), namespace=core.namespace, drop=dug_up))
            self._put(spec, record, row, ERASED)

    def _put(self, spec: HookSpec, record: RunRecord, row: HistoryRow, error: str) -> tuple[NewItem, ...]:
        core = self._core
        items = bury_hook(core.ids(), spec, as_it_was(record, row), error, 1, core.store_clock.now())
        commit_one(core, PutItems(change_id=core.ids(), namespace=core.namespace, items=items))
        return items

    def _erased(self, record: RunRecord) -> bool:
        """Whether the data of the run went since it was read: the text of an error may hold some of it."""
        now = self._core.store.lookup([record.run_id]).get(record.run_id)
        return now is None or (now.state.data_goes and not record.state.data_goes)


class HookReplayer:
    """Tries a dead letter of a hook again."""

    def __init__(self, core: Callable[[], Core]) -> None:
        self._core = core

    def __call__(self, letter: DeadLetter) -> Replay:
        core = self._core()
        workflow = core.workflows.get(letter.workflow)
        specs = () if workflow is None else workflow.definition().hooks.get(HookEvent(letter.type), ())
        spec = next((spec for spec in specs if spec.label == letter.name), None)
        if workflow is None or spec is None:
            raise ConfigurationError(
                f"this engine has no hook {letter.name!r} of workflow {letter.workflow!r}.",
                remedy="Use an engine that has the hook's code.",
            )
        flow, found = workflow, spec

        def again() -> Any:
            record = core.store.lookup([letter.run_id]).get(letter.run_id)
            version = int(letter.headers[VERSION])
            row = next((row for row in core.store.history(letter.run_id) if row.version == version), None)
            if record is None or row is None:
                raise RunNotFoundError(f"run {letter.run_id} is gone.", run_id=letter.run_id, remedy="Drop the letter.")
            nothing = Failure("", "", 0) if found.event is HookEvent.ERROR else None
            failure = msgspec.json.decode(letter.body, type=Failure) if letter.body else nothing
            return call(flow, found, record, row, letter.attempts + 1, failure=failure, mark=letter.headers.get(MARK, ""))

        return Replay(again, spec.is_async)


def call(
    workflow: Workflow[Any, Any],
    spec: HookSpec,
    record: RunRecord,
    row: HistoryRow,
    attempt: int,
    *,
    failure: Failure | None = None,
    mark: str = "",
) -> Any:
    """Tell the hook; of an `async def` what is to be awaited. In: see `hook_view`. Raises what it raises."""
    if spec.event is HookEvent.PAUSE:
        failure = failure_of(row)
    run = hook_view(workflow, spec, as_it_was(record, row), attempt, failure=failure, mark=mark)
    what = f"hook {spec.name}"
    answer = spec.fn(run)
    if spec.is_async:
        return _watched(answer, lambda: refuse_intents(run, what))
    refuse_awaitable(answer, what)
    refuse_intents(run, what)
    return None


async def _watched(answer: Any, after: Callable[[], None]) -> None:
    await answer
    after()


def tells(event: HookEvent, row: HistoryRow) -> bool:
    """Whether a version of a run is something that hooks of the event are told of. A transition from a status into itself does
    not show in the history."""
    if event is HookEvent.TRANSITION:
        return row.from_status != row.to_status
    return EVENT_OF.get(row.to_state) is event and row.from_state is not row.to_state


def _specs(workflow: Workflow[Any, Any], name: str) -> Sequence[HookSpec]:
    hooks = [spec for specs in workflow.definition().hooks.values() for spec in specs]
    found = [spec for spec in hooks if spec.label == name]
    if not found:
        known = ", ".join(sorted({repr(spec.label) for spec in hooks})) or "none"
        raise DefinitionError(f"{workflow.name!r} has no hook {name!r}.", remedy=f"Known: {known}.")
    if any(spec.event is HookEvent.ERROR for spec in found):
        raise ConfigurationError(
            f"hook {name!r} is told of failed attempts, which leave no history.", remedy="It hears of those to come."
        )
    return found
