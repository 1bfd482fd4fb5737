"""Payloads that users hand in, as they are stored."""

from __future__ import annotations

import msgspec

from flowdsl.errors import PayloadError
from flowdsl.model.limits import MAX_PAYLOAD


def payload_bytes(payload: object) -> bytes:
    """A payload as it is stored: bytes as they are, None as nothing, anything else as JSON. Raises PayloadError."""
    if payload is None:
        return b""
    if isinstance(payload, (bytes, bytearray, memoryview)):
        data = bytes(payload)
    elif (dump := getattr(payload, "model_dump_json", None)) is not None:  # a pydantic model
        data = str(dump()).encode()
    else:
        try:
            data = msgspec.json.encode(payload)
        except (TypeError, ValueError, RecursionError) as error:
            raise PayloadError(f"a payload of type {type(payload).__name__} has no form in JSON: {error}") from error
    if len(data) > MAX_PAYLOAD:
        raise PayloadError(
            f"the payload has {len(data):,} bytes; the limit is {MAX_PAYLOAD:,}.",
            remedy="Store large data elsewhere and pass its address.",
        )
    return data
