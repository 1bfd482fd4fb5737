"""The items of the memory store, as changes put and drop them."""

from __future__ import annotations

from datetime import datetime

from flowdsl.memory.tables import Tables
from flowdsl.model.change import AddRow, CommitOutcome, CommitResult, MoveRun, PutItems, Refusal, StartRun
from flowdsl.model.item import Item, ItemKey, NewItem

APPLIED = CommitResult(CommitOutcome.APPLIED)


class Items:
    """Those of one call of `commit`."""

    def __init__(self, tables: Tables, now: datetime) -> None:
        self._t = tables
        self._now = now

    def put(self, change: PutItems) -> CommitResult:
        if (taken := self.taken(change.namespace, change.items, change.drop, change.change_id)) is not None:
            return taken
        for key in change.drop:
            if change.drop_due_only:
                item = self._t.items[change.namespace, key.kind].get(key.key)
                if item is None or item.due_at is None or item.due_at > self._now:
                    continue
            self._t.drop_item(change.namespace, key.kind, key.key)
        self.add(change)
        return APPLIED

    def taken(
        self, namespace: str, items: tuple[NewItem, ...], dropped: tuple[ItemKey, ...] = (), change_id: str = ""
    ) -> CommitResult | None:
        """The answer where one of the keys is not free; None: all are, or go with this change."""
        for item in items:
            existing = self._t.items[namespace, item.kind].get(item.key)
            if existing is not None and not item.replace and ItemKey(item.kind, item.key) not in dropped:
                if self._t.item_changes[namespace, item.kind].get(item.key) == change_id:
                    return CommitResult(CommitOutcome.ALREADY_APPLIED)
                return CommitResult(CommitOutcome.REFUSED, Refusal.KEY_TAKEN, detail=item.key, item=existing.body)
        return None

    def add(self, change: StartRun | MoveRun | AddRow | PutItems) -> None:
        """Put those that the change brings."""
        for item in change.items:
            due, kind = None if item.delay is None else self._now + item.delay, str(item.kind)
            put = Item(namespace=change.namespace, kind=kind, key=item.key, body=item.body, due_at=due, created_at=self._now)
            self._t.put_item(put, change.change_id)
