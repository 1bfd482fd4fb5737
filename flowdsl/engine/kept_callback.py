"""A callback that came before its run was in the status, as its row carries it."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct


class KeptCallback(Struct, frozen=True, kw_only=True):
    """What it needs to be applied later."""

    data: bytes
    actor: str
    key: str | None = None
    """The idempotency key that it came with."""
    expires_at: datetime | None = None
