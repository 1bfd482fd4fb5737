"""A failed attempt, as hooks are told of it: on_error of each, on_pause of the one that paused the run."""

from __future__ import annotations

from msgspec import Struct


class Failure(Struct, frozen=True, gc=False):
    """Which function failed, with what, and which attempt it was."""

    name: str
    error: str
    attempt: int
