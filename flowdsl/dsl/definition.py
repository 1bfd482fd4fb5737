"""What a workflow was found to be, once all of it was checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flowdsl.dsl.migration import MigrationSpec
from flowdsl.dsl.spec import CallbackSpec, DeletionSpec, HookEvent, HookSpec, StepSpec, TimeoutSpec
from flowdsl.graph.build import FlowGraph


@dataclass(frozen=True, slots=True)
class Definition:
    """A workflow that was found to be sound."""

    name: str
    steps: Mapping[str, StepSpec]
    """By the stored text of the status they consume, in order of declaration."""
    start: str
    """Where a run begins unless told otherwise: the first starting status in order of declaration."""
    starts: tuple[str, ...]
    statuses: frozenset[str]
    terminal: frozenset[str]
    graph: FlowGraph
    timeouts: Mapping[str, tuple[TimeoutSpec, ...]]
    """By the stored text of the status that they leave."""
    callbacks: Mapping[str, tuple[CallbackSpec, ...]]
    """The same."""
    hooks: Mapping[HookEvent, tuple[HookSpec, ...]]
    deletion: DeletionSpec | None
    migrations: Mapping[str, MigrationSpec]
    """By the stored text of the status that is no more."""
