"""How somebody else's message is read as an event: what of it says which event it is, and what that is about."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from flowdsl.errors import FlowError
from flowdsl.model.event import ConnectorEvent


class Message(Struct, frozen=True, kw_only=True):
    """A message as its transport has it."""

    body: bytes
    headers: Mapping[str, str] = {}
    message_id: str = ""
    """What the transport knows it by; empty: nothing."""
    type: str = ""
    key: str = ""
    """What it was sent with to be found: a routing key, a partition's key."""
    sent_at: datetime | None = None


Pick = Callable[[Message], str | None]
"""Finds a text in a message. None, empty, or an error: it is not there."""


class UnreadableMessageError(FlowError):
    """A message has not what it was to be read by."""


def header(name: str) -> Pick:
    """The header of this name (a field of a Redis entry, a column of a table)."""

    def pick(message: Message) -> str:
        try:
            return message.headers[name]
        except KeyError:
            raise UnreadableMessageError(f"there is no header {name!r}") from None

    return pick


def json_field(path: str) -> Pick:
    """The text or number at a path in a JSON body, its steps between dots: order.id. Steps into a list are its numbers."""
    steps = path.split(".")

    def pick(message: Message) -> str:
        try:
            value: Any = msgspec.json.decode(message.body)
        except (ValueError, msgspec.DecodeError, RecursionError) as error:
            raise UnreadableMessageError(f"the body is no JSON: {error}") from error
        for step in steps:
            try:
                value = value[int(step)] if isinstance(value, list) else value[step]
            except (KeyError, TypeError, ValueError, IndexError):
                raise UnreadableMessageError(f"the body has no field {path!r}") from None
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise UnreadableMessageError(f"the body's field {path!r} is neither a text nor a number")
        return str(value)

    return pick


def message_id(message: Message) -> str:
    """What the transport knows the message by."""
    return message.message_id


def message_type(message: Message) -> str:
    """The transport's own type of the message."""
    return message.type


def routing_key(message: Message) -> str:
    """What the message was sent with to be found."""
    return message.key


def content_hash(message: Message) -> str:
    """A digest of the body and the headers: for messages that nothing else tells apart. Two that are alike are one event."""
    digest = hashlib.sha256(message.body)
    for name in sorted(message.headers):
        digest.update(f"{len(name)}:{name}{message.headers[name]}".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def first_of(*picks: Pick) -> Pick:
    """The first of several that finds something."""

    def pick(message: Message) -> str:
        reasons: list[str] = []
        for one in picks:
            try:
                return picked(one, message)
            except UnreadableMessageError as error:
                reasons.append(str(error))
        raise UnreadableMessageError("; ".join(reasons))

    return pick


def picked(pick: Pick, message: Message) -> str:
    """What a pick finds. Raises UnreadableMessageError for nothing, and for whatever a user's own pick raises."""
    try:
        found = pick(message)
    except UnreadableMessageError:
        raise
    except Exception as error:  # a user's function: what it cannot read is its own affair
        raise UnreadableMessageError(f"{type(error).__name__}: {error}") from error
    if not isinstance(found, str) or not found:
        name = getattr(pick, "__name__", repr(pick)).replace("_", " ")
        raise UnreadableMessageError(f"there is no {name}")
    return found


class Reading:
    """Reads messages as events. In: where the event's id, its foreign id and its type are found; no type: none is looked for."""

    def __init__(self, *, event_id: Pick, foreign_id: Pick, type: Pick | None = None) -> None:
        self._event_id = event_id
        self._foreign_id = foreign_id
        self._type = type

    def event(self, message: Message, received_at: datetime, *, redelivered: bool = False) -> ConnectorEvent:
        """Never raises: what is missing is the event's problem. In: when it was received, for messages that do not say when they
        were sent."""
        problems: list[str] = []
        event_id = self._found(self._event_id, "event id", message, problems) or uuid.uuid4().hex
        foreign_id = self._found(self._foreign_id, "foreign id", message, problems)
        kind = ""
        if self._type is not None:
            try:
                kind = picked(self._type, message)
            except UnreadableMessageError:
                kind = ""  # nothing depends on it
        return ConnectorEvent(
            event_id=event_id,
            foreign_id=foreign_id,
            type=kind,
            headers=message.headers,
            body=message.body,
            created_at=message.sent_at or received_at,
            redelivered=redelivered,
            problem="; ".join(problems),
        )

    def _found(self, pick: Pick, what: str, message: Message, problems: list[str]) -> str:
        try:
            return picked(pick, message)
        except UnreadableMessageError as error:
            problems.append(f"no {what}: {error}")
            return ""


def text(value: object) -> str:
    """A header's value as text: bytes as UTF-8, what is neither text nor bytes as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "replace")
    if value is None:
        return ""
    try:
        return msgspec.json.encode(value).decode()
    except TypeError:
        return str(value)
