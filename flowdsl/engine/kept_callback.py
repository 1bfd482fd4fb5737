"""A callback that came before its run was in the status, as its row carries it."""

from __future__ import annotations

from datetime import datetime

import msgspec
from msgspec import Struct

from flowdsl.errors import PayloadError


class KeptCallback(Struct, frozen=True, kw_only=True):
    """What it needs to be applied later."""

    data: bytes
    actor: str
    task: str
    """Under which the function knows this piece of work, however often it is tried: see `callback_task`."""
    expires_at: datetime | None = None

    @classmethod
    def of(cls, payload: bytes | None) -> KeptCallback:
        """Raises PayloadError for a row's payload that is none."""
        try:
            return msgspec.json.decode(payload or b"", type=cls)
        except (ValueError, msgspec.MsgspecError, RecursionError) as error:
            raise PayloadError(f"a kept callback cannot be read: {error}") from error


def callback_task(key: str | None, call: str) -> str:
    """In: the idempotency key that the callback came with, and what tells it from others when it has none."""
    return f"callback:{call if key is None else key}"
