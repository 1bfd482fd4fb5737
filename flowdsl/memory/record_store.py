"""The record store in memory: one process, nothing durable, every promise of the port kept."""

from __future__ import annotations

import itertools
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from flowdsl.clock import Clock, SystemClock
from flowdsl.errors import StoreError, no_sessions
from flowdsl.memory.commit import Commit
from flowdsl.memory.tables import Row, Tables
from flowdsl.model.change import Change, CommitResult
from flowdsl.model.history import HistoryRow
from flowdsl.model.instance import Instance
from flowdsl.model.item import Item
from flowdsl.model.lapse import rest
from flowdsl.model.pending import ClaimedRow, PendingRow, RowKind, TopicDepth, TopicQuota
from flowdsl.model.query import Cursor, Order, Page, RunQuery
from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState
from flowdsl.ports.record_store import NO_TOPICS, RecordStore
from flowdsl.ports.unit_of_work import UnitOfWork, Write

Wake = Callable[[Sequence[str]], None]


class MemoryRecordStore(RecordStore):
    """Safe for threads: one lock around tables in which nothing is searched. In: the clock (default: the machine's)."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._tables = Tables()
        self._lock = threading.Lock()
        self._listeners: dict[int, tuple[str, Wake]] = {}
        self._closed = False

    def _open(self) -> Tables:
        if self._closed:
            raise StoreError("the store is closed.")
        return self._tables

    # -- changes --------------------------------------------------------------------------------------------------------------

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        woken: set[tuple[str, str]] = set()
        with self._lock:
            commit = Commit(self._open(), self._clock.now(), woken)
            results = [commit.apply(change) for change in changes]
        if woken:
            self._wake(woken)
        return results

    def commit_together(self, changes: Sequence[Change], writes: Sequence[Write] = ()) -> Sequence[CommitResult]:
        if writes:
            raise no_sessions("the memory store")
        woken: set[tuple[str, str]] = set()
        with self._lock:
            results = Commit(self._open(), self._clock.now(), woken).together(changes)
        if woken:
            self._wake(woken)
        return results

    def open_work(self) -> UnitOfWork:
        raise no_sessions("the memory store")

    def join(self, session: Any, changes: Sequence[Change], committed: Callable[[], None]) -> Sequence[CommitResult]:
        raise no_sessions("the memory store")

    def _wake(self, woken: set[tuple[str, str]]) -> None:
        for namespace, wake in list(self._listeners.values()):
            topics = [topic for space, topic in woken if space == namespace]
            if topics:
                wake(topics)

    def listen(self, namespace: str, wake: Wake) -> Callable[[], None]:
        with self._lock:
            self._open()
            number = max(self._listeners, default=0) + 1
            self._listeners[number] = (namespace, wake)
        return lambda: self._listeners.pop(number, None) and None

    # -- claims ---------------------------------------------------------------------------------------------------------------

    def claim(self, namespace: str, owner: str, quotas: Sequence[TopicQuota]) -> Sequence[ClaimedRow]:
        with self._lock:
            t = self._open()
            if not self._alive(namespace, owner):
                return []
            now = self._clock.now()
            taken: list[Row] = []
            for quota in quotas:
                queue = t.queues.get((namespace, quota.topic))
                if queue is not None:
                    taken += queue.take(now, quota.limit)
            return self._owned(taken, owner)

    def claim_rows(self, namespace: str, owner: str, row_ids: Sequence[str]) -> Sequence[ClaimedRow]:
        with self._lock:
            t = self._open()
            if not self._alive(namespace, owner):
                return []
            now = self._clock.now()
            rows = (t.rows.get(row_id) for row_id in dict.fromkeys(row_ids))
            free = [
                row
                for row in rows
                if row is not None
                and row.namespace == namespace
                and row.owner is None
                and row.due_at is not None
                and row.due_at <= now
            ]
            return self._owned(free, owner)

    def _owned(self, rows: list[Row], owner: str) -> list[ClaimedRow]:
        t = self._tables
        for row in rows:
            t.own(row, owner)
        return [ClaimedRow(row.frozen(), t.runs.get(row.run_id)) for row in rows]

    # -- heartbeats -----------------------------------------------------------------------------------------------------------

    def _alive(self, namespace: str, owner: str) -> bool:
        entry = self._tables.instances.get((namespace, owner))
        return entry is not None and entry[1] > self._clock.monotonic()

    def beat(self, namespace: str, instance: Instance, ttl: timedelta) -> bool:
        with self._lock:
            t, key = self._open(), (namespace, instance.owner)
            if key in t.instances and not self._alive(namespace, instance.owner):
                return False
            if key not in t.instances and self._departed(key):
                return False
            t.instances[key] = (instance, self._clock.monotonic() + ttl.total_seconds())
            return True

    def _departed(self, key: tuple[str, str]) -> bool:
        return key in self._tables.departed

    def leave(self, namespace: str, owner: str) -> None:
        with self._lock:
            t = self._open()
            t.instances.pop((namespace, owner), None)
            woken = self._free(namespace, [owner], lapse=False)[1]
        self._wake(woken)

    def instances(self, namespace: str) -> Sequence[Instance]:
        with self._lock:
            t, now, monotonic = self._open(), self._clock.now(), self._clock.monotonic()
            return [
                replace(instance, expires_at=now + timedelta(seconds=expires - monotonic))
                for (space, _), (instance, expires) in t.instances.items()
                if space == namespace and expires > monotonic
            ]

    def free_lapsed(self, namespace: str, dead: Sequence[str] = ()) -> int:
        with self._lock:
            t = self._open()
            gone = {
                owner for space, owner in t.instances if space == namespace and (owner in dead or not self._alive(space, owner))
            }
            for owner in gone:
                del t.instances[namespace, owner]
                t.departed[namespace, owner] = None
            while len(t.departed) > KEPT_DEPARTED:
                t.departed.pop(next(iter(t.departed)))
            orphans = [owner for space, owner in t.owned if space == namespace and (space, owner) not in t.instances]
            count, woken = self._free(namespace, orphans, lapse=True)
        self._wake(woken)
        return count

    def _free(self, namespace: str, owners: Sequence[str], *, lapse: bool) -> tuple[int, set[tuple[str, str]]]:
        t, now = self._tables, self._clock.now()
        woken: set[tuple[str, str]] = set()
        count = 0
        for owner in owners:
            for row in list(t.owned.get((namespace, owner), {}).values()):
                t.disown(row)
                if lapse:
                    row.lapses += 1
                    row.due_at = now + rest(row.row_id, row.lapses)
                t.enqueue(row)
                woken.add((namespace, row.topic))
                count += 1
        return count, woken

    # -- questions ------------------------------------------------------------------------------------------------------------

    def lookup(self, run_ids: Sequence[str]) -> Mapping[str, RunRecord]:
        with self._lock:
            runs = self._open().runs
            return {run_id: runs[run_id] for run_id in run_ids if run_id in runs}

    def latest(self, namespace: str, workflow: str, foreign_id: str) -> RunRecord | None:
        with self._lock:
            t, key = self._open(), (namespace, workflow, foreign_id)
            run_id = t.active.get(key) or t.last.get(key)
            return None if run_id is None else t.runs[run_id]

    def runs(self, query: RunQuery) -> Page:
        with self._lock:
            t = self._open()
            listing = t.listing[query.namespace]
            newest = query.order is Order.NEWEST_FIRST
            low, high = 0, len(listing)
            if query.created_after is not None:
                low = bisect_right(listing, (query.created_after, "\U0010ffff"))
            if query.created_before is not None:
                high = bisect_left(listing, (query.created_before, ""))
            if query.after is not None:
                place = (query.after.created_at, query.after.run_id)
                if newest:
                    high = min(high, bisect_left(listing, place))
                else:
                    low = max(low, bisect_right(listing, place))
            indexes = range(high - 1, low - 1, -1) if newest else range(low, high)
            found: list[RunRecord] = []
            for index in indexes:
                record = t.runs[listing[index][1]]
                if _matches(query, record):
                    if len(found) == query.limit:
                        last = found[-1]
                        return Page(found, Cursor(last.created_at, last.run_id))
                    found.append(record)
            return Page(found, None)

    def history(self, run_id: str) -> Sequence[HistoryRow]:
        with self._lock:
            return list(self._open().history.get(run_id, ()))

    def rows(self, run_ids: Sequence[str]) -> Sequence[PendingRow]:
        with self._lock:
            t = self._open()
            names = [row_id for run_id in dict.fromkeys(run_ids) for row_id in (run_id, *t.side.get(run_id, ()))]
            return [t.rows[row_id].frozen() for row_id in sorted(names) if row_id in t.rows]

    def next_due(self, namespace: str, topics: Sequence[str]) -> datetime | None:
        with self._lock:
            queues = (self._open().queues.get((namespace, topic)) for topic in topics)
            moments = (queue.next_due() for queue in queues if queue is not None)
            return min((moment for moment in moments if moment is not None), default=None)

    def depths(self, namespace: str, topics: Sequence[str]) -> Mapping[str, TopicDepth]:
        with self._lock:
            t, now = self._open(), self._clock.now()
            depths: dict[str, TopicDepth] = {}
            for topic in topics:
                queue = t.queues.get((namespace, topic))
                dues = [row.due_at for row in queue.rows() if row.due_at is not None] if queue is not None else []
                due = [moment for moment in dues if moment <= now]
                oldest = now - min(due) if due else timedelta(0)
                depths[topic] = TopicDepth(len(due), oldest, len(dues) - len(due))
            return depths

    def unattended(
        self,
        namespace: str,
        workflow: str,
        statuses: Sequence[str],
        after: str,
        limit: int,
        kind: RowKind = RowKind.STEP,
        topics: Mapping[str, Sequence[str]] = NO_TOPICS,
    ) -> Sequence[RunRecord]:
        with self._lock:
            t, wanted = self._open(), set(statuses)
            if kind is RowKind.STEP:
                bare = (t.bare.get((namespace, workflow, status), ()) for status in wanted)
                found = [run_id for run_ids in bare for run_id in run_ids if run_id > after]
            else:
                active = (run_id for (space, name, _), run_id in t.active.items() if (space, name) == (namespace, workflow))
                found = [run_id for run_id in active if run_id > after and self._lacks(t.runs[run_id], wanted, kind, topics)]
            return [t.runs[run_id] for run_id in sorted(found)[:limit]]

    def _lacks(self, record: RunRecord, statuses: set[str], kind: RowKind, topics: Mapping[str, Sequence[str]]) -> bool:
        if record.state.stopped or record.status not in statuses:
            return False
        there = {row.topic for row in self._tables.side_rows(record.run_id, kind)}
        wanted = topics.get(record.status)
        return not there if wanted is None else not there.issuperset(wanted)

    def purge(
        self,
        namespace: str,
        workflow: str,
        states: Sequence[RunState],
        age: timedelta,
        limit: int,
        unless_waiting: Sequence[str] = (),
    ) -> int:
        with self._lock:
            t, before = self._open(), self._clock.now() - age
            ended = t.ended[namespace, workflow]
            old = itertools.takewhile(lambda run_id: ended[run_id] < before, ended)
            done = (run_id for run_id in old if t.runs[run_id].state in states and not self._waits(run_id, unless_waiting))
            gone = set(itertools.islice(done, limit))
            t.forget(gone)
            return len(gone)

    def _waits(self, run_id: str, topics: Sequence[str]) -> bool:
        t = self._tables
        return any(t.rows[row_id].topic in topics for row_id in t.side.get(run_id, ()))

    # -- items ----------------------------------------------------------------------------------------------------------------

    def item(self, namespace: str, kind: str, key: str) -> Item | None:
        with self._lock:
            return self._open().items[namespace, str(kind)].get(key)

    def items(self, namespace: str, kind: str, after: str = "", limit: int = 100) -> Sequence[Item]:
        with self._lock:
            items = self._open().items[namespace, str(kind)]
            return [items[key] for key in sorted(key for key in items if key > after)[:limit]]

    def due_items(self, namespace: str, kind: str, limit: int) -> Sequence[Item]:
        with self._lock:
            return self._open().due_items(namespace, str(kind), self._clock.now(), limit)

    def next_due_item(self, namespace: str, kinds: Sequence[str]) -> datetime | None:
        with self._lock:
            t = self._open()
            moments = (t.next_due_item(namespace, str(kind)) for kind in kinds)
            return min((moment for moment in moments if moment is not None), default=None)

    def now(self) -> datetime:
        return self._clock.now()

    def close(self) -> None:
        self._closed = True
        self._listeners.clear()


KEPT_DEPARTED = 10_000
"""Owners whose heartbeat was removed are remembered, so that a late beat is told so; the oldest are forgotten."""

_named: dict[str, MemoryRecordStore] = {}


def open_store(url: str, *, clock: Clock | None = None) -> MemoryRecordStore:
    """`memory://` is a store of its own; `memory://name` is shared by everybody in this process who names it."""
    name = url.partition("://")[2]
    if not name:
        return MemoryRecordStore(clock)
    store = _named.get(name)
    if store is None or store._closed:
        store = _named[name] = MemoryRecordStore(clock)
    return store


def _matches(query: RunQuery, record: RunRecord) -> bool:
    return (
        (not query.workflows or record.workflow in query.workflows)
        and (not query.foreign_ids or record.foreign_id in query.foreign_ids)
        and (not query.statuses or record.status in query.statuses)
        and (not query.states or record.state in query.states)
    )
