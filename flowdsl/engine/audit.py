"""The audit trail: one entry for each operation on many runs. What is done to a single run is in the run's own history."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

import msgspec

from flowdsl.engine.core import Core
from flowdsl.model.bulk import OperationEntry
from flowdsl.model.item import ItemKind, NewItem
from flowdsl.model.query import QueryError

_END = 1 << 52
"""Microseconds since the epoch in the year 2112: what is left until then sorts the newest entry first."""
_KEY = re.compile(r"[0-9a-f]{14}-.+", re.DOTALL)


def audit_key(at: datetime, operation: str) -> str:
    """The key of an entry."""
    return f"{_END - int(at.timestamp() * 1_000_000):014x}-{operation}"


def audit_item(entry: OperationEntry) -> NewItem:
    """The entry as it is stored; a later state of the same operation replaces it."""
    return NewItem(kind=ItemKind.AUDIT, key=entry.key, body=msgspec.json.encode(entry), replace=True)


def entries(core: Core, limit: int, after: str) -> Sequence[OperationEntry]:
    """Entries, newest first, from the one after the key `after`. Raises QueryError for what is no key."""
    if after and not _KEY.fullmatch(after):
        raise QueryError(f"no entry has a key like {after[:40]!r}.", remedy="Pass the `key` of an entry that was listed.")
    items = core.store.items(core.namespace, ItemKind.AUDIT, after, limit)
    return [msgspec.json.decode(item.body, type=OperationEntry) for item in items]
