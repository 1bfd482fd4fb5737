"""The auto-resumer: gives runs that errors paused another try. One that a person paused stays paused."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

from flowdsl.engine.control import control_move
from flowdsl.engine.core import Core
from flowdsl.errors import StoreError
from flowdsl.model.change import CommitResult, PutItems
from flowdsl.model.history import Cause
from flowdsl.model.item import Item, ItemKey, ItemKind
from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState

log = logging.getLogger("flowdsl.auto_resume")
DEFAULT_INTERVAL = timedelta(seconds=5)
BATCH = 100


class AutoResumer:
    """Looks for due resumptions, in one role. Each was stored in the transaction that paused its run and names that version and
    who made it, so a run that somebody resumed, cancelled or paused, at that moment or later, is left alone."""

    def __init__(self, core: Core, holds_role: Callable[[], bool], interval: timedelta = DEFAULT_INTERVAL) -> None:
        self._core = core
        self._holds_role = holds_role
        self._interval = interval.total_seconds()
        self._next = 0.0

    def step(self) -> bool:
        """One batch. True: there may be more right away."""
        core = self._core
        now = core.clock.monotonic()
        if now < self._next or not self._holds_role():
            return False
        self._next = now + self._interval
        try:
            items = core.store.due_items(core.namespace, ItemKind.AUTO_RESUME, BATCH)
            records = core.store.lookup([item.key for item in items]) if items else {}
        except StoreError as error:
            log.warning("looking for runs to resume failed: %s", error)
            return False
        for item in items:
            self._resume(item, records.get(item.key))
        core.committer.flush()
        if len(items) == BATCH:
            self._next = now
        return bool(items)

    def next_due(self) -> float | None:
        return self._next

    def _resume(self, item: Item, record: RunRecord | None) -> None:
        core = self._core
        drop = (ItemKey(ItemKind.AUTO_RESUME, item.key),)
        if record is None or record.state is not RunState.PAUSED or pause_mark(record.version, record.actor) != item.body:
            change = PutItems(change_id=core.ids(), namespace=core.namespace, drop=drop)
            core.committer.submit(change, lambda _: None, _next_round)
            return
        paused = record
        row = core.step_row(paused.workflow, paused.run_id, paused.status, priority=paused.priority, handoff=False)
        move = control_move(
            core,
            paused,
            RunState.RUNNING,
            f"automatic resume {paused.auto_resumes + 1}",
            "auto-resume",
            cause=Cause.AUTO_RESUME,
            row=row,
            drop_items=drop,
            auto_resumes=paused.auto_resumes + 1,
        )

        def done(result: CommitResult) -> None:
            if result.applied:
                core.metrics.moved(paused.workflow, RunState.PAUSED, RunState.RUNNING)
                if row is not None:
                    core.wake([row.topic])

        core.committer.submit(move, done, _next_round)


def pause_mark(version: int, actor: str | None) -> bytes:
    """What a resumption knows its pause by: a request that waits for the step puts another actor into the same version."""
    return f"{version} {actor or ''}".encode()


def _next_round(error: StoreError) -> None:
    """The item is still due and is found again."""
    log.warning("an automatic resume failed: %s", error)
