"""The migrator: takes runs out of statuses that are no more, while it works beside older code that may bring others there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.core import Core
from flowdsl.engine.migration_pass import MigrationPass
from flowdsl.errors import StoreError
from flowdsl.naming import role

log = logging.getLogger("flowdsl.migrations")
DEFAULT_INTERVAL = timedelta(seconds=60)
LONGEST_INTERVAL = timedelta(minutes=10)
"""Between two walks when the ones before found nothing: most migrations are over soon, and a walk is not free."""

Key = tuple[str, str]
"""Workflow and the status that is no more."""


def migration_roles(workflows: Mapping[str, Workflow[Any, Any]], namespace: str) -> Mapping[Key, str]:
    """The role of each migration: only instances whose code declares it want it, so that older code never holds it."""
    return {
        (name, spec.from_key): role(namespace, name, spec.from_key, "migration", spec.to_key)
        for name, workflow in workflows.items()
        for spec in workflow.definition().migrations.values()
    }


class Migrator:
    """Walks each migration's runs, in the migration's own role, a batch at a time, again and again."""

    def __init__(self, core: Core, holds: Callable[[Key], bool], interval: timedelta = DEFAULT_INTERVAL) -> None:
        self._core = core
        self._holds = holds
        self._interval = interval.total_seconds()
        self._next = 0.0
        self._wait = self._interval
        self._found = False
        self._todo: list[MigrationPass] = []
        self._keys = list(migration_roles(core.workflows, core.namespace))

    def step(self) -> bool:
        """One batch of one migration. True: there may be more right away."""
        core, now = self._core, self._core.clock.monotonic()
        if not self._todo:
            if not self._keys or now < self._next:
                return False
            held = [key for key in self._keys if self._holds(key)]
            if not held:
                return False
            self._begin(now, held)
        if core.committer.waiting:
            return False  # what was found is not committed yet: more of it would only be in the way of everybody's changes
        walk = self._todo[0]
        try:
            found = walk.step()
        except StoreError as error:
            log.warning("looking for runs to migrate failed: %s", error)
            self._todo.clear()
            return False
        self._found = self._found or found
        if core.committer.waiting:
            core.commit_soon()
        if walk.finished:
            self._todo.pop(0)
        return found or bool(self._todo)

    def _begin(self, now: float, held: list[Key]) -> None:
        """Another round; the one after it comes the later, the longer nothing has been found."""
        self._wait = self._interval if self._found else min(self._wait, LONGEST_INTERVAL.total_seconds())
        self._next = now + self._wait
        self._wait *= 2
        self._found = False
        workflows = self._core.workflows
        self._todo = [
            MigrationPass(self._core, name, workflows[name].definition().migrations[status], "migrator") for name, status in held
        ]

    def next_due(self) -> float | None:
        if not self._keys:
            return None
        return self._core.clock.monotonic() if self._todo else self._next
