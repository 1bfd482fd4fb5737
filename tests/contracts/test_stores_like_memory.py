"""Whatever is done to them, a store and the memory store answer and hold the same."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from flowdsl.engine.discovery import open_store
from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.model.change import (
    AddRow,
    Change,
    CommitResult,
    DropRow,
    FailRow,
    MoveRun,
    ParkRow,
    PutItems,
    ReleaseRow,
    RequestControl,
    StartRun,
)
from flowdsl.model.history import Cause, Origin
from flowdsl.model.instance import Instance
from flowdsl.model.item import ItemKey, NewItem
from flowdsl.model.pending import NewRow, RowKind, TopicQuota
from flowdsl.model.query import Order, RunQuery
from flowdsl.model.record import ControlRequest, Payload, RunRecord
from flowdsl.model.run_state import RunState
from flowdsl.ports.record_store import RecordStore
from flowdsl.testing.clock import ManualClock
from flowdsl_sql.record_store import open_store as sql_store
from tests.services import SQL_DATABASES, redis_keys, sql_database

NAMESPACE, WORKFLOW = "n", "w"
STATUSES = ("a", "b", "c")
OWNERS = ("one", "two")
TOPICS = tuple(f"w/{status}" for status in STATUSES)
ENDS = [RunState.COMPLETED, RunState.CANCELLED, RunState.DATA_DELETED]
AFTER_THE_END = {
    RunState.COMPLETED: RunState.REQUESTED_DATA_DELETED,
    RunState.CANCELLED: RunState.REQUESTED_DATA_DELETED,
    RunState.REQUESTED_DATA_DELETED: RunState.DATA_DELETED,
    RunState.DATA_DELETED: RunState.REQUESTED_DATA_DELETED,
}
FOLLOWERS = (RowKind.TIMEOUT, RowKind.CALLBACK)
"""Rows that follow their run; none is born claimed."""
TTL = timedelta(seconds=30)


@pytest.fixture(scope="module", params=[*SQL_DATABASES, "redis"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("sql")
    with redis_keys() if request.param == "redis" else sql_database(request.param, folder) as found:
        if request.param != "redis":
            sql_store(found, migrate=True).close()
        yield found


class Chaos:
    """Makes changes, most of them sensible, from a seed. Both stores are asked the same."""

    def __init__(self, seed: int, stores: tuple[RecordStore, RecordStore], clock: ManualClock) -> None:
        self.rng = random.Random(seed)
        self.stores = stores
        self.clock = clock
        self.namespace = f"n{uuid.uuid4().hex}"
        self.runs: list[str] = []
        self.done: list[StartRun | MoveRun] = []
        self.count = 0

    def id(self) -> str:
        self.count += 1
        return f"{self.namespace}-{self.count:06}"

    def both(self, question: Any) -> Any:
        expected, found = (question(store) for store in self.stores)
        if isinstance(expected, list):
            for one, other in zip(found, expected, strict=True):
                assert one == other
        assert found == expected
        return found

    def record(self, run_id: str) -> RunRecord | None:
        return self.stores[0].lookup([run_id]).get(run_id)

    def some_run(self) -> str:
        """Mostly one that is there, and often one that is unfinished."""
        rng, known = self.rng, [*self.stores[0].lookup(self.runs).values()]
        unfinished = [record for record in known if not record.finished]
        among = rng.choice([known, unfinished, unfinished]) or known
        return rng.choice(among).run_id if among and rng.random() < 0.95 else rng.choice(self.runs)

    def new_row(self, run_id: str, status: str, *, kind: RowKind = RowKind.STEP) -> NewRow:
        rng = self.rng
        return NewRow(
            row_id=run_id if kind is RowKind.STEP else f"{run_id}/{kind.name}/{rng.randrange(2)}",
            topic=f"w/{status}",
            kind=kind,
            receiver={RowKind.STEP: "", RowKind.CALLBACK: rng.choice(STATUSES)}.get(kind, "r"),
            delay=rng.choice([timedelta(0), timedelta(0), timedelta(seconds=rng.randrange(1, 90)), None]),
            due_at=self.clock.now() + timedelta(seconds=rng.randrange(-30, 90)) if rng.random() < 0.15 else None,
            owner=rng.choice([None, None, *OWNERS]) if kind not in FOLLOWERS else None,
            priority=rng.choice([0, 0, 0, 5, -1]),
            payload=rng.choice([None, b"\0payload"]),
        )

    def sides(self, run_id: str, status: str) -> tuple[NewRow, ...]:
        kinds = [kind for kind in (RowKind.TIMEOUT, RowKind.HOOK, RowKind.EVENT) if self.rng.random() < 0.2]
        return tuple(self.new_row(run_id, status, kind=kind) for kind in kinds)

    def sides_for_states(self, run_id: str, status: str) -> tuple[NewRow, ...]:
        states = [None, None, RunState.RUNNING, RunState.PAUSED, RunState.CANCELLED]
        return tuple(replace(row, only_in=self.rng.choice(states)) for row in self.sides(run_id, status))

    def items(self) -> tuple[NewItem, ...]:
        rng = self.rng
        if rng.random() < 0.8:
            return ()
        keys = rng.sample(range(6), rng.randrange(1, 3))
        return tuple(
            NewItem(
                kind=rng.choice(["k", "l"]),
                key=f"{self.namespace}{key}",
                body=bytes([key]),
                delay=rng.choice([None, timedelta(seconds=key * 7)]),
                replace=rng.random() < 0.4,
            )
            for key in keys
        )

    def item_keys(self) -> tuple[ItemKey, ...]:
        if self.rng.random() < 0.9:
            return ()
        return (ItemKey(self.rng.choice(["k", "l"]), f"{self.namespace}{self.rng.randrange(6)}"),)

    def change(self, starting: bool) -> Change:
        """In: whether the group may start runs; then it ends none, for which of the two is first is not promised."""
        rng = self.rng
        if self.done and not starting and rng.random() < 0.06:
            return rng.choice(self.done)  # the same change once more
        what = rng.random()
        if what < 0.25 and starting or not self.runs:
            return self.start()
        if what < 0.6:
            return self.move(self.some_run(), ending=not starting)
        if what < 0.66:
            return self.add(self.some_run())
        if what < 0.72:
            state = rng.choice([RunState.PAUSED, RunState.CANCELLED])
            return RequestControl(change_id=self.id(), run_id=self.some_run(), request=ControlRequest(state, "why", "who"))
        if what < 0.94:
            return self.row_change(self.some_run())
        return PutItems(change_id=self.id(), namespace=self.namespace, items=self.items(), drop=self.item_keys())

    def start(self) -> StartRun:
        rng, run_id = self.rng, self.id()
        self.runs.append(run_id)
        status = rng.choice(STATUSES)
        return StartRun(
            change_id=self.id(),
            namespace=self.namespace,
            workflow=WORKFLOW,
            run_id=run_id,
            foreign_id=f"f{rng.randrange(12)}",
            status=status,
            payload=rng.choice([None, Payload(b"{}"), Payload(b"\xff\0", "application/x", 7)]),
            origin=Origin(Cause.TRIGGER, actor="me"),
            row=self.new_row(run_id, status) if rng.random() < 0.9 else None,
            side_rows=self.sides(run_id, status),
            items=self.items(),
            metadata=rng.choice([{}, {"ключ": "värde"}]),
            tags=rng.choice([(), ("x", "y z")]),
            parent_run_id=rng.choice([None, "parent"]),
            priority=rng.randrange(3),
        )

    def add(self, run_id: str) -> AddRow:
        rng, record = self.rng, self.record(run_id)
        kind = rng.choice([RowKind.CALLBACK, RowKind.CALLBACK, RowKind.TIMEOUT, RowKind.HOOK])
        return AddRow(
            change_id=self.id(),
            namespace=self.namespace,
            workflow=WORKFLOW,
            run_id=run_id,
            version=(record.version if record else 1) + (rng.random() < 0.1),
            row=self.new_row(run_id, rng.choice(STATUSES), kind=kind),
            instead_of=self.row_beside(run_id) if rng.random() < 0.3 else None,
            items=self.items(),
        )

    def row_beside(self, run_id: str) -> str:
        """The id of one that is there, mostly: of this run, and nobody's."""
        beside = [row.row_id for row in self.stores[0].rows([run_id]) if row.kind is not RowKind.STEP]
        return self.rng.choice([*beside, "gone"])

    def move(self, run_id: str, ending: bool) -> MoveRun:
        rng, record = self.rng, self.record(run_id)
        to_state = rng.choice([RunState.RUNNING] * 5 + [RunState.PAUSED] + ENDS * ending)
        if record and record.finished and rng.random() < 0.6:
            to_state = AFTER_THE_END[record.state]
        status = rng.choice(STATUSES)
        sides = self.sides_for_states(run_id, status)
        return MoveRun(
            change_id=self.id(),
            namespace=self.namespace,
            workflow=WORKFLOW,
            run_id=run_id,
            version=(record.version if record else 1) + (rng.random() < 0.1),
            from_status=record.status if record else "a",
            from_state=record.state if record else RunState.RUNNING,
            to_status=status,
            to_state=to_state,
            origin=Origin(Cause.STEP, "step", "owner", rng.choice([None, "reason"]), 2, rng.choice([None, "error"])),
            payload=rng.choice([None, Payload(b"new", "text/plain", 2)]),
            row=self.new_row(run_id, status) if rng.random() < 0.7 else None,
            side_rows=sides,
            erase=to_state is RunState.DATA_DELETED and rng.random() < 0.7,
            settle=f"{run_id}/{rng.choice(FOLLOWERS).name}/1" if rng.random() < 0.1 and not sides else None,
            items=self.items(),
            drop_items=self.item_keys(),
            new_visit=rng.random() < 0.5,
            auto_resumes=rng.randrange(3),
            unless_claimed=rng.random() < 0.3,
            honour_request=ending and rng.random() < 0.8,
        )

    def row_change(self, run_id: str) -> Change:
        rng = self.rng
        rows = list(self.stores[0].rows([run_id]))
        claimed = [row for row in rows if row.owner is not None]
        row = rng.choice(rng.choice([claimed, claimed, rows]) or rows) if rows else None
        claim: dict[str, Any] = {
            "change_id": self.id(),
            "row_id": row.row_id if row else run_id,
            "owner": row.owner or "one" if row else "one",
            "delivery": (row.delivery if row else 1) + (rng.random() < 0.1),
            "version": rng.choice([None, (row.version if row else 1) - (rng.random() < 0.1)]),
        }
        kind = rng.randrange(4)
        if kind == 0:
            news = [self.new_row(run_id, "a", kind=kind) for kind in (RowKind.HOOK, RowKind.EVENT) if rng.random() < 0.2]
            sides = tuple(side for side in news if side.row_id != claim["row_id"])
            return FailRow(**claim, error="it broke", delay=timedelta(seconds=rng.randrange(60)), side_rows=sides)
        if kind == 1:
            return ReleaseRow(**claim, delay=rng.choice([None, None, timedelta(0), timedelta(seconds=rng.randrange(60))]))
        return (ParkRow, DropRow)[kind - 2](**claim)

    def purge(self) -> None:
        """Runs that ended at one moment may go in any order: the limit never comes between them."""
        rng, memory = self.rng, self.stores[0]
        states, age = rng.sample([*AFTER_THE_END], rng.randrange(1, 5)), timedelta(seconds=rng.randrange(90))
        topics = rng.sample(TOPICS, rng.choice([0, 0, 1]))
        stay = {row.run_id for row in memory.rows(self.runs) if row.kind is not RowKind.STEP and row.topic in topics}
        runs = [record.run_id for record in memory.lookup(self.runs).values() if record.state in states]
        runs = [run_id for run_id in runs if run_id not in stay]
        ends = sorted(_ended_at(memory, run_id) for run_id in runs)
        limits = [number for number in range(1, len(ends)) if ends[number - 1] < ends[number]]
        limit = rng.choice([*limits, 1000])
        self.both(lambda store: store.purge(self.namespace, WORKFLOW, states, age, limit, topics))
        left = memory.lookup(self.runs)
        self.done = [change for change in self.done if change.run_id in left]

    def add_twice(self) -> None:
        """As somebody does who had no answer."""
        change = self.add(self.some_run())
        for _ in range(2):
            self.both(lambda store: [_plain(result) for result in store.commit([change])])

    def together(self) -> None:
        """All or none, and which: of several that do not hold any may be named."""
        run_id = self.some_run()
        changes: list[StartRun | MoveRun] = [self.start() for _ in range(self.rng.randrange(3))]
        changes.append(self.move(run_id, ending=not changes))
        if self.both(lambda store: all(result.applied for result in store.commit_together(changes))):
            self.done.extend(changes)

    def step(self) -> None:
        rng = self.rng
        what = rng.random()
        if what < 0.6:
            starting = rng.random() < 0.4
            changes = [self.change(starting) for _ in range(rng.randrange(1, 12))]
            changes = _in_any_order(changes)
            results = self.both(lambda store: [_plain(result) for result in store.commit(changes)])
            for change, result in zip(changes, results, strict=True):
                if isinstance(change, MoveRun) or isinstance(change, StartRun) and result.applied:
                    self.done.append(change)
        elif what < 0.63 and self.runs:
            self.add_twice()
        elif what < 0.65:
            self.purge()
        elif what < 0.68 and self.runs:
            self.together()
        elif what < 0.73:
            self.clock.advance(timedelta(seconds=rng.randrange(1, 20)))
        elif what < 0.85:
            quotas = [TopicQuota(topic, rng.choice([0, 1000])) for topic in TOPICS]  # of rows due at once any may be first
            owner = rng.choice(OWNERS)
            self.both(lambda store: _in_order(store.claim(self.namespace, owner, quotas)))
        elif what < 0.9:
            run_ids, owner = rng.sample(self.runs, min(3, len(self.runs))), rng.choice(OWNERS)
            self.both(lambda store: _in_order(store.claim_rows(self.namespace, owner, run_ids)))
        elif what < 0.96:
            owner = rng.choice(OWNERS)
            self.both(lambda store: store.beat(self.namespace, Instance(owner=owner), TTL))
        elif what < 0.98:
            dead = [rng.choice(OWNERS)] if rng.random() < 0.3 else []
            self.both(lambda store: store.free_lapsed(self.namespace, dead))
        else:
            owner = rng.choice(OWNERS)
            self.both(lambda store: store.leave(self.namespace, owner))

    def compare(self) -> None:
        """Everything that can be asked."""
        rng, namespace = self.rng, self.namespace
        self.both(lambda store: dict(store.lookup(self.runs)))
        self.both(lambda store: [row for row in store.rows(self.runs)])
        self.both(lambda store: [list(store.history(run_id)) for run_id in self.runs])
        self.both(lambda store: [_undecided(store.latest(namespace, WORKFLOW, f"f{number}")) for number in range(12)])
        self.both(lambda store: dict(store.depths(namespace, TOPICS)))
        self.both(lambda store: [i.owner for i in sorted(store.instances(namespace), key=lambda i: i.owner)])
        place, limit = rng.choice(["", *self.runs]), rng.choice([3, 1000])
        for kind in (RowKind.STEP, RowKind.TIMEOUT):
            self.both(lambda store, kind=kind: list(store.unattended(namespace, WORKFLOW, STATUSES[:2], place, limit, kind)))
        wanted = {status: rng.sample(TOPICS, rng.choice([1, 2])) for status in STATUSES[:2] if rng.random() < 0.7}
        some = (namespace, WORKFLOW, STATUSES[:2], place, limit, RowKind.TIMEOUT, wanted)
        self.both(lambda store: list(store.unattended(*some)))
        self.both(lambda store: [list(store.items(namespace, kind)) for kind in ("k", "l")])
        self.both(lambda store: [sorted(item.key for item in store.due_items(namespace, kind, 100)) for kind in ("k", "l")])
        self.both(lambda store: store.next_due_item(namespace, ["k", "l"]))
        for order in Order:
            states = tuple(rng.sample(list(RunState), 4))
            query = RunQuery(namespace=namespace, order=order, limit=7, statuses=("a", "b"), states=states)
            self.both(lambda store, query=query: _every_page(store, query))


def _in_any_order(changes: Sequence[Change]) -> list[Change]:
    """Without what is said of rows beside runs that the group changes, too: which is first is not promised."""
    changed = {change.run_id for change in changes if isinstance(change, (MoveRun, AddRow, RequestControl))}

    def beside(change: Change) -> bool:
        if not isinstance(change, (FailRow, ReleaseRow, ParkRow, DropRow)):
            return False
        run_id, _, rest = change.row_id.partition("/")
        return bool(rest) and run_id in changed

    return [change for change in changes if not beside(change)]


def _ended_at(store: RecordStore, run_id: str) -> datetime:
    return next(row.at for row in store.history(run_id) if row.to_state.finished)


def _every_page(store: RecordStore, query: RunQuery) -> list[RunRecord]:
    found: list[RunRecord] = []
    while True:
        page = store.runs(query)
        found.extend(page.runs)
        if page.next is None:
            return found
        query = replace(query, after=page.next)


def _plain(result: CommitResult) -> Any:
    return result if result.detail is None else replace(result, detail=None)


def _in_order(claimed: Sequence[Any]) -> list[Any]:
    """Rows of one priority and due time may come in any order."""
    return sorted(claimed, key=lambda entry: entry.row.row_id)


def _undecided(record: RunRecord | None) -> Any:
    """Of runs created at one moment any may be called the latest."""
    return None if record is None else (record.created_at, record.finished)


@pytest.mark.parametrize("seed", range(6))
def test_a_random_history_leaves_both_stores_alike(url: str, seed: int) -> None:
    clock = ManualClock()
    store = open_store(url, clock=clock)
    try:
        chaos = Chaos(seed, (MemoryRecordStore(clock), store), clock)
        for _ in range(12):
            for _ in range(12):
                chaos.step()
            chaos.compare()
    finally:
        store.close()
