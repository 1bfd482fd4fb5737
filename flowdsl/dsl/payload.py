"""Payloads of callbacks: bytes become what the function's annotation says."""

from __future__ import annotations

from typing import Any

import msgspec

from flowdsl.dsl.codec import ObjectCodec
from flowdsl.errors import PayloadError
from flowdsl.model.limits import MAX_PAYLOAD


class PayloadReader:
    """In: the annotated type; bytes are left as they are, anything else is read as JSON. Raises DefinitionError for a type that
    JSON has no form for."""

    def __init__(self, kind: Any, place: str | None = None) -> None:
        self.kind = kind
        self._codec: ObjectCodec[Any] | None = None if kind is bytes else ObjectCodec(kind, place, "the payload's type")

    def read(self, data: bytes) -> Any:
        """The payload. Nothing at all is None where the type allows that. Raises PayloadError."""
        if self._codec is None:
            return data
        if not data and self._codec.allows_none:
            return None
        return self._codec.read(data)


def payload_bytes(payload: object) -> bytes:
    """A payload as it is stored: bytes as they are, None as nothing, anything else as JSON. Raises PayloadError."""
    if payload is None:
        return b""
    if isinstance(payload, (bytes, bytearray, memoryview)):
        data = bytes(payload)
    elif hasattr(payload, "model_dump_json"):
        data = str(payload.model_dump_json()).encode()
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
