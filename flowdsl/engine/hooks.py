"""The rows of hooks, added to every change that they want to know of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from flowdsl.clock import Clock
from flowdsl.dsl.spec import HookEvent
from flowdsl.dsl.workflow import Workflow
from flowdsl.model.change import Change, MoveRun, StartRun
from flowdsl.model.failure import Failure
from flowdsl.model.history import Cause
from flowdsl.model.item import ItemKind, NewItem
from flowdsl.model.limits import MAX_TEXT
from flowdsl.model.pending import NewRow, RowKind
from flowdsl.model.run_state import RunState
from flowdsl.naming import hook_topic
from flowdsl.ports.record_store import RecordStore

LOOK_AGAIN_AFTER = 30.0
"""Seconds for which the hooks of workflows whose code is not at hand are remembered."""
MOST_HOOKS = 500
_EVENTS = {event.value: event for event in HookEvent}
EVENT_OF = {
    RunState.PAUSED: HookEvent.PAUSE,
    RunState.CANCELLED: HookEvent.CANCEL,
    RunState.COMPLETED: HookEvent.COMPLETE,
}


class Hooks:
    """Which hooks there are, and the rows that tell them. A row is made by the very change that it tells of, so none is missed
    and none tells of what did not happen; where nobody is interested there is no row."""

    def __init__(self, workflows: Mapping[str, Workflow[Any, Any]], store: RecordStore, namespace: str, clock: Clock) -> None:
        self._store = store
        self._namespace = namespace
        self._clock = clock
        self._known: dict[str, dict[HookEvent, tuple[str, ...]]] = {}
        self._read_at: dict[str, float] = {}
        for workflow in workflows.values():
            hooks = workflow.definition().hooks
            self._known[workflow.name] = {
                event: tuple(hook_topic(workflow.name, event, spec.label) for spec in specs) for event, specs in hooks.items()
            }

    def registrations(self) -> tuple[NewItem, ...]:
        """Items that tell processes without this code which hooks it has."""
        return tuple(
            NewItem(kind=ItemKind.HOOK, key=_key(workflow, event, topic), body=topic.encode(), replace=True)
            for workflow, events in self._known.items()
            if workflow not in self._read_at
            for event, topics in events.items()
            for topic in topics
        )

    def accompany(self, change: Change) -> Change:
        """The change with the rows of everybody who wants to know of it."""
        if isinstance(change, MoveRun):
            rows = self._of_move(change)
        elif isinstance(change, StartRun):
            rows = self._rows(change.workflow, HookEvent.TRANSITION, change.change_id)
        else:
            return change
        return replace(change, side_rows=(*change.side_rows, *rows)) if rows else change

    def of_failure(self, workflow: str, change_id: str, failure: Failure) -> tuple[NewRow, ...]:
        """The rows that tell of a failed attempt."""
        return tuple(self._rows(workflow, HookEvent.ERROR, change_id, payload=msgspec.json.encode(failure)))

    def _of_move(self, change: MoveRun) -> list[NewRow]:
        if not self._events(change.workflow):
            return []
        rows: list[NewRow] = []
        if change.new_visit:
            rows += self._rows(change.workflow, HookEvent.TRANSITION, change.change_id)
        if change.origin.cause is Cause.ERRORS:
            failure = Failure(change.origin.name, change.origin.error or "", change.origin.attempt)
            rows += self.of_failure(change.workflow, change.change_id, failure)
        for state in _possible(change):
            if state is not change.from_state:
                rows += self._rows(change.workflow, EVENT_OF[state], change.change_id, only_in=state)
        return rows

    def _rows(
        self,
        workflow: str,
        event: HookEvent,
        change_id: str,
        *,
        payload: bytes | None = None,
        only_in: RunState | None = None,
    ) -> list[NewRow]:
        return [
            NewRow(
                row_id=f"{change_id}:{event}:{number}",
                topic=topic,
                kind=RowKind.HOOK,
                receiver=event,
                payload=payload,
                only_in=only_in,
            )
            for number, topic in enumerate(self._events(workflow).get(event, ()))
        ]

    def _events(self, workflow: str) -> Mapping[HookEvent, Sequence[str]]:
        known = self._known.get(workflow)
        if known is not None and workflow not in self._read_at:
            return known
        now = self._clock.monotonic()
        if known is None or now - self._read_at[workflow] > LOOK_AGAIN_AFTER:
            known = self._known[workflow] = self._registered(workflow)
            self._read_at[workflow] = now
        return known

    def _registered(self, workflow: str) -> dict[HookEvent, tuple[str, ...]]:
        """The hooks of a workflow whose code is not at hand, as those registered them who have it. Raises StoreError: a change
        that a hook would not hear of must not be stored."""
        found: dict[HookEvent, tuple[str, ...]] = {}
        space = f"{quote(workflow, safe='')}/"
        for item in self._store.items(self._namespace, ItemKind.HOOK, space, MOST_HOOKS):
            if not item.key.startswith(space):
                break
            event = _EVENTS.get(item.key.removeprefix(space).partition("/")[0])
            if event is not None:  # else newer code's
                found[event] = (*found.get(event, ()), item.body.decode())
        return found


def _key(workflow: str, event: HookEvent, topic: str) -> str:
    return f"{quote(workflow, safe='')}/{event}/{topic.rpartition('/')[2]}"[:MAX_TEXT]


def _possible(change: MoveRun) -> Iterable[RunState]:
    """The states of interest in which the change may leave the run: a waiting request may have the last word."""
    if change.to_state in EVENT_OF:
        yield change.to_state
    if change.honour_request and change.to_state in (RunState.RUNNING, RunState.PAUSED):
        for state in (RunState.PAUSED, RunState.CANCELLED):
            if state is not change.to_state:
                yield state
