"""Workflow to document model."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from typing import Any

from flowdsl.dsl.source import Sources
from flowdsl.dsl.workflow import Workflow
from flowdsl.graph.spelling import duration_text
from flowdsl_docs.functions import anchored, functions
from flowdsl_docs.model import StatusDoc, TypeDoc, WorkflowDoc
from flowdsl_docs.schema import schema_of, type_name

AnyWorkflow = Workflow[Any, Any]


def extract(workflow: AnyWorkflow, sources: Sources | None = None) -> WorkflowDoc:
    """Everything that is declared, sound or not. In: files that were read before, for many workflows of one module."""
    graph = workflow.graph
    diagram = graph.diagram()
    docs = member_docs(workflow.status_type, sources or Sources())
    members: Mapping[str, Enum] = workflow.status_type.__members__
    named = {workflow.key(member): member for member in members.values()}
    living = set(graph.living.nodes)
    old = [*(key for key in named if key not in living), *(spec.from_key for spec in workflow.migrations)]
    return WorkflowDoc(
        name=workflow.name,
        slug=slug(workflow.name),
        doc=_doc_of_class(workflow.status_type) or _doc_of_module(workflow.status_type.__module__),
        object=TypeDoc(
            name=type_name(workflow.object_type),
            doc=_doc_of_class(workflow.object_type),
            schema=schema_of(workflow.object_type),
        ),
        statuses=tuple(
            StatusDoc(status=node.status, label=node.label, kinds=node.kinds, doc=docs.get(named[node.status].name, ""))
            for node in diagram.nodes
            if node.status in living
        ),
        retired=tuple(dict.fromkeys(old)),
        functions=anchored(list(functions(workflow))),
        diagram=diagram,
        retention=_retention(workflow),
    )


def extract_all(workflows: Iterable[AnyWorkflow]) -> Sequence[WorkflowDoc]:
    """Documents in order of name, with slugs that differ."""
    taken: set[str] = {"index", "asyncapi"}
    found: list[WorkflowDoc] = []
    sources = Sources()
    for document in sorted((extract(workflow, sources) for workflow in workflows), key=lambda document: document.name):
        unique, number = document.slug, 2
        while unique in taken:
            unique, number = f"{document.slug}-{number}", number + 1
        taken.add(unique)
        found.append(replace(document, slug=unique))
    return found


def slug(name: str) -> str:
    """Lower case, letters and digits of ASCII, dashes."""
    return re.sub("[^a-z0-9]+", "-", name.lower()).strip("-") or "workflow"


def _retention(workflow: AnyWorkflow) -> Mapping[str, str | None]:
    kept = workflow.retention
    spans = {"completed": kept.completed, "cancelled": kept.cancelled, "with their data deleted": kept.deleted}
    return {ended: None if span is None else duration_text(span) for ended, span in spans.items()}


def _doc_of_class(kind: Any) -> str:
    """Its own docstring; not the one that a dataclass makes of its fields, nor an enum's or dict's inherited one."""
    own = vars(kind).get("__doc__") if isinstance(kind, type) and kind.__module__ != "builtins" else None
    if not isinstance(own, str) or own.startswith(f"{kind.__name__}("):
        return ""
    return inspect.cleandoc(own)


def _doc_of_module(name: str) -> str:
    return inspect.cleandoc(getattr(sys.modules.get(name), "__doc__", None) or "")


def member_docs(status_type: type[Enum], sources: Sources) -> Mapping[str, str]:
    """The texts that stand under the members in the source of an enum, by member name; empty where there is no source."""
    try:
        file = inspect.getsourcefile(status_type)
    except (TypeError, OSError):  # it was not read from a file
        return {}
    found: dict[str, str] = {}
    for node in sources.file(file).classes.get(status_type.__name__, ()) if file is not None else ():
        for before, after in zip(node.body, node.body[1:], strict=False):
            match before, after:
                case ast.Assign(targets=[ast.Name(id=name)]), ast.Expr(value=ast.Constant(value=str(text))):
                    if name in status_type.__members__:
                        found[name] = inspect.cleandoc(text)
                case _:
                    continue
    return found
