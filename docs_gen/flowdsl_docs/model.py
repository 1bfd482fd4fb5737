"""The document model: what there is to say about a workflow. Renderers read it and know nothing of workflows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from flowdsl.graph.diagram import Diagram, NodeKind

Schema = Mapping[str, Any]
"""A JSON Schema."""


class FunctionKind(Enum):
    """What calls a function."""

    STEP = "step"
    CALLBACK = "callback"
    TIMEOUT = "timeout"
    SCHEDULE = "schedule"
    HOOK = "hook"
    CONNECTOR = "connector"
    MIGRATION = "migration"
    DELETION = "deletion"


class PayloadForm(Enum):
    """What a callback is given beside the run."""

    NOTHING = "nothing"
    BYTES = "bytes"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadDoc:
    form: PayloadForm
    name: str = ""
    """Of the type."""
    schema: Schema | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionDoc:
    """One function of the workflow. Statuses are named as they are stored."""

    kind: FunctionKind
    name: str
    """Its own name."""
    label: str
    """What the engine knows it by, where that may differ from its name."""
    where: str
    """Module and qualified name: a line number would change with every edit above it. Empty: there is no function."""
    doc: str
    is_async: bool
    anchor: str = ""
    """Where its heading is on the workflow's page; no two functions of a workflow share one."""
    source: str | None = None
    targets: tuple[str, ...] = ()
    when: str = ""
    """What brings it about, in words: a time, an event, a firing rule."""
    payload: PayloadDoc | None = None
    topic: str | None = None
    options: Mapping[str, str] | None = None
    """Words by option; None: the function has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusDoc:
    status: str
    label: str
    kinds: tuple[NodeKind, ...]
    doc: str
    """What stands under the member in the enum's source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeDoc:
    """What a run carries."""

    name: str
    doc: str
    schema: Schema


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowDoc:
    name: str
    slug: str
    """Fit for a file's name; no two documents of a site share one."""
    doc: str
    """What its statuses' type says about itself, or the module that it is in."""
    object: TypeDoc
    statuses: tuple[StatusDoc, ...]
    """Those that steps, callbacks and timeouts mention, in the graph's order."""
    retired: tuple[str, ...]
    """Those that are no more, and may be met in old runs."""
    functions: tuple[FunctionDoc, ...]
    diagram: Diagram
    retention: Mapping[str, str | None]
    """How long runs are kept, by how they ended. None: for ever."""

    def of(self, *kinds: FunctionKind) -> tuple[FunctionDoc, ...]:
        """The functions of these kinds, in order of declaration."""
        return tuple(function for function in self.functions if function.kind in kinds)

    def leaving(self, status: str) -> tuple[FunctionDoc, ...]:
        return tuple(function for function in self.functions if function.source == status)

    def label(self, status: str) -> str:
        """A status as people read it."""
        return next((each.label for each in self.statuses if each.status == status), status)
