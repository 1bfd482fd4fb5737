"""The purger: finished runs and idempotency keys go when their workflow keeps them no longer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.core import Core
from flowdsl.errors import StoreError
from flowdsl.model.change import PutItems
from flowdsl.model.item import ItemKey, ItemKind
from flowdsl.model.pending import RowKind
from flowdsl.model.run_state import RunState

log = logging.getLogger("flowdsl.purger")
DEFAULT_INTERVAL = timedelta(seconds=60)
BATCH = 500
KEYS = (ItemKind.TRIGGER_KEY, ItemKind.CALLBACK_KEY)


class Purger:
    """Removes old finished runs in bounded batches, in one role. What a workflow says nothing of is kept."""

    def __init__(self, core: Core, holds_role: Callable[[], bool], interval: timedelta = DEFAULT_INTERVAL) -> None:
        self._core = core
        self._holds_role = holds_role
        self._interval = interval.total_seconds()
        self._next = 0.0
        self._todo: list[tuple[str, tuple[RunState, ...], timedelta]] = []

    def step(self) -> bool:
        """One batch of one workflow. True: there may be more right away."""
        core, now = self._core, self._core.clock.monotonic()
        if not self._todo:
            if now < self._next or not self._holds_role():
                return False
            self._next = now + self._interval
            self._todo = [rule for workflow in core.workflows.values() for rule in rules(workflow)]
            if any(workflow.retention.keys for workflow in core.workflows.values()) and self._forget_keys():
                self._next = now  # there may be more
            if not self._todo:
                return False
        workflow, states, age = self._todo.pop(0)
        try:
            gone = core.store.purge(core.namespace, workflow, states, age, BATCH, self._awaited(workflow))
        except StoreError as error:
            log.warning("purging failed: %s", error)
            self._todo.clear()
            return False
        if gone:
            core.metrics.purged.labels(workflow).inc(gone)
        if gone == BATCH:
            self._todo.insert(0, (workflow, states, age))
        return bool(self._todo)

    def _forget_keys(self) -> bool:
        """A batch of each kind of the idempotency keys whose time is over. True: there may be more."""
        core, full = self._core, False
        for kind in KEYS:
            try:
                keys = tuple(ItemKey(kind, item.key) for item in core.store.due_items(core.namespace, kind, BATCH))
                if keys:
                    core.store.commit([PutItems(change_id=core.ids(), namespace=core.namespace, drop=keys, drop_due_only=True)])
            except StoreError as error:
                log.warning("removing old idempotency keys failed: %s", error)
                return False
            full = full or len(keys) == BATCH
        return full

    def _awaited(self, workflow: str) -> list[str]:
        """What is promised to be done at least once: a run stays until its hooks were told, its events published and its kept
        callbacks seen to. Rows that no code of this engine asks for any more keep nothing."""
        kinds = {RowKind.HOOK, RowKind.CALLBACK}
        if self._core.publisher is not None:
            kinds.add(RowKind.EVENT)
        return [lane.topic for lane in self._core.side_lanes if lane.workflow.name == workflow and lane.kind in kinds]

    def next_due(self) -> float | None:
        return self._core.clock.monotonic() if self._todo else self._next


def rules(workflow: Workflow[Any, Any]) -> list[tuple[str, tuple[RunState, ...], timedelta]]:
    """What a workflow says of how long its finished runs are kept."""
    kept = workflow.retention
    deleted = (RunState.DATA_DELETED,)
    found = [((RunState.COMPLETED,), kept.completed), ((RunState.CANCELLED,), kept.cancelled), (deleted, kept.deleted)]
    return [(workflow.name, states, age) for states, age in found if age is not None]
