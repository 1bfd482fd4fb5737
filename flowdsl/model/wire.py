"""Events on the wire of a streamer: JSON, ids and versions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from flowdsl.errors import UnreadableEventError
from flowdsl.model.event import Event

LARGEST = 1024 * 1024
"""Bytes of a message: those that are larger are not read."""

_decode: Callable[[bytes], Event | list[Event]] = msgspec.json.Decoder(Event | list[Event]).decode
_encode = msgspec.json.Encoder().encode


def encode(event: Event) -> bytes:
    return _encode(event)


def encode_bundle(events: Sequence[Event]) -> bytes:
    """One message of several events. Of one: the same as `encode` makes of it."""
    return _encode(events[0] if len(events) == 1 else events)


def decode(body: bytes) -> Event:
    """Raises UnreadableEventError, without the content, for what is no event."""
    found = _read(body)
    if isinstance(found, list):
        raise UnreadableEventError("a message is no event but a list of them.")
    return found


def decode_bundle(body: bytes) -> Sequence[Event]:
    """What `encode` or `encode_bundle` made. Raises UnreadableEventError, without the content, when one of them is no event."""
    found = _read(body)
    if found == []:
        raise UnreadableEventError("a message is an empty list of events.")
    return found if isinstance(found, list) else (found,)


def _read(body: bytes) -> Event | list[Event]:
    if len(body) > LARGEST:
        raise UnreadableEventError(f"a message of {len(body)} bytes is larger than an event may be ({LARGEST}).")
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableEventError(f"a message is no event: {type(error).__name__}.") from None
