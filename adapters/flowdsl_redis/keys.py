"""The names of the streamer's keys and fields."""

from __future__ import annotations

from flowdsl_redis.link import hash_tag

FIELD = b"e"
"""The one field of an entry: the event as JSON."""


def stream(prefix: str, topic: str) -> str:
    """The stream of a topic."""
    return f"{hash_tag(prefix)}stream:{topic}"
