"""The audit: who did what to something that is not a run, for as long as the database keeps it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec
from msgspec import Struct

from flowdsl.model.item import Item, ItemKind, NewItem


class AuditEntry(Struct, frozen=True, kw_only=True):
    """One act of a person or of a program in somebody's name."""

    subject: str
    """What it was done to: an id."""
    action: str
    """A verb in the past: replayed, dropped."""
    actor: str
    at: datetime
    detail: str = ""
    """The reason that was given, or what came of it."""


def record(entry: AuditEntry, entry_id: str) -> NewItem:
    """The item to commit with the act. In: an id that sorts by time. Entries of one subject follow each other."""
    return NewItem(kind=ItemKind.DEAD_LETTER_AUDIT, key=f"{entry.subject}/{entry_id}", body=msgspec.json.encode(entry))


def entries(subject: str, items: Iterable[Item]) -> list[AuditEntry]:
    """Those of a subject, oldest first. In: items of the kind AUDIT by key, from the one after `first_key(subject)`."""
    prefix = first_key(subject)
    return [msgspec.json.decode(item.body, type=AuditEntry) for item in items if item.key.startswith(prefix)]


def first_key(subject: str) -> str:
    """The key before the first entry of a subject."""
    return f"{subject}/"
