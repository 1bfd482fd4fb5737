"""Events on the wire: JSON, ids and versions."""

from __future__ import annotations

import logging

import msgspec

from flowdsl.model.event import Event

log = logging.getLogger("flowdsl.kombu")
CONTENT_TYPE = "application/json"
LARGEST = 1024 * 1024
"""Bytes of a message: those that are larger are not read."""

_decoder = msgspec.json.Decoder(Event)


def encode(event: Event) -> bytes:
    return msgspec.json.encode(event)


def decode(body: bytes | str, queue: str) -> Event | None:
    """The event; None for what is none: logged without its content."""
    data = body.encode() if isinstance(body, str) else bytes(body)
    if len(data) > LARGEST:
        log.error("a message of %d bytes in %s is too large and was put aside", len(data), queue)
        return None
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        log.error("a message in %s is no event and was put aside: %s", queue, type(error).__name__)
        return None
