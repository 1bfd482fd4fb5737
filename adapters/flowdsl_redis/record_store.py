"""The record store in Redis."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from flowdsl.clock import Clock
from flowdsl.errors import StoreError, no_sessions
from flowdsl.model.change import Change, CommitResult
from flowdsl.model.history import HistoryRow
from flowdsl.model.instance import Instance
from flowdsl.model.item import Item
from flowdsl.model.limits import unfit
from flowdsl.model.pending import ClaimedRow, PendingRow, RowKind, TopicDepth, TopicQuota
from flowdsl.model.query import Page, RunQuery
from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState
from flowdsl.ports.record_store import NO_TOPICS, RecordStore
from flowdsl.ports.unit_of_work import UnitOfWork, Write
from flowdsl_redis.change_encoding import ChangeEncoder, result
from flowdsl_redis.link import PREFIX, Address, parse
from flowdsl_redis.listening import Ear
from flowdsl_redis.pages import page
from flowdsl_redis.server import Server
from flowdsl_redis.store_encoding import (
    MICROSECOND,
    history_row,
    live_instance,
    packed_instance,
    pending_row,
    to_datetime,
    to_micros,
)
from flowdsl_redis.stored_items import StoredItems
from flowdsl_redis.unattended import Unattended
from flowdsl_redis.unreadable import known_run, readable

log = logging.getLogger("flowdsl.redis")
GROUP = 200
"""Changes a script call at most: Redis does nothing else meanwhile."""
PURGED = 100
"""Runs that one script deletes at most, for the same reason."""
WALKED = 200
"""Runs that one script looks at, at most, in search of those that older code ended."""
ROUNDS = 100
"""Scripts of one purge; the next one goes on where it stopped."""
FRUITLESS = 50
"""Scripts of one purge that delete nothing, at most: the search goes on with the next."""
LOST = (b"LOST", b"", b"", -1, -1, b"", b"", -1, b"", b"")
BAD_DATA = (b"REFUSED", b"BAD_DATA", b"", -1, -1)


class RedisRecordStore(RecordStore):
    """Runs, rows, history and items in one Redis; each commit is one script, which nothing comes between.

    As durable as the server: with `appendonly yes` and `appendfsync always` an answer means that it is on disk; with `everysec`
    a crash of the machine loses up to a second, and what was lost in the middle of a run is done again or not at all. A replica
    that takes over may lack the last moments in any case. The PostgreSQL, MariaDB and SQLite stores have no such gap.

    In: where Redis is; `prefix` of all keys; a clock to use instead of the server's (tests).
    """

    parallel_commits = 2

    def __init__(self, address: Address, *, prefix: str = PREFIX, clock: Clock | None = None) -> None:
        self._server = Server(address, prefix, clock)
        self._items = StoredItems(self._server)
        self._unattended = Unattended(self._server)
        self._name = uuid.uuid4().hex
        self._ear = Ear(self._server.client, self._server.prefix, self._name)
        self._doubtful: dict[tuple[str, str], list[str]] = {}
        """By namespace and owner: the marks of claims that nobody had an answer to. They may have taken rows, which the owner's
        next claim brings."""
        self._guard = threading.Lock()
        self._passed: dict[tuple[str, str, tuple[RunState, ...]], dict[int, int]] = {}
        """Where a purge that met very many runs which stay goes on: how many of each state it has passed over."""

    def __repr__(self) -> str:
        return f"RedisRecordStore({self._server.shown!r})"

    # -- changes --------------------------------------------------------------------------------------------------------------

    def commit(self, changes: Sequence[Change]) -> Sequence[CommitResult]:
        results: list[CommitResult] = []
        for begin in range(0, len(changes), GROUP):
            results += self._commit(changes[begin : begin + GROUP])
        return results

    def _commit(self, changes: Sequence[Change]) -> list[CommitResult]:
        encoder = ChangeEncoder()
        results: dict[int, CommitResult] = {}
        sent: list[int] = []
        for number, change in enumerate(changes):
            wrong = unfit(change)
            if wrong is None:
                encoder.add(change)
                sent.append(number)
            else:
                results[number] = result((*BAD_DATA, wrong.encode(), b"", -1, b"", b""))
        if sent:
            answers, woken = self._server.script("committing", "commit", self._name, encoder.packed(), *encoder.blobs)
            results.update(zip(sent, map(result, answers), strict=True))
            self._wake(woken)
        return [results[number] for number in range(len(changes))]

    def commit_together(self, changes: Sequence[Change], writes: Sequence[Write] = ()) -> Sequence[CommitResult]:
        if writes:
            raise no_sessions("Redis")
        wrong = [unfit(change) for change in changes]
        if any(wrong):
            return [result(LOST if why is None else (*BAD_DATA, why.encode(), b"", -1, b"", b"")) for why in wrong]
        encoder = ChangeEncoder()
        for change in changes:
            encoder.add(change)
        packed = encoder.packed(together=True)
        answers, woken = self._server.script("committing", "commit", self._name, packed, *encoder.blobs)
        self._wake(woken)
        return [result(answer) for answer in answers]

    def open_work(self) -> UnitOfWork:
        raise no_sessions("Redis")

    def join(self, session: Any, changes: Sequence[Change], committed: Callable[[], None]) -> Sequence[CommitResult]:
        raise no_sessions("Redis")

    # -- claims ---------------------------------------------------------------------------------------------------------------

    def claim(self, namespace: str, owner: str, quotas: Sequence[TopicQuota]) -> Sequence[ClaimedRow]:
        limits = {quota.topic: quota.limit for quota in quotas if quota.limit > 0}
        if not limits:
            return []
        return self._claimed(namespace, owner, "topics", [part for entry in limits.items() for part in entry])

    def claim_rows(self, namespace: str, owner: str, row_ids: Sequence[str]) -> Sequence[ClaimedRow]:
        if not row_ids:
            return []
        return self._claimed(namespace, owner, "rows", list(dict.fromkeys(row_ids)))

    def _claimed(self, namespace: str, owner: str, how: str, what: Sequence[str | int]) -> Sequence[ClaimedRow]:
        mark = uuid.uuid4().hex
        with self._guard:  # for this claim only: of two at once each would bring the same rows
            doubtful = self._doubtful.pop((namespace, owner), [])

        def once() -> Any:
            marks = ",".join(doubtful)
            doubtful.append(mark)
            return self._server.scripts.run("claim", self._server.moment(), namespace, owner, mark, marks, how, *what)

        try:
            found = self._server.attempt("claiming", once)
        except BaseException:
            with self._guard:
                self._doubtful.setdefault((namespace, owner), []).extend(dict.fromkeys(doubtful))
            raise
        claimed, put_off = readable(owner, zip(found[::4], found[1::4], found[2::4], found[3::4], strict=True))
        if put_off:
            try:
                self.commit(put_off)
            except StoreError as error:  # they stay ours, and harm nobody, until this process is gone
                log.warning("%d rows could not be put off: %s", len(put_off), error)
        return claimed

    # -- heartbeats -----------------------------------------------------------------------------------------------------------

    def beat(self, namespace: str, instance: Instance, ttl: timedelta) -> bool:
        packed = packed_instance(instance)
        return bool(self._server.script("beating", "beat", namespace, instance.owner, packed, ttl // MICROSECOND))

    def leave(self, namespace: str, owner: str) -> None:
        _, woken = self._server.script("leaving", "free", self._name, namespace, "leave", owner)
        self._wake(woken)

    def instances(self, namespace: str) -> Sequence[Instance]:
        found = self._server.read("reading", lambda client: client.hvals(self._server.key("instances", namespace)))
        now = to_micros(self.now())
        return [instance for packed in found if (instance := live_instance(packed, now)) is not None]

    def free_lapsed(self, namespace: str, dead: Sequence[str] = ()) -> int:
        count, woken = self._server.script("freeing claims", "free", self._name, namespace, "lapse", *dead)
        self._wake(woken)
        return int(count)

    # -- questions ------------------------------------------------------------------------------------------------------------

    def lookup(self, run_ids: Sequence[str]) -> Mapping[str, RunRecord]:
        return {record.run_id: record for record in self._records(dict.fromkeys(run_ids))}

    def _records(self, run_ids: Iterable[str]) -> list[RunRecord]:
        """Those that exist, in this order."""
        names = list(run_ids)
        if not names:
            return []

        def work(client: Any) -> Any:
            pipeline = client.pipeline(transaction=False)
            for name in names:
                pipeline.hmget(self._server.key("run", name), "m", "p")
            return pipeline.execute()

        found = zip(names, self._server.read("reading", work), strict=True)
        return [known_run((name, packed, payload)) for name, (packed, payload) in found if packed is not None]

    def latest(self, namespace: str, workflow: str, foreign_id: str) -> RunRecord | None:
        def work(client: Any) -> Any:
            pipeline = client.pipeline(transaction=True)
            for kind in ("active", "last"):
                pipeline.hget(self._server.key(kind, namespace, workflow), foreign_id)
            return pipeline.execute()

        active, last = self._server.read("reading", work)
        run_id = active or last
        found = self._records([run_id.decode()]) if run_id else []
        return found[0] if found else None

    def runs(self, query: RunQuery) -> Page:
        return page(query, self._places, self._records)

    def _places(
        self, names: Sequence[str], low: int | None, high: int | None, newest: bool, offset: int, limit: int
    ) -> list[tuple[int, str]]:
        """Creation time and id of runs of an index, both bounds included."""
        ends = ("-inf" if low is None else low, "+inf" if high is None else high)
        found = self._server.read(
            "listing",
            lambda client: client.zrange(
                self._server.key(*names),
                *(reversed(ends) if newest else ends),
                desc=newest,
                byscore=True,
                offset=offset,
                num=limit,
                withscores=True,
            ),
        )
        return [(int(score), member.decode()) for member, score in found]

    def history(self, run_id: str) -> Sequence[HistoryRow]:
        name = self._server.key("history", run_id)
        return [history_row(packed) for packed in self._server.read("reading", lambda client: client.lrange(name, 0, -1))]

    def rows(self, run_ids: Sequence[str]) -> Sequence[PendingRow]:
        wanted = list(dict.fromkeys(run_ids))
        if not wanted:
            return []

        def names(client: Any) -> Any:
            pipeline = client.pipeline(transaction=False)
            for run_id in wanted:
                pipeline.smembers(self._server.key("side", run_id))
            return pipeline.execute()

        beside = [member.decode() for members in self._server.read("reading", names) for member in members]
        row_ids = sorted([*wanted, *beside])

        def work(client: Any) -> Any:
            pipeline = client.pipeline(transaction=False)
            for row_id in row_ids:
                pipeline.hmget(self._server.key("row", row_id), "m", "p")
            return pipeline.execute()

        return [pending_row(packed, payload) for packed, payload in self._server.read("reading", work) if packed is not None]

    def next_due(self, namespace: str, topics: Sequence[str]) -> datetime | None:
        answer = self._server.script("looking", "depth", namespace, *topics) if topics else []
        due = min((moment for moment in answer[3::4] if moment >= 0), default=None)
        return None if due is None else to_datetime(due)

    def depths(self, namespace: str, topics: Sequence[str]) -> Mapping[str, TopicDepth]:
        answer = self._server.script("looking", "depth", namespace, *topics) if topics else []
        found = zip(topics, answer[::4], answer[1::4], answer[2::4], strict=True)
        return {topic: TopicDepth(due, timedelta(microseconds=age), waiting) for topic, due, age, waiting in found}

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
        return self._unattended.records(namespace, workflow, statuses, after, limit, kind, topics)

    def purge(
        self,
        namespace: str,
        workflow: str,
        states: Sequence[RunState],
        age: timedelta,
        limit: int,
        unless_waiting: Sequence[str] = (),
    ) -> int:
        count = fruitless = rounds = 0
        place = (namespace, workflow, tuple(states))
        passed = self._passed.pop(place, None) or {int(state): 0 for state in states}
        while passed and count < limit and fruitless < FRUITLESS:
            if rounds == ROUNDS:
                self._passed[place] = passed
                break
            rounds += 1
            now, old = min(limit - count, PURGED), age // MICROSECOND
            asked: list[str | int] = [len(unless_waiting), *unless_waiting]
            for pair in passed.items():
                asked += pair
            deleted, more, *stay = self._server.script("purging", "purge", namespace, workflow, old, now, WALKED, *asked)
            passed = {state: before + more_stay for (state, before), more_stay in zip(passed.items(), stay, strict=True)}
            count += deleted
            fruitless += not deleted and not any(stay)
            if not more:
                break
        return count

    # -- items ----------------------------------------------------------------------------------------------------------------

    def item(self, namespace: str, kind: str, key: str) -> Item | None:
        return self._items.one(namespace, kind, key)

    def items(self, namespace: str, kind: str, after: str = "", limit: int = 100) -> Sequence[Item]:
        return self._items.after(namespace, kind, after, limit)

    def due_items(self, namespace: str, kind: str, limit: int) -> Sequence[Item]:
        return self._items.due(namespace, kind, limit)

    def next_due_item(self, namespace: str, kinds: Sequence[str]) -> datetime | None:
        return self._items.next_due(namespace, kinds)

    # -- the rest -------------------------------------------------------------------------------------------------------------

    def now(self) -> datetime:
        return self._server.now()

    def listen(self, namespace: str, wake: Callable[[Sequence[str]], None]) -> Callable[[], None]:
        self._server.check()
        return self._ear.add(namespace, wake)

    def close(self) -> None:
        self._ear.close()
        self._server.close()

    def _wake(self, pairs: Sequence[bytes]) -> None:
        topics: dict[str, list[str]] = {}
        for raw, topic in zip(pairs[::2], pairs[1::2], strict=True):
            topics.setdefault(raw.decode(), []).append(topic.decode())
        for namespace, some in topics.items():
            self._ear.wake(namespace, some)


def open_store(url: str, *, clock: Clock | None = None) -> RedisRecordStore:
    """A record store at redis://user:password@host:port/database, or rediss:// for TLS. Our option in the query: `prefix` of its
    keys (default flowdsl). Warns when the server does not write what it was told. Raises ConfigurationError,
    StoreUnavailableError."""
    address = parse(url, ("prefix",))
    store = RedisRecordStore(address, prefix=address.options.get("prefix", PREFIX), clock=clock)
    try:
        durability = store._server.read("connecting", lambda client: client.info("persistence"))
    except BaseException:
        store.close()
        raise
    if not int(durability.get("aof_enabled", 0)):
        log.warning("the Redis at %s keeps no append-only file: what it holds is gone when it ends", address.shown)
    return store
