"""The memory store's tables: dictionaries, and heaps with lazy removal, so that nothing is searched."""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta

from flowdsl.model.history import HistoryRow
from flowdsl.model.instance import Instance
from flowdsl.model.item import Item
from flowdsl.model.pending import PendingRow, RowKind
from flowdsl.model.record import RunRecord

Key = tuple[str, str]
NEVER = datetime.min.replace(tzinfo=UTC)


class Row:
    """A pending row, mutable. `ticket` names its one valid heap entry."""

    __slots__ = (
        "attempts",
        "created_at",
        "delivery",
        "due_at",
        "kind",
        "lapses",
        "last_error",
        "mark",
        "namespace",
        "owner",
        "payload",
        "priority",
        "receiver",
        "row_id",
        "run_id",
        "suspended",
        "ticket",
        "topic",
        "version",
        "visit",
        "workflow",
    )

    def __init__(self, namespace: str, workflow: str, row_id: str, run_id: str, kind: RowKind, receiver: str) -> None:
        self.namespace = namespace
        self.workflow = workflow
        self.row_id = row_id
        self.run_id = run_id
        self.kind = kind
        self.receiver = receiver
        self.topic = ""
        self.version = 0
        self.visit = 0
        self.due_at: datetime | None = None
        self.created_at = NEVER
        self.priority = 0
        self.owner: str | None = None
        self.delivery = 0
        self.attempts = 0
        self.lapses = 0
        self.last_error: str | None = None
        self.payload: bytes | None = None
        self.suspended: timedelta | None = None
        self.ticket = -1
        self.mark: str | None = None
        """The change that gave it back last, while nobody has claimed it since."""

    def frozen(self) -> PendingRow:
        """A copy for the caller."""
        return PendingRow(
            namespace=self.namespace,
            workflow=self.workflow,
            row_id=self.row_id,
            topic=self.topic,
            kind=self.kind,
            receiver=self.receiver,
            run_id=self.run_id,
            version=self.version,
            visit=self.visit,
            due_at=self.due_at,
            created_at=self.created_at,
            priority=self.priority,
            owner=self.owner,
            delivery=self.delivery,
            attempts=self.attempts,
            lapses=self.lapses,
            last_error=self.last_error,
            payload=self.payload,
            remaining=self.suspended,
        )


class Queue:
    """The unclaimed rows of one topic: those that wait for their time by due time, those that are due by priority and age.

    In: the tickets of all queues: a row that went on to another topic leaves void entries behind, and no ticket makes them valid.
    """

    def __init__(self, tickets: Iterator[int]) -> None:
        self._later: list[tuple[datetime, int, Row]] = []
        self._ready: list[tuple[int, datetime, int, Row]] = []
        self._tickets = tickets

    def put(self, row: Row) -> None:
        """Queue a row, or queue it anew: an earlier entry of it is void from now on."""
        row.ticket = next(self._tickets)
        if row.due_at is not None and row.owner is None:
            heapq.heappush(self._later, (row.due_at, row.ticket, row))

    def void(self, row: Row) -> None:
        row.ticket = -1

    def _ripen(self, now: datetime) -> None:
        later, ready = self._later, self._ready
        while later and later[0][0] <= now:
            due, ticket, row = heapq.heappop(later)
            if row.ticket == ticket:
                heapq.heappush(ready, (-row.priority, due, ticket, row))

    def take(self, now: datetime, limit: int) -> list[Row]:
        """Remove and return the first rows that are due."""
        self._ripen(now)
        ready = self._ready
        taken: list[Row] = []
        while ready and len(taken) < limit:
            _, _, ticket, row = heapq.heappop(ready)
            if row.ticket == ticket:
                row.ticket = -1
                taken.append(row)
        return taken

    def next_due(self) -> datetime | None:
        while self._ready and self._ready[0][3].ticket != self._ready[0][2]:
            heapq.heappop(self._ready)
        while self._later and self._later[0][2].ticket != self._later[0][1]:
            heapq.heappop(self._later)
        # among ready rows the head is first by priority, not by due time; any of them is due, so its time is in the past
        moments = [entry[1] for entry in self._ready[:1]] + [entry[0] for entry in self._later[:1]]
        return min(moments, default=None)

    def rows(self) -> Iterator[Row]:
        """Every queued row."""
        for *_, ticket, row in self._ready:
            if row.ticket == ticket:
                yield row
        for _, ticket, row in self._later:
            if row.ticket == ticket:
                yield row


class Tables:
    """All the data of one store."""

    def __init__(self) -> None:
        self.runs: dict[str, RunRecord] = {}
        self.history: dict[str, list[HistoryRow]] = {}
        self.active: dict[tuple[str, str, str], str] = {}
        self.last: dict[tuple[str, str, str], str] = {}
        self.listing: dict[str, list[tuple[datetime, str]]] = defaultdict(list)
        self.ended: dict[Key, dict[str, datetime]] = defaultdict(dict)
        """When the finished runs of a (namespace, workflow) ended, the first to end first."""
        self.bare: dict[tuple[str, str, str], set[str]] = defaultdict(set)
        """Runs without a step row that may need one, by (namespace, workflow, status)."""
        self.rows: dict[str, Row] = {}
        self.side: dict[str, set[str]] = {}
        """Row ids of a run's side rows."""
        tickets = itertools.count()
        self.queues: dict[Key, Queue] = defaultdict(lambda: Queue(tickets))
        self.owned: dict[Key, dict[str, Row]] = defaultdict(dict)
        self.items: dict[Key, dict[str, Item]] = defaultdict(dict)
        self.item_changes: dict[Key, dict[str, str]] = defaultdict(dict)
        """Which change put an item there."""
        self.item_heaps: dict[Key, list[tuple[datetime, str]]] = defaultdict(list)
        self.instances: dict[Key, tuple[Instance, float]] = {}
        self.departed: dict[Key, None] = {}

    # -- rows -----------------------------------------------------------------------------------------------------------------

    def enqueue(self, row: Row) -> None:
        """Put an unclaimed row where claims look for it."""
        self.queues[row.namespace, row.topic].put(row)

    def own(self, row: Row, owner: str) -> None:
        """`owner` has the row now; a delivery is counted."""
        row.owner = owner
        row.delivery += 1
        row.ticket = -1
        row.mark = None
        self.owned[row.namespace, owner][row.row_id] = row

    def disown(self, row: Row) -> None:
        """Nobody has the row; the caller enqueues or removes it."""
        if row.owner is not None:
            held = self.owned[row.namespace, row.owner]
            held.pop(row.row_id, None)
            if not held:
                del self.owned[row.namespace, row.owner]
            row.owner = None

    def remove(self, row: Row) -> None:
        """The row is gone."""
        self.disown(row)
        row.ticket = -1
        self.rows.pop(row.row_id, None)
        if row.kind is not RowKind.STEP:
            side = self.side.get(row.run_id)
            if side is not None:
                side.discard(row.row_id)
                if not side:
                    del self.side[row.run_id]

    def side_rows(self, run_id: str, kind: RowKind) -> list[Row]:
        return [self.rows[row_id] for row_id in self.side.get(run_id, ()) if self.rows[row_id].kind is kind]

    def forget(self, run_ids: Collection[str]) -> None:
        """Finished runs are gone, with everything of theirs."""
        spaces: set[str] = set()
        orphaned: set[tuple[str, str, str]] = set()
        for run_id in run_ids:
            record = self.runs.pop(run_id)
            spaces.add(record.namespace)
            del self.history[run_id]
            for row_id in list(self.side.get(run_id, ())):
                self.remove(self.rows[row_id])
            self.ended[record.namespace, record.workflow].pop(run_id, None)
            key = (record.namespace, record.workflow, record.foreign_id)
            if self.last.get(key) == run_id:
                del self.last[key]
                orphaned.add(key)
        for space in spaces:
            self.listing[space] = [entry for entry in self.listing[space] if entry[1] not in run_ids]
            for _, run_id in self.listing[space] if orphaned else ():
                record = self.runs[run_id]
                key = (space, record.workflow, record.foreign_id)
                if key in orphaned:
                    self.last[key] = run_id

    # -- items ----------------------------------------------------------------------------------------------------------------

    def put_item(self, item: Item, change_id: str) -> None:
        self.items[item.namespace, item.kind][item.key] = item
        self.item_changes[item.namespace, item.kind][item.key] = change_id
        if item.due_at is not None:
            heapq.heappush(self.item_heaps[item.namespace, item.kind], (item.due_at, item.key))

    def drop_item(self, namespace: str, kind: str, key: str) -> None:
        self.items[namespace, kind].pop(key, None)
        self.item_changes[namespace, kind].pop(key, None)

    def due_items(self, namespace: str, kind: str, now: datetime, limit: int) -> list[Item]:
        """Due items, oldest first; they stay where they are."""
        heap, items = self.item_heaps[namespace, kind], self.items[namespace, kind]
        found: list[Item] = []
        kept: list[tuple[datetime, str]] = []
        seen: set[str] = set()
        while heap and heap[0][0] <= now and len(found) < limit:
            due, key = heapq.heappop(heap)
            item = items.get(key)
            if item is not None and item.due_at == due and key not in seen:
                seen.add(key)
                found.append(item)
                kept.append((due, key))
        for entry in kept:
            heapq.heappush(heap, entry)
        return found

    def next_due_item(self, namespace: str, kind: str) -> datetime | None:
        heap, items = self.item_heaps[namespace, kind], self.items[namespace, kind]
        while heap:
            due, key = heap[0]
            item = items.get(key)
            if item is not None and item.due_at == due:
                return due
            heapq.heappop(heap)
        return None
