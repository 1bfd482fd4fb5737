"""A dead letter as the command line shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from flowdsl.model.audit import AuditEntry
from flowdsl.model.dead_letter import DeadLetter


class DeadLetterView(Struct, frozen=True, kw_only=True):
    """A letter without its body."""

    letter_id: str
    origin: str
    workflow: str
    name: str
    foreign_id: str
    run_id: str
    event_id: str
    type: str
    error: str
    attempts: int
    buried_at: datetime
    happened_at: datetime | None
    headers: Mapping[str, str]
    size: int

    @classmethod
    def of(cls, letter: DeadLetter) -> DeadLetterView:
        return cls(**{name: getattr(letter, name) for name in cls.__struct_fields__})


class WholeLetterView(Struct, frozen=True, kw_only=True):
    """A letter with its body, and what was done to it. `body` is left out when it was not asked for; it is JSON where it is JSON,
    else text, else bytes in base64."""

    letter: DeadLetterView
    audit: Sequence[AuditEntry]
    body: Raw | str | bytes | UnsetType = UNSET

    @classmethod
    def of(cls, letter: DeadLetter, audit: Sequence[AuditEntry], *, with_body: bool) -> WholeLetterView:
        return cls(letter=DeadLetterView.of(letter), audit=audit, body=_body(letter.body) if with_body else UNSET)


def _body(data: bytes) -> Raw | str | bytes:
    try:
        msgspec.json.decode(data)
    except (ValueError, msgspec.DecodeError, RecursionError):
        try:
            return data.decode()
        except UnicodeDecodeError:
            return data
    return Raw(data)
