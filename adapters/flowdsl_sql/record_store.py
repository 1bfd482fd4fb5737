"""The record store in an SQL database: forwards to the rooms beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from flowdsl.clock import Clock
from flowdsl.errors import ConfigurationError
from flowdsl.model.change import Change, CommitResult
from flowdsl.model.history import HistoryRow
from flowdsl.model.instance import Instance
from flowdsl.model.item import Item
from flowdsl.model.pending import ClaimedRow, PendingRow, RowKind, TopicDepth, TopicQuota
from flowdsl.model.query import Page, RunQuery
from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState
from flowdsl.ports.record_store import NO_TOPICS
from flowdsl.ports.unit_of_work import Write
from flowdsl_sql import schema
from flowdsl_sql.claims import Claims
from flowdsl_sql.commit import Commits
from flowdsl_sql.connect import parse
from flowdsl_sql.database import Database
from flowdsl_sql.errors import translated
from flowdsl_sql.instances import Instances
from flowdsl_sql.joining import join
from flowdsl_sql.listeners import Listeners
from flowdsl_sql.purge import purge
from flowdsl_sql.queries import Queries
from flowdsl_sql.unit_of_work import SqlUnitOfWork, together, with_writes
from flowdsl_sql.watchers import watcher_for


def open_store(url: str, *, clock: Clock | None = None, migrate: bool | None = None) -> SqlRecordStore:
    """The record store at a database URL. In: a clock to use instead of the database's (tests); `migrate`: make or upgrade the
    tables (None: on SQLite yes, on a server no). Raises ConfigurationError, MissingExtraError, StoreUnavailableError,
    SchemaError."""
    database = Database(parse(url), clock)
    try:
        with translated(database.where):
            database.prepare()
            schema.make_ready(database, migrate)
    except BaseException:
        database.close()
        raise
    return SqlRecordStore(database)


class SqlRecordStore:
    """Implements `flowdsl.ports.record_store.RecordStore`; the contract is there."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # SQLite has one writer; a server works on one group while this process prepares the next.
        self.parallel_commits = 1 if database.dialect.name == "sqlite" else 2
        self._listeners = Listeners(lambda: watcher_for(database, self._listeners))
        self._commits = Commits(database)
        self._claims = Claims(database, self.commit)
        self._instances = Instances(database)
        self._queries = Queries(database)

    def __repr__(self) -> str:
        return f"SqlRecordStore({self._database.where!r})"

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        results, wakes = self._commits.commit(changes)
        if wakes:
            self._listeners.wake(wakes)
        return results

    def commit_together(self, changes: Sequence[Change], writes: Sequence[Write] = ()) -> Sequence[CommitResult]:
        if writes:
            return with_writes(self._database, changes, writes, self._listeners.wake)
        results, wakes = together(self._database, changes)
        if wakes:
            self._listeners.wake(wakes)
        return results

    def open_work(self) -> SqlUnitOfWork:
        if self._database.dialect.name == "sqlite":
            raise ConfigurationError(
                "SQLite has one writer: a session that is open while a step runs would make everybody wait.",
                remedy="Use run.in_transaction(fn): it is called when the transition commits.",
            )
        return SqlUnitOfWork(self._database, self._listeners.wake)

    def join(self, session: Any, changes: Sequence[Change], committed: Callable[[], None]) -> Sequence[CommitResult]:
        return join(self._database, session, changes, self._listeners.wake, committed)

    def claim(self, namespace: str, owner: str, quotas: Sequence[TopicQuota]) -> Sequence[ClaimedRow]:
        return self._claims.claim(namespace, owner, quotas)

    def claim_rows(self, namespace: str, owner: str, row_ids: Sequence[str]) -> Sequence[ClaimedRow]:
        return self._claims.claim_rows(namespace, owner, row_ids)

    def beat(self, namespace: str, instance: Instance, ttl: timedelta) -> bool:
        return self._instances.beat(namespace, instance, ttl)

    def leave(self, namespace: str, owner: str) -> None:
        self._freed(namespace, self._instances.leave(namespace, owner))

    def instances(self, namespace: str) -> Sequence[Instance]:
        return self._instances.instances(namespace)

    def free_lapsed(self, namespace: str, dead: Sequence[str] = ()) -> int:
        count, topics = self._instances.free_lapsed(namespace, dead)
        self._freed(namespace, topics)
        return count

    def _freed(self, namespace: str, topics: set[str]) -> None:
        if topics:
            self._listeners.wake({(namespace, topic) for topic in topics})

    def lookup(self, run_ids: Sequence[str]) -> Mapping[str, RunRecord]:
        return self._queries.lookup(run_ids)

    def latest(self, namespace: str, workflow: str, foreign_id: str) -> RunRecord | None:
        return self._queries.latest(namespace, workflow, foreign_id)

    def runs(self, query: RunQuery) -> Page:
        return self._queries.runs(query)

    def history(self, run_id: str) -> Sequence[HistoryRow]:
        return self._queries.history(run_id)

    def rows(self, run_ids: Sequence[str]) -> Sequence[PendingRow]:
        return self._queries.rows(run_ids)

    def next_due(self, namespace: str, topics: Sequence[str]) -> datetime | None:
        return self._queries.next_due(namespace, topics)

    def depths(self, namespace: str, topics: Sequence[str]) -> Mapping[str, TopicDepth]:
        return self._queries.depths(namespace, topics)

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
        return self._queries.unattended(namespace, workflow, statuses, after, limit, kind, topics)

    def purge(
        self,
        namespace: str,
        workflow: str,
        states: Sequence[RunState],
        age: timedelta,
        limit: int,
        unless_waiting: Sequence[str] = (),
    ) -> int:
        return purge(self._database, namespace, workflow, states, age, limit, unless_waiting)

    def item(self, namespace: str, kind: str, key: str) -> Item | None:
        return self._queries.item(namespace, kind, key)

    def items(self, namespace: str, kind: str, after: str = "", limit: int = 100) -> Sequence[Item]:
        return self._queries.items(namespace, kind, after, limit)

    def due_items(self, namespace: str, kind: str, limit: int) -> Sequence[Item]:
        return self._queries.due_items(namespace, kind, limit)

    def next_due_item(self, namespace: str, kinds: Sequence[str]) -> datetime | None:
        return self._queries.next_due_item(namespace, kinds)

    def now(self) -> datetime:
        return self._queries.now()

    def listen(self, namespace: str, wake: Callable[[Sequence[str]], None]) -> Callable[[], None]:
        self._database.check_open()
        return self._listeners.add(namespace, wake)

    def close(self) -> None:
        self._listeners.close()
        self._database.close()
