"""JSON Schemas of what is stored and received, by msgspec, or by pydantic for its models."""

from __future__ import annotations

import sys
from typing import Any

import msgspec

from flowdsl_docs.model import Schema


def schema_of(kind: Any) -> Schema:
    """The JSON Schema of a type that the codecs take. Definitions are in `$defs`."""
    module = sys.modules.get("pydantic")  # a model can only exist where it has been imported
    if module is not None and isinstance(kind, type) and issubclass(kind, module.BaseModel):
        found: Schema = kind.model_json_schema()  # type: ignore[attr-defined]
        return found
    return msgspec.json.schema(kind)


def type_name(kind: Any) -> str:
    """As a reader would write it."""
    name = getattr(kind, "__qualname__", None)
    return str(name).rpartition("<locals>.")[2] if isinstance(name, str) and not hasattr(kind, "__args__") else repr(kind)
