"""What every store can hold. One list, so that a change refused by one store is refused by all."""

from __future__ import annotations

from flowdsl.model.change import AddRow, Change, FailRow, MoveRun, PutItems, RequestControl, StartRun
from flowdsl.model.item import NewItem
from flowdsl.model.pending import NewRow
from flowdsl.model.record import Payload

MAX_TEXT = 255
"""Characters of an identifier: namespace, workflow, status, foreign id, item kind and key, tag, metadata key, every id."""
MAX_TOPIC = 480
"""Characters of a topic: a workflow and a status, quoted."""
MAX_NOTE = 4000
"""Characters of a reason, an error, an actor or a metadata value."""
MAX_PAYLOAD = 1024 * 1024
"""Bytes of an object or of an item's body."""
MAX_EVENT = 512 * 1024
"""Bytes of the body of a user's own event: as text, with its headers, it has to fit into the message of any broker."""
MAX_ROW = MAX_PAYLOAD * 3 // 2
"""Bytes that a row carries: a payload of somebody else's as text, and what is to be known of it."""


def unfit(change: Change) -> str | None:
    """Why no store can hold this change; None when they all can."""
    if isinstance(change, StartRun):
        return (
            _texts(
                namespace=change.namespace,
                workflow=change.workflow,
                run_id=change.run_id,
                foreign_id=change.foreign_id,
                status=change.status,
                change_id=change.change_id,
                parent_run_id=change.parent_run_id or "",
            )
            or _rows(change.row, change.side_rows)
            or _notes(actor=change.origin.actor, reason=change.origin.reason)
            or _payload(change.payload)
            or _items(change.items)
            or _metadata(change)
            or None
        )
    if isinstance(change, MoveRun):
        return (
            _texts(to_status=change.to_status, change_id=change.change_id)
            or _rows(change.row, change.side_rows)
            or _notes(actor=change.origin.actor, reason=change.origin.reason, error=change.origin.error, name=change.origin.name)
            or _payload(change.payload)
            or _items(change.items)
            or None
        )
    if isinstance(change, AddRow):
        return (
            _texts(namespace=change.namespace, run_id=change.run_id, change_id=change.change_id)
            or _rows(None, (change.row,))
            or _items(change.items)
            or None
        )
    if isinstance(change, RequestControl):
        return _notes(reason=change.request.reason, actor=change.request.actor)
    if isinstance(change, FailRow):
        return _notes(error=change.error) or _rows(None, change.side_rows) or None
    if isinstance(change, PutItems):
        return _texts(namespace=change.namespace) or _items(change.items) or None
    return None


def _texts(**texts: str) -> str | None:
    together = "".join(texts.values())
    if len(together) <= MAX_TEXT and together.isascii() and "\0" not in together:
        return None  # nearly always, and one look instead of many
    for name, text in texts.items():
        if len(text) > MAX_TEXT:
            return f"{name} has {len(text)} characters, at most {MAX_TEXT} can be stored"
        problem = _unstorable(text)
        if problem:
            return f"{name} {problem}"
    return None


def unfit_note(**notes: str | None) -> str | None:
    """Why no store can hold one of these reasons, errors or actors, by its name; None when they all can."""
    return _notes(**notes)


def _notes(**notes: str | None) -> str | None:
    together = "".join([note for note in notes.values() if note])
    if len(together) <= MAX_NOTE and together.isascii() and "\0" not in together:
        return None
    for name, note in notes.items():
        if note is None:
            continue
        if len(note) > MAX_NOTE:
            return f"{name} has {len(note)} characters, at most {MAX_NOTE} can be stored"
        problem = _unstorable(note)
        if problem:
            return f"{name} {problem}"
    return None


def _unstorable(text: str) -> str | None:
    if text.isascii() and "\0" not in text:
        return None
    if "\0" in text:
        return "holds a NUL character, which PostgreSQL cannot store"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "holds a lone surrogate, which is not text"
    return None


def _rows(row: NewRow | None, side_rows: tuple[NewRow, ...]) -> str | None:
    for one in (row, *side_rows) if row is not None else side_rows:
        if len(one.topic) > MAX_TOPIC:
            return f"the topic has {len(one.topic)} characters, at most {MAX_TOPIC} can be stored"
        problem = _texts(row_id=one.row_id, receiver=one.receiver, owner=one.owner or "") or _unstorable(one.topic)
        if problem:
            return problem
        if one.payload is not None and len(one.payload) > MAX_ROW:
            return f"row {one.row_id!r} carries {len(one.payload)} bytes, at most {MAX_ROW} can be stored"
    return None


def _payload(payload: Payload | None) -> str | None:
    if payload is None:
        return None
    if len(payload.data) > MAX_PAYLOAD:
        return f"the object has {len(payload.data)} bytes, at most {MAX_PAYLOAD} can be stored"
    return _texts(content_type=payload.content_type)


def _items(items: tuple[NewItem, ...]) -> str | None:
    for item in items:
        problem = _texts(item_kind=item.kind, item_key=item.key)
        if problem:
            return problem
        if len(item.body) > MAX_PAYLOAD:
            return f"item {item.key!r} has {len(item.body)} bytes, at most {MAX_PAYLOAD} can be stored"
    return None


def _metadata(change: StartRun) -> str | None:
    for name, value in change.metadata.items():
        problem = _texts(metadata_key=name) or _notes(metadata_value=value)
        if problem:
            return problem
    for tag in change.tags:
        problem = _texts(tag=tag)
        if problem:
            return problem
    return None
