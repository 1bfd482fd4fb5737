"""One condition on a run: a field, an operator, values."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum, StrEnum
from typing import Any

from msgspec import Struct

from flowdsl.errors import FlowError
from flowdsl.model.pending import PendingRow
from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState
from flowdsl.model.span import parse_span


class WhereError(FlowError):
    """A `where` says something that cannot be asked."""


class Op(StrEnum):
    """How a field is compared. Contains ignores case; the others do not."""

    IS = "="
    IS_NOT = "!="
    HAS = "~"
    HAS_NOT = "!~"
    UNDER = "<"
    AT_MOST = "<="
    OVER = ">"
    AT_LEAST = ">="
    IN = "in"
    NOT_IN = "not in"


class Subject(Struct, frozen=True):
    """What conditions are asked of: a run, and its step row where there is one (read only if `Where.reads_rows`)."""

    run: RunRecord
    row: PendingRow | None
    now: datetime


class Kind(Enum):
    """What the values of a field are."""

    TEXT = "text"
    STATE = "state"
    MOMENT = "moment"
    SPAN = "span"
    NUMBER = "number"


_SAME = (Op.IS, Op.IS_NOT, Op.IN, Op.NOT_IN)
_ORDER = (Op.UNDER, Op.AT_MOST, Op.OVER, Op.AT_LEAST)
OPS: Mapping[Kind, Sequence[Op]] = {
    Kind.TEXT: (*_SAME, Op.HAS, Op.HAS_NOT),
    Kind.STATE: _SAME,
    Kind.MOMENT: _ORDER,
    Kind.SPAN: _ORDER,
    Kind.NUMBER: (*_SAME, *_ORDER),
}
"""Which operators make sense for each kind."""


class Field(Struct, frozen=True):
    """A field of a run. `read` gives every value that it has: none, one, or (tags) several."""

    kind: Kind
    says: str
    read: Callable[[Subject], Sequence[Any]]
    reads_row: bool = False


def _error(subject: Subject) -> Sequence[Any]:
    row = subject.row
    return _given(subject.run.last_error or (row.last_error if row is not None else None))


def _failures(subject: Subject) -> Sequence[Any]:
    row = subject.row
    return (0,) if row is None else (row.attempts + row.lapses,)


def _given(text: str | None) -> Sequence[str]:
    return () if text is None else (text,)


FIELDS: Mapping[str, Field] = {
    "workflow": Field(Kind.TEXT, "the workflow's name", lambda s: (s.run.workflow,)),
    "status": Field(Kind.TEXT, "the status, as it is stored", lambda s: (s.run.status,)),
    "state": Field(Kind.STATE, "initiated, running, paused, completed, cancelled ...", lambda s: (s.run.state,)),
    "foreign_id": Field(Kind.TEXT, "the id of your own object", lambda s: (s.run.foreign_id,)),
    "created": Field(Kind.MOMENT, "when it was started: an ISO date or time, UTC unless it says", lambda s: (s.run.created_at,)),
    "updated": Field(Kind.MOMENT, "when it last changed", lambda s: (s.run.updated_at,)),
    "age": Field(Kind.SPAN, "how long ago it was started: 90s, 15m, 2h, 3d, 1w", lambda s: (s.now - s.run.created_at,)),
    "idle": Field(Kind.SPAN, "how long ago it last changed", lambda s: (s.now - s.run.updated_at,)),
    "error": Field(Kind.TEXT, "what paused it, or made its last attempt fail", _error, reads_row=True),
    "failures": Field(Kind.NUMBER, "failed attempts in a row of a step that is tried again", _failures, reads_row=True),
    "reason": Field(Kind.TEXT, "why it is paused or cancelled", lambda s: _given(s.run.reason)),
    "actor": Field(Kind.TEXT, "who paused or cancelled it", lambda s: _given(s.run.actor)),
    "tag": Field(Kind.TEXT, "any of its tags", lambda s: s.run.tags),
    "parent": Field(Kind.TEXT, "the run id of its parent", lambda s: _given(s.run.parent_run_id)),
    "priority": Field(Kind.NUMBER, "its priority", lambda s: (s.run.priority,)),
    "version": Field(Kind.NUMBER, "how often it has changed, from 1", lambda s: (s.run.version,)),
}
METADATA = "meta."
"""Begins the name of a field that is an entry of the run's metadata."""

STATES = {state.name.lower(): state for state in RunState if state is not RunState.UNKNOWN}


def field_of(name: str) -> Field:
    """The field of a name. Raises WhereError."""
    found = FIELDS.get(name)
    if found is not None:
        return found
    key = name.removeprefix(METADATA)
    if key and key != name:
        return Field(Kind.TEXT, "an entry of its metadata", lambda s: _given(s.run.metadata.get(key)))
    near = difflib.get_close_matches(name, FIELDS, 1)
    hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(FIELDS)} and {METADATA}NAME."
    raise WhereError(f"runs have no field {name!r}.", remedy=hint)


class Condition:
    """A condition that makes sense. In: the texts as they were written. Raises WhereError for those that make none."""

    __slots__ = ("_against", "field", "name", "op", "texts", "values")

    def __init__(self, name: str, op: Op, texts: Sequence[str]) -> None:
        self.name = name
        self.op = op
        self.texts = tuple(texts)
        self.field = field_of(name)
        if op not in OPS[self.field.kind]:
            known = " ".join(other.value for other in OPS[self.field.kind])
            raise WhereError(f"{name} cannot be compared with {op.value!r}.", remedy=f"Use one of {known}.")
        self.values: tuple[Any, ...] = tuple(_value(name, self.field.kind, text) for text in self.texts)
        self._against = tuple(value.casefold() for value in self.values) if op in (Op.HAS, Op.HAS_NOT) else self.values

    def holds(self, subject: Subject) -> bool:
        found, against = self.field.read(subject), self._against
        match self.op:
            case Op.IS | Op.IN:
                return any(value in against for value in found)
            case Op.IS_NOT | Op.NOT_IN:
                return not any(value in against for value in found)
            case Op.HAS:
                return any(against[0] in value.casefold() for value in found)
            case Op.HAS_NOT:
                return not any(against[0] in value.casefold() for value in found)
            case Op.UNDER:
                return any(value < against[0] for value in found)
            case Op.AT_MOST:
                return any(value <= against[0] for value in found)
            case Op.OVER:
                return any(value > against[0] for value in found)
            case Op.AT_LEAST:
                return any(value >= against[0] for value in found)

    def __str__(self) -> str:
        shown = [_quoted(text) for text in self.texts]
        if self.op in (Op.IN, Op.NOT_IN):
            return f"{self.name} {self.op.value} ({', '.join(shown)})"
        return f"{self.name} {self.op.value} {shown[0]}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Condition) and (self.name, self.op, self.texts) == (other.name, other.op, other.texts)

    def __hash__(self) -> int:
        return hash((self.name, self.op, self.texts))


def _value(name: str, kind: Kind, text: str) -> Any:
    if kind is Kind.TEXT:
        if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
            raise WhereError(f"{name} is compared with what no store can hold: a NUL character or half a surrogate pair.")
        return text
    if kind is Kind.STATE:
        state = STATES.get(text.lower())
        if state is None:
            near = difflib.get_close_matches(text.lower(), STATES, 1)
            hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(STATES)}."
            raise WhereError(f"there is no state {text!r}.", remedy=hint)
        return state
    if kind is Kind.NUMBER:
        if not text.removeprefix("-").isdecimal() or len(text) > 18:
            raise WhereError(f"{name} is a whole number, {text!r} is none.")
        return int(text)
    if kind is Kind.SPAN:
        span = parse_span(text)
        if span is None:
            raise WhereError(f"{name} is a span of time, {text!r} is none.", remedy="Write 90s, 15m, 2h, 3d or 1w.")
        return span
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        hint = "Write 2026-01-31 or 2026-01-31T09:00:00Z; for a span of time there are age and idle."
        raise WhereError(f"{name} is a date or time, {text!r} is none.", remedy=hint) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
