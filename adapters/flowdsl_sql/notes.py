"""Notes to other processes' listeners: PostgreSQL's NOTIFY, part of the transaction that it tells of.

A note is a JSON list: the store that sends it, the namespace, then the topics; no topics: any.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from flowdsl_sql.database import Session

CHANNEL = "'flowdsl_' || md5(coalesce(current_schema(), ''))"
"""SQL: notifications go through the whole database, so each schema's tables have a channel of their own."""
MAX_NOTE = 7000
"""Bytes; the server takes fewer than 8000."""


def notify(session: Session, sender: str, wakes: Iterable[tuple[str, str]]) -> None:
    """Tell of namespaces and topics. Where the database has no notes, nothing happens."""
    if session.dialect.name == "postgresql":
        for note in notes(sender, wakes):
            session.later(f"SELECT pg_notify({CHANNEL}, ?)", (note,))


def notes(sender: str, wakes: Iterable[tuple[str, str]]) -> list[str]:
    """One note per namespace."""
    topics: dict[str, list[str]] = {}
    for namespace, topic in wakes:
        topics.setdefault(namespace, []).append(topic)
    told: list[str] = []
    for namespace, some in topics.items():
        note = msgspec.json.encode([sender, namespace, *sorted(some)])
        if len(note) > MAX_NOTE:
            note = msgspec.json.encode([sender, namespace])
        told.append(note.decode())
    return told


def read_note(payload: str) -> tuple[str, str, list[str]]:
    """Sender, namespace, topics."""
    sender, namespace, *topics = msgspec.json.decode(payload, type=list[str])
    return sender, namespace, topics
