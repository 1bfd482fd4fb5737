"""The record store in Redis."""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from redis.exceptions import BusyLoadingError, RedisError
from redis.exceptions import ConnectionError as BrokenError
from redis.exceptions import TimeoutError as SilentError

from flowdsl.clock import Clock
from flowdsl.errors import StoreError
from flowdsl.model.change import Change, CommitResult
from flowdsl.model.history import HistoryRow
from flowdsl.model.instance import Instance
from flowdsl.model.item import Item
from flowdsl.model.limits import unfit
from flowdsl.model.pending import ClaimedRow, PendingRow, TopicDepth, TopicQuota
from flowdsl.model.query import Page, RunQuery
from flowdsl.model.record import RunRecord
from flowdsl.ports.record_store import RecordStore
from flowdsl_redis.errors import store_error
from flowdsl_redis.link import PREFIX, Address, connect, hash_tag, parse
from flowdsl_redis.listening import Ear
from flowdsl_redis.pages import page
from flowdsl_redis.scripts import Scripts
from flowdsl_redis.store_encoding import (
    MICROSECOND,
    ChangeEncoder,
    history_row,
    item_meta,
    live_instance,
    packed_instance,
    pending_row,
    result,
    to_datetime,
    to_micros,
)
from flowdsl_redis.unreadable import Stored, known_run, known_runs, readable

T = TypeVar("T")
log = logging.getLogger("flowdsl.redis")
TRIES = 3
"""How often something is tried whose connection broke: a script that was done before says so."""
GROUP = 200
"""Changes a script call at most: Redis does nothing else meanwhile."""
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
        self._address = address
        self._prefix = f"{hash_tag(prefix)}".encode()
        self._clock = clock
        self._name = uuid.uuid4().hex
        self._client: Any = connect(address)
        self._scripts = Scripts(self._client, self._prefix)
        self._ear = Ear(self._client, self._prefix, self._name)
        self._doubtful: dict[tuple[str, str], list[str]] = {}
        """By namespace and owner: the marks of claims that nobody had an answer to. They may have taken rows, which the owner's
        next claim brings."""
        self._guard = threading.Lock()
        self._closed = False

    def __repr__(self) -> str:
        return f"RedisRecordStore({self._address.shown!r})"

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
            answers, woken = self._script("committing", "commit", self._name, encoder.packed(), *encoder.blobs)
            results.update(zip(sent, map(result, answers), strict=True))
            self._wake(woken)
        return [results[number] for number in range(len(changes))]

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
        with self._guard:
            doubtful = list(self._doubtful.get((namespace, owner), ()))

        def once() -> Any:
            marks = ",".join(doubtful)
            doubtful.append(mark)
            return self._scripts.run("claim", self._moment(), namespace, owner, mark, marks, how, *what)

        try:
            found = self._try("claiming", once)
        except StoreError:
            with self._guard:
                self._doubtful.setdefault((namespace, owner), []).append(mark)
            raise
        with self._guard:
            left = [one for one in self._doubtful.get((namespace, owner), ()) if one not in doubtful]
            if self._doubtful:
                self._doubtful = {(namespace, owner): left} if left else {}  # earlier owners' rows were freed
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
        return bool(self._script("beating", "beat", namespace, instance.owner, packed, ttl // MICROSECOND))

    def leave(self, namespace: str, owner: str) -> None:
        _, woken = self._script("leaving", "free", self._name, namespace, "leave", owner)
        self._wake(woken)

    def instances(self, namespace: str) -> Sequence[Instance]:
        found = self._read("reading", lambda client: client.hvals(self._key("instances", namespace)))
        now = to_micros(self.now())
        return [instance for packed in found if (instance := live_instance(packed, now)) is not None]

    def free_lapsed(self, namespace: str, dead: Sequence[str] = ()) -> int:
        count, woken = self._script("freeing claims", "free", self._name, namespace, "lapse", *dead)
        self._wake(woken)
        return int(count)

    # -- questions ------------------------------------------------------------------------------------------------------------

    def lookup(self, run_ids: Sequence[str]) -> Mapping[str, RunRecord]:
        return {record.run_id: record for record in self._records(dict.fromkeys(run_ids))}

    def _records(self, run_ids: Iterable[str]) -> list[RunRecord]:
        """Those that exist, in this order."""
        return [known_run(stored) for stored in self._stored(run_ids)]

    def _stored(self, run_ids: Iterable[str]) -> list[Stored]:
        names = list(run_ids)
        if not names:
            return []

        def work(client: Any) -> Any:
            pipeline = client.pipeline(transaction=False)
            for name in names:
                pipeline.hmget(self._key("run", name), "m", "p")
            return pipeline.execute()

        found = zip(names, self._read("reading", work), strict=True)
        return [(name, packed, payload) for name, (packed, payload) in found if packed is not None]

    def latest(self, namespace: str, workflow: str, foreign_id: str) -> RunRecord | None:
        def work(client: Any) -> Any:
            pipeline = client.pipeline(transaction=True)
            for kind in ("active", "last"):
                pipeline.hget(self._key(kind, namespace, workflow), foreign_id)
            return pipeline.execute()

        active, last = self._read("reading", work)
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
        found = self._read(
            "listing",
            lambda client: client.zrange(
                self._key(*names),
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
        return [history_row(packed) for packed in self._read("reading", lambda c: c.lrange(self._key("history", run_id), 0, -1))]

    def rows(self, run_ids: Sequence[str]) -> Sequence[PendingRow]:
        wanted = list(dict.fromkeys(run_ids))
        if not wanted:
            return []

        def names(client: Any) -> Any:
            pipeline = client.pipeline(transaction=False)
            for run_id in wanted:
                pipeline.smembers(self._key("side", run_id))
            return pipeline.execute()

        beside = [member.decode() for members in self._read("reading", names) for member in members]
        row_ids = sorted([*wanted, *beside])

        def work(client: Any) -> Any:
            pipeline = client.pipeline(transaction=False)
            for row_id in row_ids:
                pipeline.hmget(self._key("row", row_id), "m", "p")
            return pipeline.execute()

        return [pending_row(packed, payload) for packed, payload in self._read("reading", work) if packed is not None]

    def next_due(self, namespace: str, topics: Sequence[str]) -> datetime | None:
        answer = self._script("looking", "depth", namespace, *topics) if topics else []
        due = min((moment for moment in answer[3::4] if moment >= 0), default=None)
        return None if due is None else to_datetime(due)

    def depths(self, namespace: str, topics: Sequence[str]) -> Mapping[str, TopicDepth]:
        answer = self._script("looking", "depth", namespace, *topics) if topics else []
        found = zip(topics, answer[::4], answer[1::4], answer[2::4], strict=True)
        return {topic: TopicDepth(due, timedelta(microseconds=age), waiting) for topic, due, age, waiting in found}

    def unattended(self, namespace: str, workflow: str, statuses: Sequence[str], after: str, limit: int) -> Sequence[RunRecord]:
        def work(client: Any) -> Any:
            pipeline = client.pipeline(transaction=False)
            for status in dict.fromkeys(statuses):
                pipeline.zrangebylex(self._key("bare", namespace, workflow, status), f"({after}" if after else "-", "+", 0, limit)
            return pipeline.execute()

        found = sorted({member.decode() for members in self._read("looking", work) for member in members})
        return known_runs(self._stored(found[:limit]))

    # -- items ----------------------------------------------------------------------------------------------------------------

    def item(self, namespace: str, kind: str, key: str) -> Item | None:
        found = self._items(namespace, kind, [key])
        return found[0] if found else None

    def items(self, namespace: str, kind: str, after: str = "", limit: int = 100) -> Sequence[Item]:
        low = f"({after}" if after else "-"
        keys = self._read(
            "reading items", lambda client: client.zrangebylex(self._item_key("k", namespace, kind), low, "+", 0, limit)
        )
        return self._items(namespace, kind, [key.decode() for key in keys])

    def due_items(self, namespace: str, kind: str, limit: int) -> Sequence[Item]:
        now = to_micros(self.now())
        name = self._item_key("d", namespace, kind)
        keys = self._read("reading items", lambda client: client.zrangebyscore(name, "-inf", now, start=0, num=limit))
        return self._items(namespace, kind, [key.decode() for key in keys])

    def next_due_item(self, namespace: str, kinds: Sequence[str]) -> datetime | None:
        def work(client: Any) -> Any:
            pipeline = client.pipeline(transaction=False)
            for kind in kinds:
                pipeline.zrange(self._item_key("d", namespace, kind), 0, 0, withscores=True)
            return pipeline.execute()

        dues = [int(score) for found in self._read("reading items", work) for _, score in found]
        return to_datetime(min(dues)) if dues else None

    def _items(self, namespace: str, kind: str, keys: Sequence[str]) -> list[Item]:
        if not keys:
            return []

        def work(client: Any) -> Any:
            pipeline = client.pipeline(transaction=True)
            for part in ("m", "b"):
                pipeline.hmget(self._item_key(part, namespace, kind), list(keys))
            return pipeline.execute()

        metas, bodies = self._read("reading items", work)
        found: list[Item] = []
        for key, packed, body in zip(keys, metas, bodies, strict=True):
            if packed is not None:
                meta = item_meta(packed)
                due = None if meta.due is None else to_datetime(meta.due)
                created = to_datetime(meta.created)
                found.append(Item(namespace=namespace, kind=str(kind), key=key, body=body or b"", due_at=due, created_at=created))
        return found

    # -- the rest -------------------------------------------------------------------------------------------------------------

    def now(self) -> datetime:
        if self._clock is not None:
            return self._clock.now()
        seconds, micros = self._read("asking for the time", lambda client: client.time())
        return to_datetime(int(seconds) * 1_000_000 + int(micros))

    def listen(self, namespace: str, wake: Callable[[Sequence[str]], None]) -> Callable[[], None]:
        self._check()
        return self._ear.add(namespace, wake)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._ear.close()
            self._client.close()

    def _wake(self, pairs: Sequence[bytes]) -> None:
        topics: dict[str, list[str]] = {}
        for raw, topic in zip(pairs[::2], pairs[1::2], strict=True):
            topics.setdefault(raw.decode(), []).append(topic.decode())
        for namespace, some in topics.items():
            self._ear.wake(namespace, some)

    def _moment(self) -> str:
        return "" if self._clock is None else str(to_micros(self._clock.now()))

    def _key(self, *parts: str) -> bytes:
        return self._prefix + "\0".join(parts).encode()

    def _item_key(self, part: str, namespace: str, kind: str) -> bytes:
        return self._key("item", part, namespace, str(kind))

    def _script(self, doing: str, name: str, *arguments: bytes | str | int) -> Any:
        return self._try(doing, lambda: self._scripts.run(name, self._moment(), *arguments))

    def _read(self, doing: str, work: Callable[[Any], Any]) -> Any:
        return self._try(doing, lambda: work(self._client))

    def _try(self, doing: str, work: Callable[[], T]) -> T:
        self._check()
        for number in range(1, TRIES + 1):
            try:
                return work()
            except (BrokenError, SilentError, BusyLoadingError, OSError) as error:
                if number == TRIES:
                    raise store_error(error, self._address.shown, doing) from error
                time.sleep(random.uniform(0, 0.05 * number))
            except RedisError as error:
                raise store_error(error, self._address.shown, doing) from error
        raise AssertionError("unreachable")

    def _check(self) -> None:
        if self._closed:
            raise StoreError("the store is closed.", remedy="Open a new one.")


def open_store(url: str, *, clock: Clock | None = None) -> RedisRecordStore:
    """A record store at redis://user:password@host:port/database, or rediss:// for TLS. Our option in the query: `prefix` of its
    keys (default flowdsl). Warns when the server does not write what it was told. Raises ConfigurationError,
    StoreUnavailableError."""
    address = parse(url, ("prefix",))
    store = RedisRecordStore(address, prefix=address.options.get("prefix", PREFIX), clock=clock)
    try:
        durability = store._read("connecting", lambda client: client.info("persistence"))
    except BaseException:
        store.close()
        raise
    if not int(durability.get("aof_enabled", 0)):
        log.warning("the Redis at %s keeps no append-only file: what it holds is gone when it ends", address.shown)
    return store
