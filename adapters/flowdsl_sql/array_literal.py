"""PostgreSQL's text of an array, to be bound like any value: the driver's own way takes a hundred times as long."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def array_literal(kind: str, values: Sequence[Any]) -> str:
    """In: "text", "bytea", or any kind of whole number; NULLs are None."""
    return f"{{{_column(kind, values)}}}" if values else "{}"


def _text(value: str | None) -> str:
    if value is None:
        return "NULL"
    if "\\" in value or '"' in value:
        value = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + value + '"'  # its characters: formatted, a member of an enum with texts would give its name


def _number(value: int | None) -> str:
    return "NULL" if value is None else f"{value:d}"


def _bytes(value: bytes | None) -> str:
    return "NULL" if value is None else f'"\\\\x{value.hex()}"'


_LITERAL: dict[str, Callable[[Any], str]] = {"text": _text, "bytea": _bytes}


def _column(kind: str, values: Sequence[Any]) -> str:
    """The values of one column, between commas. Most columns of a batch hold one value over and over, most others plain ids."""
    literal = _LITERAL.get(kind, _number)
    first = values[0]
    if values.count(first) == len(values):
        return ",".join([literal(first)] * len(values))
    if literal is _text and None not in values:
        together = '","'.join(values)
        if "\\" not in together and together.count('"') == 2 * (len(values) - 1):
            return f'"{together}"'
    return ",".join(map(literal, values))
