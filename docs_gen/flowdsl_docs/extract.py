"""Workflow to document model."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from typing import Any

from flowdsl.dsl.callables import unwrapped
from flowdsl.dsl.source import Sources
from flowdsl.dsl.spec import CallbackSpec, DeletionSpec, FunctionSpec, HookEvent, HookSpec, StepSpec, TimeoutSpec
from flowdsl.dsl.workflow import Workflow
from flowdsl.graph.spelling import duration_text
from flowdsl.naming import topic
from flowdsl_docs.model import FunctionDoc, FunctionKind, PayloadDoc, PayloadForm, StatusDoc, TypeDoc, WorkflowDoc
from flowdsl_docs.options import option_words
from flowdsl_docs.schema import schema_of, type_name

AnyWorkflow = Workflow[Any, Any]

SECTIONS = frozenset({"statuses", "options", "object", "retention", "on-the-wire", "deletion-of-data"}) | {
    f"{kind.value}s" for kind in FunctionKind
}
"""The anchors of a page's own headings."""
_TOLD_OF = {
    HookEvent.PAUSE: "a run is paused",
    HookEvent.CANCEL: "a run is cancelled",
    HookEvent.COMPLETE: "a run reaches an end",
    HookEvent.ERROR: "an attempt fails",
    HookEvent.TRANSITION: "a run enters a status",
}


def extract(workflow: AnyWorkflow, sources: Sources | None = None) -> WorkflowDoc:
    """Everything that is declared, sound or not. In: files that were read before, for many workflows of one module."""
    graph = workflow.graph
    diagram = graph.diagram()
    docs = member_docs(workflow.status_type, sources or Sources())
    members: Mapping[str, Enum] = workflow.status_type.__members__
    named = {workflow.key(member): member for member in members.values()}
    mentioned = set(graph.nodes)
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
        ),
        retired=tuple(key for key in named if key not in mentioned),
        functions=_anchored(list(_functions(workflow))),
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


def _functions(workflow: AnyWorkflow) -> Iterator[FunctionDoc]:
    """By what calls them, each kind in order of declaration."""
    registry = workflow.registry
    for step in registry.steps:
        yield replace(_mover(step, FunctionKind.STEP), topic=topic(workflow.name, step.from_key))
    for callback in registry.callbacks:
        yield _callback(callback)
    for timeout in registry.timeouts:
        yield _timeout(timeout)
    yield from _schedules(workflow)
    for hook in registry.hooks:
        yield _hook(hook)
    yield from _connectors(workflow)
    if registry.deletion is not None:
        yield _deletion(registry.deletion)


def _anchored(functions: Sequence[FunctionDoc]) -> tuple[FunctionDoc, ...]:
    """A function's name, where that is enough to tell it from the others and from the page's own headings."""
    names = Counter(function.name.lower() for function in functions)
    found: list[FunctionDoc] = []
    for number, function in enumerate(functions, 1):
        anchor = re.sub("[^a-z0-9_]+", "-", function.name.lower())
        if names[function.name.lower()] > 1 or anchor in SECTIONS or anchor.startswith("-"):
            anchor = f"{function.kind.value}-{number}-{anchor.strip('-')}"
        found.append(replace(function, anchor=anchor))
    return tuple(found)


def _function(spec: FunctionSpec, kind: FunctionKind) -> FunctionDoc:
    return FunctionDoc(
        kind=kind,
        name=spec.name.rpartition(".")[2],
        label=str(getattr(spec, "label", spec.name.rpartition(".")[2])),
        where=f"{spec.module}:{spec.name.replace('<locals>.', '')}",
        doc=inspect.getdoc(unwrapped(spec.fn)) or "",
        is_async=spec.is_async,
    )


def _mover(spec: StepSpec, kind: FunctionKind) -> FunctionDoc:
    return replace(_function(spec, kind), source=spec.from_key, targets=spec.to_keys, options=option_words(spec.options))


def _callback(spec: CallbackSpec) -> FunctionDoc:
    kept = "is refused" if spec.on_early.value == "refuse" else "is kept"
    if spec.keep_for is not None:
        kept += f" for {duration_text(spec.keep_for)}"
    return replace(
        _mover(spec, FunctionKind.CALLBACK),
        when=f"One that comes before the run is there {kept}.",
        payload=_payload(spec),
    )


def _payload(spec: CallbackSpec) -> PayloadDoc:
    if spec.reader is None:
        return PayloadDoc(form=PayloadForm.NOTHING)
    if spec.reader.kind is bytes:
        return PayloadDoc(form=PayloadForm.BYTES)
    return PayloadDoc(form=PayloadForm.JSON, name=type_name(spec.reader.kind), schema=schema_of(spec.reader.kind))


def _timeout(spec: TimeoutSpec) -> FunctionDoc:
    when = spec.detail
    if spec.at is not None:
        name = getattr(unwrapped(spec.at), "__name__", "<lambda>")
        when = "at the time that is computed for it" if name == "<lambda>" else f"at the time that `{name}` answers for it"
    return replace(_mover(spec, FunctionKind.TIMEOUT), when=when)


def _hook(spec: HookSpec) -> FunctionDoc:
    options = option_words(spec.options, pauses=False)
    return replace(_function(spec, FunctionKind.HOOK), when=_TOLD_OF[spec.event], options=options)


def _deletion(spec: DeletionSpec) -> FunctionDoc:
    return _function(spec, FunctionKind.DELETION)


def _schedules(workflow: AnyWorkflow) -> Iterator[FunctionDoc]:
    yield from ()


def _connectors(workflow: AnyWorkflow) -> Iterator[FunctionDoc]:
    yield from ()


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
