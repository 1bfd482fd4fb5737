"""What a page says about functions in whole sentences."""

from __future__ import annotations

from collections.abc import Sequence

from flowdsl_docs.blocks import Code, Inline, Line, Plain, Strong
from flowdsl_docs.model import FunctionDoc, FunctionKind, WorkflowDoc
from flowdsl_docs.prose import line_of

_COUNTED = [kind for kind in FunctionKind if kind is not FunctionKind.DELETION]


def counted(document: WorkflowDoc) -> str:
    """As in: 5 steps, 1 callback."""
    counts = [(len(document.of(kind)), kind.value) for kind in _COUNTED]
    return ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for count, name in counts if count) or "no functions"


def way(document: WorkflowDoc, function: FunctionDoc) -> Line:
    """What calls a function, from where to where it leads, and where its code is."""
    said = _said(document, function)
    if not function.where:
        return said
    return [*said, Plain(" Code: "), Code(function.where), Plain(", async." if function.is_async else ".")]


def _said(document: WorkflowDoc, function: FunctionDoc) -> Line:
    match function.kind:
        case FunctionKind.STEP:
            return [Plain("From "), *_leads(document, function), Plain(".")]
        case FunctionKind.TIMEOUT:
            return [*line_of(f"{_capital(function.when)}, from "), *_leads(document, function), Plain(".")]
        case FunctionKind.CALLBACK:
            early: Line = line_of(f" {function.when}") if function.when else []
            named: Line = [Plain("On "), Code("engine.callback"), Plain(" by the name "), Code(function.label), Plain(", from ")]
            return [*named, *_leads(document, function), Plain("."), *early]
        case FunctionKind.MIGRATION:
            goal = document.label(function.targets[0])
            return [Plain("Unfinished runs in "), Code(function.source or ""), Plain(" go to "), Strong(goal), Plain(".")]
        case FunctionKind.HOOK:
            return [Plain(f"Told, at least once, that {function.when}.")]
        case FunctionKind.DELETION:
            return [Plain("Scrubs the object of a run whose data is to be deleted.")]
        case FunctionKind.SCHEDULE | FunctionKind.CONNECTOR:
            return [*line_of(f"{function.when}."), *_begins(document, function)]


def _leads(document: WorkflowDoc, function: FunctionDoc) -> Sequence[Inline]:
    found: list[Inline] = [Strong(document.label(function.source or "")), Plain(" to ")]
    for number, target in enumerate(function.targets):
        found += [Plain(" or ")] if number else []
        found.append(Strong(document.label(target)))
    return found


def _begins(document: WorkflowDoc, function: FunctionDoc) -> Line:
    """Where the runs of a schedule begin, when that is said."""
    if not function.targets:
        return []
    return [Plain(" They begin in "), Strong(document.label(function.targets[0])), Plain(".")]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
