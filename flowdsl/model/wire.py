"""Events on the wire of a streamer: JSON, ids and versions."""

from __future__ import annotations

import msgspec

from flowdsl.errors import UnreadableEventError
from flowdsl.model.event import Event

LARGEST = 1024 * 1024
"""Bytes of a message: those that are larger are not read."""

_decode = msgspec.json.Decoder(Event).decode
_encode = msgspec.json.Encoder().encode


def encode(event: Event) -> bytes:
    return _encode(event)


def decode(body: bytes) -> Event:
    """Raises UnreadableEventError, without the content, for what is no event."""
    if len(body) > LARGEST:
        raise UnreadableEventError(f"a message of {len(body)} bytes is larger than an event may be ({LARGEST}).")
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableEventError(f"a message is no event: {type(error).__name__}.") from None
