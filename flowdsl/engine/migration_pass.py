"""One walk over the runs that a migration concerns, in bounded batches."""

from __future__ import annotations

import logging
from collections.abc import Set as AbstractSet

from msgspec import Struct
from msgspec.structs import replace

from flowdsl.dsl.migration import MigrationSpec
from flowdsl.engine.core import Core
from flowdsl.engine.migrating import Timers, migrating, rewritten, timers_of, to_migrate
from flowdsl.engine.readdressing import Readdressing
from flowdsl.errors import NewerSchemaError, StoreError
from flowdsl.model.change import CommitResult, MoveRun, Refusal
from flowdsl.model.history import Cause
from flowdsl.model.pending import PendingRow
from flowdsl.model.query import Cursor
from flowdsl.model.record import RunRecord

log = logging.getLogger("flowdsl.migrations")
BATCH = 100


class MigrationReport(Struct, frozen=True, kw_only=True):
    """What became of the runs in a status that is no more."""

    workflow: str
    from_status: str
    to_status: str
    name: str
    migrated: int = 0
    """Runs that went to the new status; of a dry run: that would."""
    busy: int = 0
    """Runs that somebody had in hand or changed meanwhile: they go with the next walk."""
    newer: int = 0
    """Runs whose object only newer code can read: they are left to that."""
    failed: int = 0
    """Runs that the migration's function, or the new status's, could not do."""
    example: str | None = None
    """The id of the first run that failed."""
    error: str | None = None
    """How it failed."""
    callbacks: int = 0
    """Callbacks that were kept for the old status and are for the new one's of the same name now."""
    timeouts_kept: tuple[str, ...] = ()
    """Names of timeouts that the migrated runs had in the old status and have in the new: they are due when they were."""
    timeouts_begun: tuple[str, ...] = ()
    """Those that only the new status has, or that a run had not: their time begins with the migration."""
    timeouts_gone: tuple[str, ...] = ()
    """Those that only the old status had."""


class MigrationPass:
    """In: the migration; who migrates; `dry_run` tries the function on every object and stores nothing."""

    def __init__(self, core: Core, workflow: str, spec: MigrationSpec, actor: str, *, dry_run: bool = False) -> None:
        self._core = core
        self._spec = spec
        self._actor = actor
        self._dry_run = dry_run
        self._after: Cursor | None = None
        self._runs_done = False
        self._callbacks = Readdressing(core, workflow, spec, lambda: self._count("callbacks"))
        self.report = MigrationReport(workflow=workflow, from_status=spec.from_key, to_status=spec.to_key, name=spec.name)
        self.finished = False
        self._wanted = {spec.label for spec in core.workflows[workflow].definition().timeouts.get(spec.to_key, ())}

    def step(self) -> bool:
        """One batch, submitted; to be followed by a flush of the committer. True: it had runs. Raises StoreError."""
        core, report = self._core, self.report
        if self._runs_done:
            found = self._callbacks.step()
            self.finished = self._callbacks.finished
            return found
        page = core.store.runs(to_migrate(core, report.workflow, [report.from_status], BATCH, self._after))
        rows: dict[str, list[PendingRow]] = {record.run_id: [] for record in page.runs}
        for row in core.store.rows(list(rows)) if rows else ():  # after their runs: of a later version, they are refused with it
            rows[row.run_id].append(row)
        self._after, self._runs_done = page.next, page.next is None
        self.finished = self._runs_done and (self._dry_run or self._callbacks.finished)
        for record in page.runs:
            self._one(record, timers_of(rows[record.run_id]))
        return bool(page.runs)

    def _one(self, record: RunRecord, timers: Timers) -> None:
        core, spec = self._core, self._spec
        try:
            if self._dry_run:
                rewritten(core, spec, record)
                self._migrated(timers)
                return
            if any(timer.owner is not None for timer in timers.values()):
                self._count("busy")  # as with a step that is being executed: its function is not to be called twice
                return
            change = migrating(core, spec, record, self._actor, timers)
        except NewerSchemaError:
            self._count("newer")
            return
        except StoreError:
            raise
        except Exception as error:  # a user's function may raise anything: the others go on, and this one stays where it is
            self._failed(record, error)
            return
        core.committer.submit(change, lambda result: self._done(record, timers, change, result), self._unanswered)

    def _done(self, record: RunRecord, timers: Timers, change: MoveRun, result: CommitResult) -> None:
        core = self._core
        if not result.applied:
            core.not_committed(change.row)
            if result.refusal is Refusal.BAD_DATA:
                self._failed(record, ValueError(result.detail))
            else:
                self._count("busy")
            return
        if change.origin.cause is Cause.MIGRATION:
            self._migrated(timers)
        else:
            self._count("busy")  # a request that waited had its turn: the next walk finds what is left
        core.metrics.moved(record.workflow, record.state, result.state if result.state is not None else change.to_state)
        core.waiter.refresh(record.run_id)
        if change.row is not None:
            core.wake([change.row.topic])

    def _unanswered(self, error: StoreError) -> None:
        log.warning("migrating runs failed, they are found again: %s", error)
        self._count("busy")

    def _failed(self, record: RunRecord, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        log.warning("migration %s of run %s failed: %s", self._spec.name, record.run_id, type(error).__name__)
        if self.report.failed == 0:
            self.report = replace(self.report, example=record.run_id, error=text)
        self._count("failed")

    def _migrated(self, timers: Timers) -> None:
        report, had, wanted = self.report, timers.keys(), self._wanted
        self.report = replace(
            report,
            timeouts_kept=_names(report.timeouts_kept, had & wanted),
            timeouts_begun=_names(report.timeouts_begun, wanted - had),
            timeouts_gone=_names(report.timeouts_gone, had - wanted),
        )
        self._count("migrated")

    def _count(self, what: str) -> None:
        self.report = replace(self.report, **{what: getattr(self.report, what) + 1})


def _names(known: tuple[str, ...], more: AbstractSet[str]) -> tuple[str, ...]:
    return known if more <= {*known} else tuple(sorted({*known, *more}))
