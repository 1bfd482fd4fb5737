"""What was declared about functions, as the document model has it."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from flowdsl.dsl.callables import unwrapped
from flowdsl.dsl.connector import ConnectorSpec
from flowdsl.dsl.migration import MigrationSpec
from flowdsl.dsl.schedule import ScheduleSpec
from flowdsl.dsl.spec import CallbackSpec, FunctionSpec, HookEvent, HookSpec, StepSpec, TimeoutSpec
from flowdsl.dsl.workflow import Workflow
from flowdsl.graph.spelling import duration_text
from flowdsl.model.schedule import IfRunning, Misfire, ScheduleRule
from flowdsl.naming import topic
from flowdsl_docs.model import FunctionDoc, FunctionKind, PayloadDoc, PayloadForm
from flowdsl_docs.options import connector_words, option_words, retry_words
from flowdsl_docs.schema import schema_of, type_name

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
_IF_RUNNING = {
    IfRunning.SKIP: "One that comes while that run is unfinished is passed over",
    IfRunning.WAIT: "One that comes while that run is unfinished waits until it has ended",
    IfRunning.ALLOW: "Each has a run of its own, with the time behind the foreign id",
}


def functions(workflow: Workflow[Any, Any]) -> Iterator[FunctionDoc]:
    """By what calls them, each kind in order of declaration."""
    registry = workflow.registry
    for step in registry.steps:
        yield replace(_mover(step, FunctionKind.STEP), topic=topic(workflow.name, step.from_key))
    for callback in registry.callbacks:
        yield _callback(callback)
    for timeout in registry.timeouts:
        yield _timeout(timeout)
    for schedule in registry.schedules:
        yield _schedule(schedule)
    for hook in registry.hooks:
        yield _hook(hook)
    for connector in workflow.connectors.values():
        yield _connector(connector)
    for migration in workflow.migrations:
        yield _migration(migration)
    if registry.deletion is not None:
        yield _function(registry.deletion, FunctionKind.DELETION)


def anchored(functions: Sequence[FunctionDoc]) -> tuple[FunctionDoc, ...]:
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
        where=_where(spec.module, spec.name),
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
        payload=PayloadDoc(form=PayloadForm.NOTHING) if spec.reader is None else _payload(spec.reader.kind),
    )


def _payload(kind: Any) -> PayloadDoc:
    """In: the type; None and bytes: as they come."""
    if kind is None or kind is bytes:
        return PayloadDoc(form=PayloadForm.BYTES)
    return PayloadDoc(form=PayloadForm.JSON, name=type_name(kind), schema=schema_of(kind))


def _timeout(spec: TimeoutSpec) -> FunctionDoc:
    when = spec.detail
    if spec.at is not None:
        name = getattr(unwrapped(spec.at), "__name__", "<lambda>")
        when = "at the time that is computed for it" if name == "<lambda>" else f"at the time that `{name}` answers for it"
    return replace(_mover(spec, FunctionKind.TIMEOUT), when=when)


def _hook(spec: HookSpec) -> FunctionDoc:
    options = option_words(spec.options, pauses=False)
    return replace(_function(spec, FunctionKind.HOOK), when=_TOLD_OF[spec.event], options=options)


def _schedule(spec: ScheduleSpec) -> FunctionDoc:
    rule = spec.rule
    when = f"At `{rule.spec}`, {rule.timezone} time, it makes the object of a run for `{rule.foreign_id}`"
    return replace(
        _function(spec, FunctionKind.SCHEDULE),
        targets=() if rule.start_status is None else (rule.start_status,),
        when=f"{when}. {_IF_RUNNING[rule.if_running]}; {_missed(rule)}",
        options={"retries": retry_words(spec.options.retry)},
    )


def _missed(rule: ScheduleRule) -> str:
    return {
        Misfire.SKIP: "times that were missed are left out",
        Misfire.ONCE: "times that were missed are made up for by one",
        Misfire.ALL: f"times that were missed are made up for, the latest {rule.max_catch_up}",
    }[rule.misfire]


def _connector(spec: ConnectorSpec) -> FunctionDoc:
    source = "a source that the engine is given" if spec.source is None else f"its `{type(spec.source).__name__}`"
    return FunctionDoc(
        kind=FunctionKind.CONNECTOR,
        name=spec.function.rpartition(".")[2],
        label=spec.name,
        where=_where(spec.module, spec.function),
        doc=inspect.getdoc(unwrapped(spec.fn)) or "",
        is_async=spec.is_async,
        when=f"Called with each event of {source}, whose place is kept under the name `{spec.name}`",
        payload=_payload(spec.body.body_type),
        options=connector_words(spec.options),
    )


def _migration(spec: MigrationSpec) -> FunctionDoc:
    named = spec.fn is not None
    return FunctionDoc(
        kind=FunctionKind.MIGRATION,
        name=spec.name.rpartition(".")[2] if named else spec.name,
        label=spec.name,
        where=_where(spec.module, spec.name) if named else "",
        doc=(inspect.getdoc(unwrapped(spec.fn)) or "") if spec.fn is not None else "",
        is_async=False,
        source=spec.from_key,
        targets=(spec.to_key,),
    )


def _where(module: str, name: str) -> str:
    return f"{module}:{name.replace('<locals>.', '')}"
