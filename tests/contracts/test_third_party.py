"""A third party's adapter is held to the same contract: here a store that counts what passes through it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.model.change import Change, CommitResult
from flowdsl.model.history import HistoryRow
from flowdsl.model.instance import Instance
from flowdsl.model.item import Item
from flowdsl.model.pending import ClaimedRow, PendingRow, RowKind, TopicDepth, TopicQuota
from flowdsl.model.query import Page, RunQuery
from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState
from flowdsl.ports.record_store import NO_TOPICS, RecordStore
from flowdsl.ports.unit_of_work import UnitOfWork, Write
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.contracts import RecordStoreContract


class CountingStore(RecordStore):
    """Somebody else's store: it stands on another and counts the calls."""

    def __init__(self, inner: RecordStore) -> None:
        self.inner = inner
        self.calls: dict[str, int] = {}

    def _count(self, name: str) -> Any:
        self.calls[name] = self.calls.get(name, 0) + 1
        return getattr(self.inner, name)

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        answer: Sequence[CommitResult] = self._count("commit")(changes)
        return answer

    def commit_together(self, changes: Sequence[Change], writes: Sequence[Write] = ()) -> Sequence[CommitResult]:
        return self.inner.commit_together(changes, writes)

    def open_work(self) -> UnitOfWork:
        return self.inner.open_work()

    def join(self, session: Any, changes: Sequence[Change], committed: Callable[[], None]) -> Sequence[CommitResult]:
        return self.inner.join(session, changes, committed)

    def claim(self, namespace: str, owner: str, quotas: Sequence[TopicQuota]) -> Sequence[ClaimedRow]:
        answer: Sequence[ClaimedRow] = self._count("claim")(namespace, owner, quotas)
        return answer

    def claim_rows(self, namespace: str, owner: str, row_ids: Sequence[str]) -> Sequence[ClaimedRow]:
        answer: Sequence[ClaimedRow] = self._count("claim_rows")(namespace, owner, row_ids)
        return answer

    def beat(self, namespace: str, instance: Instance, ttl: timedelta) -> bool:
        return bool(self._count("beat")(namespace, instance, ttl))

    def leave(self, namespace: str, owner: str) -> None:
        self._count("leave")(namespace, owner)

    def instances(self, namespace: str) -> Sequence[Instance]:
        return self.inner.instances(namespace)

    def free_lapsed(self, namespace: str, dead: Sequence[str] = ()) -> int:
        return self.inner.free_lapsed(namespace, dead)

    def lookup(self, run_ids: Sequence[str]) -> Mapping[str, RunRecord]:
        return self.inner.lookup(run_ids)

    def latest(self, namespace: str, workflow: str, foreign_id: str) -> RunRecord | None:
        return self.inner.latest(namespace, workflow, foreign_id)

    def runs(self, query: RunQuery) -> Page:
        return self.inner.runs(query)

    def history(self, run_id: str) -> Sequence[HistoryRow]:
        return self.inner.history(run_id)

    def rows(self, run_ids: Sequence[str]) -> Sequence[PendingRow]:
        return self.inner.rows(run_ids)

    def next_due(self, namespace: str, topics: Sequence[str]) -> datetime | None:
        return self.inner.next_due(namespace, topics)

    def depths(self, namespace: str, topics: Sequence[str]) -> Mapping[str, TopicDepth]:
        return self.inner.depths(namespace, topics)

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
        return self.inner.unattended(namespace, workflow, statuses, after, limit, kind, topics)

    def purge(
        self,
        namespace: str,
        workflow: str,
        states: Sequence[RunState],
        age: timedelta,
        limit: int,
        unless_waiting: Sequence[str] = (),
    ) -> int:
        return self.inner.purge(namespace, workflow, states, age, limit, unless_waiting)

    def item(self, namespace: str, kind: str, key: str) -> Item | None:
        return self.inner.item(namespace, kind, key)

    def items(self, namespace: str, kind: str, after: str = "", limit: int = 100) -> Sequence[Item]:
        return self.inner.items(namespace, kind, after, limit)

    def due_items(self, namespace: str, kind: str, limit: int) -> Sequence[Item]:
        return self.inner.due_items(namespace, kind, limit)

    def next_due_item(self, namespace: str, kinds: Sequence[str]) -> datetime | None:
        return self.inner.next_due_item(namespace, kinds)

    def now(self) -> datetime:
        return self.inner.now()

    def listen(self, namespace: str, wake: Callable[[Sequence[str]], None]) -> Callable[[], None]:
        return self.inner.listen(namespace, wake)

    def close(self) -> None:
        self.inner.close()


class TestCountingStore(RecordStoreContract):
    @pytest.fixture
    def store_factory(self, clock: ManualClock) -> Callable[[], CountingStore]:
        tables = MemoryRecordStore(clock)

        def another() -> CountingStore:
            handle = MemoryRecordStore(clock)
            handle.__dict__.update(tables.__dict__)
            return CountingStore(handle)

        return another


def test_a_store_that_forgets_a_method_cannot_be_made() -> None:
    class Forgetful(CountingStore):
        commit = RecordStore.commit

    with pytest.raises(TypeError, match="abstract"):
        Forgetful(MemoryRecordStore())
