"""How often an event was tried, kept across processes: so that one that ends every process which handles it is given up too."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import timedelta

import msgspec
from msgspec import Struct

from flowdsl.engine.connector_engine import digest
from flowdsl.engine.control import commit_one
from flowdsl.engine.core import Core
from flowdsl.errors import StoreError
from flowdsl.model.change import PutItems
from flowdsl.model.event import ConnectorEvent
from flowdsl.model.item import ItemKey, ItemKind, NewItem

log = logging.getLogger("flowdsl.connector")


class Attempts(Struct, frozen=True):
    """What is known of an event that has not succeeded."""

    count: int
    """Failures, and tries whose end nobody has seen."""
    open: bool = False
    """The end of the last one was not seen."""
    error: str = ""
    wait: timedelta = timedelta(0)
    """Until the next try, when it was read."""


class AttemptBook:
    """Written after a failure, and before the try of an event that may have been in somebody's hands before. An event that comes
    for the first time and succeeds costs nothing. What cannot be written is only logged: the event is then tried more often."""

    def __init__(self, core: Core, workflow: str, connector: str) -> None:
        self._core = core
        self._place = (workflow, connector)

    def read(self, event: ConnectorEvent) -> Attempts | None:
        """None: nothing is known. Raises StoreError."""
        core = self._core
        item = core.store.item(core.namespace, ItemKind.CONNECTOR_ATTEMPT, self._key(event))
        if item is None:
            return None
        found = msgspec.json.decode(item.body, type=Attempts)
        due = item.due_at
        wait = timedelta(0) if due is None else max(timedelta(0), due - core.store.now())
        return msgspec.structs.replace(found, wait=wait)

    def write(self, attempts: Mapping[str, Attempts], events: Iterable[ConnectorEvent]) -> None:
        """Keep these, in one transaction. In: by event id; events that are not in it are forgotten."""
        items: list[NewItem] = []
        drop: list[ItemKey] = []
        for event in events:
            key, known = self._key(event), attempts.get(event.event_id)
            if known is None:
                drop.append(ItemKey(ItemKind.CONNECTOR_ATTEMPT, key))
            else:
                body = msgspec.json.encode(msgspec.structs.replace(known, wait=timedelta(0)))
                items.append(NewItem(kind=ItemKind.CONNECTOR_ATTEMPT, key=key, body=body, delay=known.wait or None, replace=True))
        if not items and not drop:
            return
        core = self._core
        change = PutItems(change_id=core.ids(), namespace=core.namespace, items=tuple(items), drop=tuple(drop))
        try:
            commit_one(core, change)
        except StoreError as error:
            log.warning("the attempts at events of %s could not be kept: %s", self._place[1], error)

    def key(self, event: ConnectorEvent) -> ItemKey:
        """To drop with what ends the event."""
        return ItemKey(ItemKind.CONNECTOR_ATTEMPT, self._key(event))

    def _key(self, event: ConnectorEvent) -> str:
        return digest(*self._place, event.event_id)
