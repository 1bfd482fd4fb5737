"""The book of schedules: how they are read from the store and changed there."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from flowdsl.dsl.codec import Leftover, ObjectCodec
from flowdsl.engine.control import commit_one
from flowdsl.engine.core import Core
from flowdsl.errors import PayloadError
from flowdsl.model.change import PutItems
from flowdsl.model.item import Item, ItemKey, ItemKind, NewItem
from flowdsl.model.record import Payload
from flowdsl.model.schedule import Event, JournalEntry, Schedule, entry_key, schedule_kind, slot_kind

log = logging.getLogger("flowdsl.schedules")
PAGE = 500
KEEP_AT_LEAST = timedelta(days=1)
KEEP_AT_MOST = timedelta(days=400)
KEEP_SLOTS = 20
"""What became of a slot is told for as long as so many slots take, within these bounds; what people did, for the longest."""
FORGET_REMOVED = timedelta(days=90)
BY_PEOPLE = frozenset({Event.CREATED, Event.CHANGED, Event.PAUSED, Event.RESUMED, Event.REMOVED, Event.TRIGGERED})

_codec = ObjectCodec(Schedule)
_entries = msgspec.json.Decoder(JournalEntry)


class Kept(NamedTuple):
    """A schedule, and what newer code stored with it that this code does not know."""

    schedule: Schedule
    leftover: Leftover | None = None


class Change(NamedTuple):
    """The items that change a schedule. Whoever brings them second has no effect."""

    items: tuple[NewItem, ...]
    drop: tuple[ItemKey, ...] = ()


class ScheduleBook:
    """Reads and changes. Safe for any number of threads and processes: changes are compared and set on the revision."""

    def __init__(self, core: Core) -> None:
        self._core = core

    # -- reading --------------------------------------------------------------------------------------------------------------

    def get(self, workflow: str, name: str) -> Kept | None:
        """One schedule, also if it was removed. Raises StoreError, PayloadError."""
        item = self._core.store.item(self._core.namespace, schedule_kind(workflow), name)
        return None if item is None else read(item)

    def due(self, workflow: str, limit: int) -> Sequence[Item]:
        """The items of schedules that are due, oldest first. Raises StoreError."""
        return self._core.store.due_items(self._core.namespace, schedule_kind(workflow), limit)

    def all(self, workflow: str | None = None) -> Iterator[Kept]:
        """Every schedule by workflow and name, removed ones too. Raises StoreError."""
        names = [workflow] if workflow is not None else [item.key for item in self._pages(ItemKind.SCHEDULED_WORKFLOW, "")]
        for name in names:
            for item in self._pages(schedule_kind(name), ""):
                try:
                    yield read(item)
                except PayloadError as error:
                    log.warning("schedule %s/%s is left out, it was stored by newer code: %s", name, item.key, error)

    def journal(self, schedule: Schedule) -> list[JournalEntry]:
        """What became of its slots and who changed it, oldest first. Raises StoreError."""
        found: list[JournalEntry] = []
        for item in self._pages(slot_kind(schedule.workflow), f"{schedule.id}/"):
            if not item.key.startswith(f"{schedule.id}/"):
                break
            found.append(_entries.decode(item.body))
        return found

    def _pages(self, kind: str, after: str) -> Iterator[Item]:
        core = self._core
        while True:
            items = core.store.items(core.namespace, kind, after, PAGE)
            yield from items
            if len(items) < PAGE:
                return
            after = items[-1].key

    # -- changing -------------------------------------------------------------------------------------------------------------

    def change(
        self, before: Kept | None, after: Schedule, entry: JournalEntry, now: datetime, *, due: datetime | None = None
    ) -> Change:
        """What makes `after` of `before` (None: there is none yet). In: the journal entry, of which revision and name are filled
        in; the store's time; `due`, when to look at it again (default: at its slot)."""
        known = before.schedule if before is not None else None
        after = replace(after, revision=known.revision + 1 if known is not None else 1)
        moment = due if due is not None else after.slot
        if after.removed is not None:
            moment = now + FORGET_REMOVED
        elif after.paused is not None:
            moment = None
        body = _codec.encode(after, before.leftover if before is not None else None).data
        entry = replace(entry, schedule=after.name, revision=after.revision)
        items = [
            NewItem(
                kind=slot_kind(after.workflow),
                key=entry_key(after.id, after.revision),
                body=msgspec.json.encode(entry),
                delay=_kept_for(after, entry),
            ),
            NewItem(
                kind=schedule_kind(after.workflow),
                key=after.name,
                body=body,
                delay=None if moment is None else max(timedelta(0), moment - now),
                replace=known is not None,
            ),
        ]
        if known is None:
            items.append(NewItem(kind=ItemKind.SCHEDULED_WORKFLOW, key=after.workflow, replace=True))
        return Change(tuple(items))

    def noted(self, workflow: str, name: str, entry: JournalEntry) -> tuple[NewItem, ...] | None:
        """What puts an entry into the journal and leaves the schedule, and when it is looked at, as it is. None: there is no such
        schedule. Raises StoreError, PayloadError."""
        item = self._core.store.item(self._core.namespace, schedule_kind(workflow), name)
        kept = None if item is None else read(item)
        if item is None or kept is None or kept.schedule.removed is not None:
            return None
        return self.change(kept, kept.schedule, entry, self._core.store.now(), due=item.due_at).items

    def forget(self, kept: Kept, now: datetime) -> Change:
        """What takes a removed schedule out of the book."""
        known = kept.schedule
        revision = known.revision + 1
        entry = JournalEntry(schedule=known.name, revision=revision, event=Event.REMOVED, at=now, by=known.changed.by)
        item = NewItem(
            kind=slot_kind(known.workflow),
            key=entry_key(known.id, revision),
            body=msgspec.json.encode(entry),
            delay=KEEP_AT_LEAST,
        )
        return Change((item,), (ItemKey(schedule_kind(known.workflow), known.name),))

    def put(self, change: Change) -> bool:
        """False: somebody else changed the schedule first, and nothing was stored. Raises StoreError."""
        core = self._core
        put = PutItems(change_id=core.ids(), namespace=core.namespace, items=change.items, drop=change.drop)
        return commit_one(core, put).applied

    def drop_old_entries(self, workflow: str, limit: int) -> int:
        """Forget journal entries whose time is over. Out: how many. Raises StoreError."""
        core = self._core
        old = core.store.due_items(core.namespace, slot_kind(workflow), limit)
        if old:
            drop = tuple(ItemKey(item.kind, item.key) for item in old)
            commit_one(core, PutItems(change_id=core.ids(), namespace=core.namespace, drop=drop))
        return len(old)


def read(item: Item) -> Kept:
    """Raises PayloadError for a schedule of newer code that this code cannot read."""
    decoded = _codec.decode(Payload(item.body))
    return Kept(decoded.object, decoded.leftover)


def _kept_for(schedule: Schedule, entry: JournalEntry) -> timedelta:
    if entry.event in BY_PEOPLE:
        return KEEP_AT_MOST
    if schedule.slot is None or entry.slot is None:
        return KEEP_AT_LEAST
    return min(KEEP_AT_MOST, max(KEEP_AT_LEAST, (schedule.slot - entry.slot) * KEEP_SLOTS))
