"""Adapters by URL scheme, found through entry points."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

from flowdsl.clock import Clock
from flowdsl.errors import ConfigurationError, MissingExtraError
from flowdsl.ports.event_streamer import EventStreamer
from flowdsl.ports.record_store import RecordStore
from flowdsl.ports.role_scheduler import RoleScheduler

STORES, ROLES, STREAMERS = "flowdsl.stores", "flowdsl.roles", "flowdsl.streamers"
EXTRAS = {
    "amqp": "kombu",
    "amqps": "kombu",
    "pyamqp": "kombu",
    "kombu": "kombu",
    "sqs": "sqs",
    "kafka": "kafka",
    "redis": "redis",
    "rediss": "redis",
    "etcd": "etcd",
    "etcds": "etcd",
}
"""The extra that brings what a scheme needs. The SQL databases say theirs themselves, by driver."""
EXAMPLES = {STORES: "sqlite:///orders.db", ROLES: "redis://127.0.0.1/0", STREAMERS: "amqp://guest:guest@127.0.0.1//"}


def open_store(url: str, clock: Clock | None = None) -> RecordStore:
    """The record store that a URL names. Raises ConfigurationError, MissingExtraError, StoreError."""
    store: RecordStore = _opener(STORES, url)(url, clock=clock)
    return store


def open_roles(url: str, clock: Clock | None = None) -> RoleScheduler:
    """The role scheduler that a URL names."""
    roles: RoleScheduler = _opener(ROLES, url)(url, clock=clock)
    return roles


def open_streamer(url: str, clock: Clock | None = None) -> EventStreamer:
    """The event streamer that a URL names."""
    streamer: EventStreamer = _opener(STREAMERS, url)(url, clock=clock)
    return streamer


def schemes(group: str) -> list[str]:
    """The URL schemes that installed adapters answer to."""
    return sorted({point.name for point in entry_points(group=group)})


def _opener(group: str, url: str) -> Callable[..., Any]:
    scheme, separator, _ = url.partition(":")
    known = schemes(group)
    name = scheme.partition("+")[0]
    if not separator:
        like_file = group == STORES and name not in known
        raise ConfigurationError(
            f"{url!r} is not a URL.",
            remedy=f"Write sqlite:///{url}, or a URL that begins with one of {', '.join(known)}."
            if like_file
            else f"Write one that begins with one of {', '.join(known)}. Example: {EXAMPLES[group]}",
        )
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        raise ConfigurationError(
            f"no adapter for URLs that begin with {scheme!r} ({group}).",
            remedy=f"{hint}Known: {', '.join(known)}. Example: {EXAMPLES[group]}",
        )
    (point,) = list(entry_points(group=group, name=name))[:1]
    try:
        opener: Callable[..., Any] = point.load()
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        install = f"'flowdsl[{EXTRAS[name]}]'" if name in EXTRAS else missing  # an adapter of somebody else's has no extra here
        raise MissingExtraError(f"{name} needs {missing}.", remedy=f"pip install {install}") from error
    return opener
