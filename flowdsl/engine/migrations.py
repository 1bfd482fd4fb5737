"""Declared migrations, carried out or tried at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flowdsl.engine.audit import audit_item, audit_key
from flowdsl.engine.compatibility import DEFAULT_SAMPLE, Comparison
from flowdsl.engine.control import commit_one, default_actor
from flowdsl.engine.core import Core
from flowdsl.engine.loop_guard import refuse_on_loop
from flowdsl.engine.migration_pass import MigrationPass, MigrationReport
from flowdsl.model.bulk import OperationEntry
from flowdsl.model.change import PutItems
from flowdsl.model.misfit import Fit


class Migrations:
    """`engine.migrations`: workers carry them out by themselves; this does it now, tells what it would come to, and whether more
    of them are needed."""

    def __init__(self, core: Callable[[], Core]) -> None:
        self._core = core

    def apply(self, *, dry_run: bool = False, actor: str | None = None) -> Sequence[MigrationReport]:
        """A report for each migration of the engine's workflows. A migration that moved runs leaves an audit entry. With
        `dry_run` the functions are tried on every object concerned and nothing is stored. Raises StoreError."""
        refuse_on_loop("engine.migrations.apply", "asyncio.to_thread")
        core, who = self._core(), actor or default_actor()
        return [
            self._walk(core, MigrationPass(core, workflow.name, spec, who, dry_run=dry_run), who, dry_run)
            for workflow in core.workflows.values()
            for spec in workflow.definition().migrations.values()
        ]

    def fits(self, sample: int = DEFAULT_SAMPLE) -> Sequence[Fit]:
        """How this code fits the unfinished runs that are stored, for each workflow: statuses that are no more, objects that
        cannot be read, ... In: how many runs of each status to look at closely. Raises StoreError."""
        refuse_on_loop("engine.migrations.fits", "asyncio.to_thread")
        core = self._core()
        return [Comparison(core, workflow, sample).fit() for workflow in core.workflows.values()]

    def _walk(self, core: Core, walk: MigrationPass, actor: str, dry_run: bool) -> MigrationReport:
        began = core.store.now()
        while not walk.finished:
            walk.step()
            core.committer.flush()
        if not dry_run and (walk.report.migrated or walk.report.failed or walk.report.callbacks):
            operation = core.ids()
            report = walk.report
            entry = OperationEntry(
                key=audit_key(began, operation),
                operation=operation,
                verb="migrate",
                at=began,
                actor=actor,
                reason=f"status {report.from_status!r} is no more",
                where=f'workflow = "{report.workflow}" and status = "{report.from_status}"',
                details={"to": report.to_status},
                done=report.migrated,
                refused=report.failed,
                passed=report.busy + report.newer,
                finished_at=core.store.now(),
            )
            commit_one(core, PutItems(change_id=core.ids(), namespace=core.namespace, items=(audit_item(entry),)))
        return walk.report
