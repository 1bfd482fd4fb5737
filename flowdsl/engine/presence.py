"""Presence: what each live instance consumes, stored for whoever asks why nothing happens to a run."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta

import msgspec

from flowdsl.engine.control import commit_one
from flowdsl.engine.core import Core
from flowdsl.errors import StoreError
from flowdsl.model.change import PutItems
from flowdsl.model.instance import Instance
from flowdsl.model.item import ItemKey, ItemKind, NewItem

log = logging.getLogger("flowdsl.presence")
INTERVAL = timedelta(seconds=5)
LEFT_BEHIND = timedelta(minutes=5)
"""The age from which the word of an instance that is gone is removed by another."""
MOST = 500

Topics = Mapping[str, int]
"""Topic to consumers: 1 where every instance consumes, else how many of the roles it holds."""


class Presence:
    """Says what this instance consumes whenever that has changed. Nothing depends on it but explanations: the word of an instance
    counts only while its heartbeat is alive."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._next = core.clock.monotonic() + INTERVAL.total_seconds()  # what lives for a moment only need not say anything
        self._said: tuple[str, Topics] | None = None

    def step(self) -> bool:
        """Say it when it is time and has changed. False: there is never more to do right away."""
        core, now = self._core, self._core.clock.monotonic()
        if now < self._next or not core.owner:
            return False
        self._next = now + INTERVAL.total_seconds()
        topics = {lane.topic: lane.slots for lane in core.all_lanes if lane.slots}
        if self._said == (core.owner, topics):
            return False
        try:
            self._say(core.owner, topics)
        except StoreError as error:
            log.info("what this instance consumes could not be said: %s", error)
        return False

    def next_due(self) -> float | None:
        return self._next

    def leave(self) -> None:
        """Take the word back. Raises StoreError."""
        if self._said is not None:
            drop = (ItemKey(ItemKind.INSTANCE, self._said[0]),)
            self._said = None
            commit_one(self._core, PutItems(change_id=self._core.ids(), namespace=self._core.namespace, drop=drop))

    def _say(self, owner: str, topics: Topics) -> None:
        core = self._core
        item = NewItem(kind=ItemKind.INSTANCE, key=owner, body=msgspec.json.encode(topics), replace=True)
        before = self._said
        gone = [] if before is None or before[0] == owner else [before[0]]
        if before is None:
            gone += self._left_behind()
        drop = tuple(ItemKey(ItemKind.INSTANCE, key) for key in gone)
        commit_one(core, PutItems(change_id=core.ids(), namespace=core.namespace, items=(item,), drop=drop))
        self._said = (owner, topics)

    def _left_behind(self) -> list[str]:
        """Owners that are long gone and did not take their word back."""
        store, namespace = self._core.store, self._core.namespace
        living = {instance.owner for instance in store.instances(namespace)}
        before = store.now() - LEFT_BEHIND
        items = store.items(namespace, ItemKind.INSTANCE, "", MOST)
        return [item.key for item in items if item.key not in living and item.created_at < before]


def consumers(core: Core) -> Sequence[tuple[Instance, Topics | None]]:
    """What each live instance says that it consumes; None: it says nothing (older code, or it has just begun)."""
    said = {item.key: item.body for item in core.store.items(core.namespace, ItemKind.INSTANCE, "", MOST)}
    found: list[tuple[Instance, Topics | None]] = []
    for instance in core.store.instances(core.namespace):
        body = said.get(instance.owner)
        found.append((instance, None if body is None else msgspec.json.decode(body, type=dict[str, int])))
    return found
