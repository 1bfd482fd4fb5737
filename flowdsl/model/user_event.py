"""An event of the user's, as its row carries it."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct


class UserEvent(Struct, frozen=True, kw_only=True, gc=False):
    """What is published once the row is committed."""

    topic: str
    body: bytes
    headers: Mapping[str, str] = {}
