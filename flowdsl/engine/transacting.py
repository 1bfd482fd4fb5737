"""Transitions that bring more than themselves: runs to start, the user's writes, events to publish."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from flowdsl.dsl.extras import Extras, StartIntent
from flowdsl.engine.awaiting import Plan
from flowdsl.engine.committer import INTERRUPTS
from flowdsl.engine.core import Core
from flowdsl.engine.starter import Starter, started_record
from flowdsl.engine.trigger_options import TriggerOptions
from flowdsl.errors import BadDataError, ConfigurationError, StoreError, WorkflowInProgressError
from flowdsl.model.change import Change, CommitResult, MoveRun, Refusal, StartRun
from flowdsl.model.item import ItemKind
from flowdsl.model.pending import NewRow, RowKind
from flowdsl.model.run_state import RunState
from flowdsl.model.user_event import UserEvent
from flowdsl.naming import event_topic


class Transactions:
    """Makes extras of a function, and commits what they came to."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._starter = Starter(core)

    def extras(self, *, is_async: bool) -> Extras:
        """For one attempt."""
        core = self._core
        refusal = None if core.publisher is not None else "this engine has no streamer, so there is nowhere to publish to."
        return Extras(_no_session_on_loops if is_async else core.store.open_work, refusal)

    def with_events(self, change: MoveRun, extras: Extras) -> MoveRun:
        """The change with a row for every event that is to be published."""
        if not extras.events:
            return change
        rows = tuple(
            NewRow(
                row_id=f"{change.change_id}:event:{number}",
                topic=event_topic(change.workflow),
                kind=RowKind.EVENT,
                payload=msgspec.json.encode(UserEvent(topic=event.topic, body=event.body, headers=event.headers)),
            )
            for number, event in enumerate(extras.events)
        )
        return replace(change, side_rows=(*change.side_rows, *rows))

    def commit(self, change: MoveRun, extras: Extras, *, is_async: bool) -> Plan[CommitResult]:
        """Commit the change with its extras in a transaction of their own. Raises WorkflowInProgressError, BadDataError, what the
        user's writes raise, StoreError; nothing is stored then."""
        core = self._core
        try:
            starts = [start for intent in _distinct(extras.starts) if (start := self._start(change, intent)) is not None]
            if is_async:
                results = yield asyncio.to_thread(self._commit, starts, change, extras)
            else:
                results = self._commit(starts, change, extras)
        except (StoreError, *INTERRUPTS):
            core.abandon(change.row, change.version + 1)
            raise
        except BaseException:
            core.not_committed(change.row)
            raise
        self._check(starts, change, results)
        answer: CommitResult = results[-1]
        for start, result in zip(starts, results, strict=False) if answer.applied else ():
            core.metrics.moved(start.workflow, RunState.UNKNOWN, RunState.INITIATED)
            if start.row is not None and result.at is not None:
                core.committed(start.row, started_record(start, result))
        core.publish_soon()
        return answer

    def _commit(self, starts: Sequence[StartRun], change: MoveRun, extras: Extras) -> Sequence[CommitResult]:
        prepare, work = self._core.committer.prepare, extras.work
        changes: list[Change] = [prepare(start) for start in starts]
        changes.append(prepare(change))
        if work is None:
            return self._core.store.commit_together(changes, extras.writes)
        extras.work = None  # committed or undone from here on
        results: Sequence[CommitResult] = work.commit(changes, extras.writes)
        return results

    def _start(self, change: MoveRun, intent: StartIntent) -> StartRun | None:
        """None: a run of this idempotency key was started before."""
        core = self._core
        given: Any = {"parent_run_id": change.run_id, "actor": change.origin.name, **intent.options}
        options: TriggerOptions[Any] = given
        start = self._starter.change(intent.workflow, intent.foreign_id, intent.obj, options, handoff=False)
        key = options.get("idempotency_key")
        taken = (
            key is not None and core.store.item(core.namespace, ItemKind.TRIGGER_KEY, f"{intent.workflow.name}/{key}") is not None
        )
        return None if taken else start

    def _check(self, starts: Sequence[StartRun], change: MoveRun, results: Sequence[CommitResult]) -> None:
        """Raises for a start that was refused: the move was not applied then, either."""
        for start, result in zip(starts, results, strict=False):
            if result.refusal is None:
                continue
            self._core.not_committed(change.row)
            if result.refusal is Refusal.IN_PROGRESS:
                raise WorkflowInProgressError(
                    f"{start.workflow} {start.foreign_id!r} has an unfinished run.",
                    run_id=result.run_id,
                    workflow=start.workflow,
                    foreign_id=start.foreign_id,
                    remedy="Pass an idempotency_key if it may be the one that is meant.",
                )
            raise BadDataError(
                f"the store refused run {start.foreign_id!r} of {start.workflow}: {result.detail or result.refusal}"
            )


def _distinct(intents: Sequence[StartIntent]) -> Iterator[StartIntent]:
    """Without those whose idempotency key an earlier one of the same function has: it is that run which they mean."""
    seen: set[tuple[str, str]] = set()
    for intent in intents:
        key = intent.options.get("idempotency_key")
        if key is not None:
            name = (intent.workflow.name, key)
            if name in seen:
                continue
            seen.add(name)
        yield intent


def _no_session_on_loops() -> Any:
    raise ConfigurationError(
        "run.session would block the event loop of an `async def`.",
        remedy="Use run.in_transaction(fn): it is called when the transition commits.",
    )
