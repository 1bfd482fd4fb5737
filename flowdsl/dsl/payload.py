"""Payloads of callbacks: bytes become what the function's annotation says."""

from __future__ import annotations

from typing import Any

from flowdsl.dsl.codec import ObjectCodec


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
