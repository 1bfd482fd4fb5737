"""A failed attempt, as an on_error hook is told of it."""

from __future__ import annotations

from msgspec import Struct


class Failure(Struct, frozen=True, gc=False):
    """Which function failed, with what, and which attempt it was."""

    name: str
    error: str
    attempt: int
