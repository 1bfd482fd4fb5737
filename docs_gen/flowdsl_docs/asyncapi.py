"""An AsyncAPI 3 document: the topics that events travel on, and the callbacks that move runs from outside."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain, count
from typing import Any

from flowdsl.engine.publisher import stream_topic
from flowdsl.model.event import Event
from flowdsl.model.query import RunQuery
from flowdsl_docs.model import FunctionDoc, FunctionKind, PayloadForm, Schema, WorkflowDoc
from flowdsl_docs.schema import schema_of

VERSION = "3.0.0"
EVENT = "event"
_NAMESPACE = RunQuery().namespace
"""The one that a fleet has unless it is given another."""


def asyncapi(documents: Sequence[WorkflowDoc], title: str) -> Mapping[str, Any]:
    """The document as JSON-like data."""
    schemas: dict[str, Any] = {}
    messages: dict[str, Any] = {
        EVENT: {
            "title": "A run waits",
            "summary": "A hint: the work is the run's row in the store.",
            "contentType": "application/json",
            "payload": _registered("flowdsl", schema_of(Event), schemas),
        }
    }
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for document in documents:
        for function in document.of(FunctionKind.STEP, FunctionKind.CALLBACK):
            key = _free(_key(document.slug, function.kind.value, function.source, function.label), channels)
            source = document.label(function.source or "")
            if function.kind is FunctionKind.STEP:
                channels[key] = _topic(document, function)
                operations[key] = _operation(key, EVENT, function, f"Runs in {source}.")
            else:
                messages[key] = _payload(key, function, schemas)
                channels[key] = _call(key, document, function)
                operations[key] = _operation(key, key, function, f"Moves a run out of {source}.")
    return {
        "asyncapi": VERSION,
        "info": {"title": title, "version": "1.0.0", "description": "Made by flowdsl from the declarations of workflows."},
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": schemas},
    }


def _topic(document: WorkflowDoc, function: FunctionDoc) -> Mapping[str, Any]:
    return {
        "address": stream_topic(_NAMESPACE, function.topic or ""),
        "title": f"{document.name}: {document.label(function.source or '')}",
        "description": "Where runs in this status wait for their step. A streamer may put a prefix before the name.",
        "messages": {EVENT: {"$ref": f"#/components/messages/{EVENT}"}},
    }


def _call(key: str, document: WorkflowDoc, function: FunctionDoc) -> Mapping[str, Any]:
    return {
        "address": None,
        "title": f"{document.name}: {function.label}",
        "description": f"engine.callback, for runs in {document.label(function.source or '')}. {function.when}",
        "messages": {key: {"$ref": f"#/components/messages/{key}"}},
    }


def _operation(key: str, message: str, function: FunctionDoc, summary: str) -> Mapping[str, Any]:
    found: dict[str, Any] = {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{key}"},
        "title": function.name,
        "summary": summary,
        "messages": [{"$ref": f"#/channels/{key}/messages/{message}"}],
    }
    return found | ({"description": function.doc} if function.doc else {})


def _payload(key: str, function: FunctionDoc, schemas: dict[str, Any]) -> Mapping[str, Any]:
    payload = function.payload
    found: dict[str, Any] = {"title": function.label}
    if payload is None or payload.form is PayloadForm.NOTHING:
        return found | {"summary": "Without a payload."}
    if payload.schema is None:
        return found | {"contentType": "application/octet-stream", "payload": {"type": "string", "format": "binary"}}
    return found | {"contentType": "application/json", "payload": _registered(key, payload.schema, schemas)}


def _registered(prefix: str, schema: Schema, schemas: dict[str, Any]) -> Mapping[str, Any]:
    """The schema, with its definitions among the document's under names of their own."""
    definitions = schema.get("$defs", {})
    names: dict[str, str] = {}
    for name in definitions:
        names[name] = _free(_key(prefix, name), {*schemas, *names.values()})
    for name, definition in definitions.items():
        schemas[names[name]] = _moved(definition, names)
    moved: Mapping[str, Any] = _moved({key: value for key, value in schema.items() if key != "$defs"}, names)
    return moved


def _moved(value: Any, names: Mapping[str, str]) -> Any:
    """A copy whose references lead to the document's schemas."""
    if isinstance(value, Mapping):
        return dict(_moved_items(value, names))
    if isinstance(value, list):
        return [_moved(item, names) for item in value]
    return value


def _moved_items(value: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if key == "$ref" and isinstance(item, str) and item.startswith("#/$defs/"):
            yield key, f"#/components/schemas/{names[item.removeprefix('#/$defs/')]}"
        else:
            yield key, _moved(item, names)


def _free(key: str, taken: Collection[str]) -> str:
    """The key, or with a number what nobody has."""
    numbered = (f"{key}-{number}" for number in count(2))
    return next(name for name in chain([key], numbered) if name not in taken)


def _key(*parts: str | None) -> str:
    """A key as AsyncAPI allows them."""
    return ".".join(re.sub("[^A-Za-z0-9_-]+", "-", part) for part in parts if part)
