"""Document model to pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from flowdsl.graph.diagram import NodeKind
from flowdsl.model.event import Event
from flowdsl_docs.blocks import (
    Block,
    Code,
    Drawing,
    Folded,
    Heading,
    Inline,
    Line,
    Link,
    Listing,
    Page,
    Paragraph,
    Plain,
    Strong,
    Table,
)
from flowdsl_docs.fields import fields_of
from flowdsl_docs.model import FunctionDoc, FunctionKind, PayloadForm, Schema, WorkflowDoc
from flowdsl_docs.prose import blocks_of, line_of
from flowdsl_docs.schema import schema_of
from flowdsl_docs.sentences import counted, way

INDEX = "index"
HEADINGS = {
    FunctionKind.STEP: "Steps",
    FunctionKind.CALLBACK: "Callbacks",
    FunctionKind.TIMEOUT: "Timeouts",
    FunctionKind.SCHEDULE: "Schedules",
    FunctionKind.HOOK: "Hooks",
    FunctionKind.CONNECTOR: "Connectors",
    FunctionKind.MIGRATION: "Migrations",
    FunctionKind.DELETION: "Deletion of data",
}
"""In the order of a page."""
_NONE = "-"


def workflow_page(document: WorkflowDoc) -> Page:
    """Everything about one workflow."""
    return Page(document.slug, document.name, list(_workflow(document)))


def index_page(documents: Sequence[WorkflowDoc], title: str) -> Page:
    """A list of the workflows."""
    rows: list[Sequence[Line]] = [
        [
            [Link(document.name, page=document.slug)],
            [Code(document.object.name)],
            [Plain(str(len(document.statuses)))],
            [Plain(counted(document))],
            line_of(_first(document.doc or document.object.doc)),
        ]
        for document in documents
    ]
    listed = _table(("Workflow", "Object", "Statuses", "Functions", "What it is about"), rows)
    first = listed if rows else Paragraph([Plain("There is none.")])
    return Page(INDEX, title, [Heading(1, [Plain(title)]), first, *_events()])


def _workflow(document: WorkflowDoc) -> Iterator[Block]:
    yield Heading(1, [Plain(document.name)])
    yield from blocks_of(document.doc)
    count = f"{len(document.statuses)} statuses, {counted(document)}. A run carries an object of type "
    yield Paragraph([Plain(count), Code(document.object.name), Plain(".")])
    yield Drawing(document.diagram)
    yield _section("Statuses")
    yield from _statuses(document)
    for kind, heading in HEADINGS.items():
        functions = document.of(kind)
        if functions:
            yield _section(heading)
            for function in functions:
                yield from _function(document, function)
    if any(function.options for function in document.functions):
        yield _section("Options")
        yield _options(document)
    yield _section("Object")
    yield from blocks_of(document.object.doc)
    yield Paragraph([Code(document.object.name), Plain(", stored as JSON.")])
    yield from _schema(document.object.schema)
    yield _section("Retention")
    yield from _retention(document)
    yield _section("On the wire")
    yield from _wire(document)


def _section(title: str) -> Heading:
    return Heading(2, [Plain(title)], title.lower().replace(" ", "-"))


def _statuses(document: WorkflowDoc) -> Iterator[Block]:
    rows: list[Sequence[Line]] = []
    for status in document.statuses:
        leaving = document.leaving(status.status)
        marks = ["end" if kind is NodeKind.TERMINAL else kind.value for kind in status.kinds if kind in _SHOWN]
        about = [_first(status.doc), *(_first(function.doc) for function in leaving)]
        rows.append(
            [
                [Strong(status.label)],
                [Code(status.status)],
                [Plain(", ".join(marks))],
                _joined([[Link(function.name, anchor=function.anchor)] for function in leaving], ", "),
                line_of(" ".join(text for text in about if text)),
            ]
        )
    yield _table(("Status", "Stored as", "Kind", "Left by", "What happens there"), rows)
    if document.retired:
        retired = _joined([[Code(status)] for status in document.retired], ", ")
        yield Paragraph([Plain("Not used any more, and met in old runs: "), *retired, Plain(".")])


_SHOWN = (NodeKind.START, NodeKind.TERMINAL, NodeKind.WAITING, NodeKind.TIMED)


def _function(document: WorkflowDoc, function: FunctionDoc) -> Iterator[Block]:
    yield Heading(3, [Code(function.name)], function.anchor)
    yield Paragraph(way(document, function))
    yield from blocks_of(function.doc)
    payload = function.payload
    what = "The body of an event" if function.kind is FunctionKind.CONNECTOR else "Its payload"
    if payload is not None and payload.form is PayloadForm.NOTHING:
        yield Paragraph([Plain("It takes no payload.")])
    elif payload is not None and payload.form is PayloadForm.BYTES:
        yield Paragraph([Plain(f"{what} is bytes, as they come.")])
    elif payload is not None and payload.schema is not None:
        yield Paragraph([Plain(f"{what} is JSON of type "), Code(payload.name), Plain(".")])
        yield from _schema(payload.schema)


def _options(document: WorkflowDoc) -> Block:
    """A row per function, a column per option that says something."""
    optioned = [(function, function.options) for function in document.functions if function.options]
    names = list(dict.fromkeys(name for _, options in optioned for name in options))
    names = [name for name in names if any(options.get(name, _NONE) != _NONE for _, options in optioned)]
    rows: list[Sequence[Line]] = [
        [[Link(function.name, anchor=function.anchor)], *([Plain(options.get(name, _NONE))] for name in names)]
        for function, options in optioned
    ]
    return Table(("Function", *(name.capitalize() for name in names)), rows)


def _schema(schema: Schema) -> Iterator[Block]:
    """The fields as a table, and the whole for machines."""
    rows: list[Sequence[Line]] = [
        [
            [Code(field.name)],
            line_of(field.type),
            [Plain("required")] if field.required else [Code(field.default)] if field.default else [],
            line_of(field.note),
        ]
        for field in fields_of(schema)
    ]
    if rows:
        yield _table(("Field", "Type", "Default", "Notes"), rows)
    text = msgspec.json.format(msgspec.json.encode(schema), indent=2).decode()
    yield Folded("JSON Schema", [Listing("json", text)])


def _retention(document: WorkflowDoc) -> Iterator[Block]:
    kept = {ended: text for ended, text in document.retention.items() if text is not None}
    if not kept:
        yield Paragraph([Plain("Finished runs are kept for ever.")])
        return
    rows: list[Sequence[Line]] = [[[Plain(ended)], [Plain(text or "for ever")]] for ended, text in document.retention.items()]
    yield Table(("Runs that ended", "are kept"), rows)


def _wire(document: WorkflowDoc) -> Iterator[Block]:
    rows: list[Sequence[Line]] = [
        [[Code(function.topic)], [Strong(document.label(function.source))], [Link(function.name, anchor=function.anchor)]]
        for function in document.functions
        if function.topic is not None and function.source is not None
    ]
    if not rows:
        yield Paragraph([Plain("Nothing: it has no steps.")])
        return
    hint = "Where the engine has a streamer, an event says that a run waits in one of these topics. It is a "
    yield Paragraph([Plain(hint), Link("hint", page=INDEX, anchor="events"), Plain(": the work is the run's row in the store.")])
    yield Table(("Topic", "Runs in", "Consumed by"), rows)


def _events() -> Iterator[Block]:
    """What is the same for all workflows."""
    yield _section("Events")
    yield Paragraph(
        line_of(
            "Where the engine has a streamer, every topic of a step carries JSON with these fields. On a streamer a topic's name "
            "begins with the streamer's own prefix and the fleet's namespace: `default/`, unless another is set."
        )
    )
    yield from _schema(schema_of(Event))
    yield Paragraph(line_of("For machines: `asyncapi.json`, an AsyncAPI document of the topics and the callbacks."))


def _table(head: Sequence[str], rows: Sequence[Sequence[Line]]) -> Table:
    """Without the columns in which nothing stands."""
    kept = [number for number in range(len(head)) if any(part.text for row in rows for part in row[number])]
    return Table([head[number] for number in kept], [[row[number] for number in kept] for row in rows])


def _joined(lines: Sequence[Line], between: str) -> list[Inline]:
    found: list[Inline] = []
    for number, line in enumerate(lines):
        found += [Plain(between), *line] if number else line
    return found


def _first(doc: str) -> str:
    """The first paragraph on one line."""
    return " ".join(doc.strip().split("\n\n")[0].split())
