"""A JSON Schema of an object as a table of its fields: what people read first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from flowdsl_docs.model import Schema

_LIMITS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "above {}",
    "exclusiveMaximum": "below {}",
    "minLength": "length at least {}",
    "maxLength": "length at most {}",
    "minItems": "length at least {}",
    "maxItems": "length at most {}",
    "pattern": "matches {}",
    "format": "{}",
}


_LONGEST_CHAIN = 8
"""References one after the other; more of them are a circle."""


class Field(NamedTuple):
    name: str
    type: str
    required: bool
    default: str
    """As JSON; empty: there is none."""
    note: str


def fields_of(schema: Schema) -> Sequence[Field]:
    """The fields of an object's schema; none for what is no object of named fields."""
    found = _resolved(schema)
    required = found.get("required", ())
    return [
        Field(name, type_words(field), name in required, _default(field), _note(field))
        for name, field in found.get("properties", {}).items()
    ]


def type_words(schema: Schema) -> str:
    """As in: string; array of Line; string or null; one of "a", "b"."""
    several = schema.get("anyOf") or schema.get("oneOf")
    kind, items, values = schema.get("type"), schema.get("items"), schema.get("additionalProperties")
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if several:
        return " or ".join(dict.fromkeys(map(type_words, several)))
    if len(schema.get("allOf", ())) == 1:
        return type_words(schema["allOf"][0])
    if "enum" in schema:
        return f"one of {', '.join(map(_json, schema['enum']))}"
    if "const" in schema:
        return _json(schema["const"])
    if kind == "array" and isinstance(items, dict) and items:
        return f"array of {type_words(items)}"
    if kind == "object" and isinstance(values, dict) and values:
        return f"object of {type_words(values)}"
    return " or ".join(kind) if isinstance(kind, list) else str(kind or "any")


def _resolved(schema: Schema) -> Schema:
    """The definition that a reference, or the one alternative that is not null, leads to."""
    found = schema
    for _ in range(_LONGEST_CHAIN):
        alternatives = [each for each in found.get("anyOf", found.get("allOf", ())) if each != {"type": "null"}]
        if "$ref" in found:
            found = schema.get("$defs", {}).get(str(found["$ref"]).rpartition("/")[2], {})
        elif len(alternatives) == 1:
            found = alternatives[0]
        else:
            return found
    return {}


def _default(field: Mapping[str, Any]) -> str:
    return _json(field["default"]) if "default" in field else ""


def _note(field: Mapping[str, Any]) -> str:
    return "; ".join(_notes(field))


def _notes(field: Mapping[str, Any]) -> Iterator[str]:
    if field.get("description"):
        yield str(field["description"]).rstrip(".")
    yield from (text.format(field[key]) for key, text in _LIMITS.items() if key in field)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
