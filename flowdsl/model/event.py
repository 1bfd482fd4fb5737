"""What travels over a streamer: ids and versions, never the object."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct


class Event(Struct, frozen=True, kw_only=True, gc=False):
    """A hint that a row waits, or, with a `body`, a user's own event."""

    event_id: str
    topic: str
    namespace: str = "default"
    workflow: str = ""
    foreign_id: str = ""
    run_id: str = ""
    row_id: str = ""
    version: int = 0
    created_at: datetime
    headers: Mapping[str, str] = {}
    body: bytes = b""


class ConnectorEvent(Struct, frozen=True, kw_only=True):
    """An event of somebody else's stream."""

    event_id: str
    """Unique within the stream: the idempotency key of what it triggers."""
    foreign_id: str
    """What it is about. Events about one thing are handled in the order in which they are received."""
    type: str = ""
    headers: Mapping[str, str] = {}
    body: bytes = b""
    created_at: datetime
    redelivered: bool = False
    """It may have been given out before."""
    problem: str = ""
    """Why the source could not read it as it was told to; such an event is not handled but put aside."""
