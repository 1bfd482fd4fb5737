"""The sweeper: makes the row that a run should have and has not, after a deployment that added a step, say."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from typing import Any

from msgspec.structs import replace

from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.awaiting import carry_out
from flowdsl.engine.control import control_move
from flowdsl.engine.core import Core
from flowdsl.errors import StoreError
from flowdsl.model.change import AddRow, CommitResult
from flowdsl.model.history import Cause
from flowdsl.model.pending import NewRow, RowKind
from flowdsl.model.record import RunRecord
from flowdsl.naming import timeout_topic

log = logging.getLogger("flowdsl.sweeper")
DEFAULT_INTERVAL = timedelta(seconds=60)
BATCH = 200


class Sweeper:
    """Walks the unattended runs of each workflow in bounded batches, in one role. What it finds is counted and should be none."""

    def __init__(self, core: Core, holds_role: Callable[[], bool], interval: timedelta = DEFAULT_INTERVAL) -> None:
        self._core = core
        self._holds_role = holds_role
        self._interval = interval.total_seconds()
        self._next = 0.0
        self._todo: list[tuple[str, RowKind, str]] = []  # (workflow, missing row, run id after which to go on)

    def step(self) -> bool:
        """One batch of one workflow. True: there may be more right away."""
        core = self._core
        now = core.clock.monotonic()
        if not self._todo:
            if now < self._next or not self._holds_role():
                return False
            self._next = now + self._interval
            self._todo = [(name, RowKind.STEP, "") for name in core.workflows]
            self._todo += [(flow.name, RowKind.TIMEOUT, "") for flow in core.workflows.values() if flow.definition().timeouts]
        if core.committer.waiting:
            return False  # what was found is not committed yet: more of it would only be in the way of everybody's changes
        workflow, kind, after = self._todo.pop(0)
        steps = [key for name, key in core.lanes if name == workflow]
        topics = {} if kind is RowKind.STEP else _topics(core.workflows[workflow])
        statuses = steps if kind is RowKind.STEP else list(topics)
        try:
            runs = core.store.unattended(core.namespace, workflow, statuses, after, BATCH, kind, topics)
        except StoreError as error:
            log.warning("sweep failed: %s", error)
            self._todo.clear()
            return False
        for record in runs:
            if kind is RowKind.STEP:
                self._mend(record)
            else:
                self._time(record)
        if len(runs) == BATCH:
            self._todo.insert(0, (workflow, kind, runs[-1].run_id))
        if core.committer.waiting:
            core.commit_soon()
        return bool(self._todo) or bool(runs)

    def next_due(self) -> float | None:
        return self._core.clock.monotonic() if self._todo else self._next

    def _mend(self, record: RunRecord) -> None:
        """Give the run its row. Compare-and-set on the version, like any change: if the run moved meanwhile, it has a row."""
        core = self._core
        row = core.step_row(record.workflow, record.run_id, record.status, priority=record.priority, handoff=False)
        if row is None:
            return
        reason = "its pending row was missing"
        change = control_move(core, record, record.state, reason, "sweeper", cause=Cause.SWEEP, row=row, honour_request=True)

        def done(result: CommitResult) -> None:
            if result.applied:
                core.metrics.swept.labels(record.workflow).inc()
                log.warning("run %s had no row in status %s: made again", record.run_id, record.status)
                core.committed(row, record)
                core.wake([row.topic])

        core.committer.submit(change, done, lambda error: log.warning("sweep failed: %s", error))

    def _time(self, record: RunRecord) -> None:
        """Give the run the timeouts of its status that it lacks, counted from now: when it came there nobody knew of them."""
        core, workflow = self._core, self._core.workflows[record.workflow]
        try:
            there = {row.topic for row in core.store.rows([record.run_id])}
            obj = workflow.codec.decode(record.payload).object
            rows: list[NewRow] = []
            for spec in workflow.definition().timeouts.get(record.status, ()):
                if timeout_topic(workflow.name, record.status, spec.label) not in there:
                    rows += carry_out(core.timers.rows(workflow, record, obj, spec), core.complete)
        except Exception as error:  # a user's at= may raise anything; the next sweep tries again
            log.warning("the timeouts of run %s could not be made: %s", record.run_id, type(error).__name__)
            return
        for row in rows:
            self._add(record, replace(row, row_id=f"{record.run_id}:{record.version}:{_mark(row.topic)}"))

    def _add(self, record: RunRecord, row: NewRow) -> None:
        core = self._core
        change = AddRow(
            change_id=core.ids(),
            namespace=record.namespace,
            workflow=record.workflow,
            run_id=record.run_id,
            version=record.version,
            row=row,
        )

        def done(result: CommitResult) -> None:
            if result.applied:
                core.metrics.swept.labels(record.workflow).inc()
                log.info("run %s lacked a timeout of status %s: made now", record.run_id, record.status)

        core.committer.submit(change, done, lambda error: log.warning("sweep failed: %s", error))


def _topics(workflow: Workflow[Any, Any]) -> dict[str, tuple[str, ...]]:
    """Of each status that has timeouts, their topics: a run there has a row in every one of them."""
    timeouts = workflow.definition().timeouts
    return {
        status: tuple(timeout_topic(workflow.name, status, spec.label) for spec in specs) for status, specs in timeouts.items()
    }


def _mark(topic: str) -> str:
    """The end of a row's id: the same whoever makes it. The place among the timeouts, which a transition uses, is another's where
    timeouts were added before it."""
    return sha256(topic.encode()).hexdigest()[:16]
