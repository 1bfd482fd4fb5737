"""What a store reads to do its everyday work does not grow with what it holds: counted in rows, or steps of SQLite's machine.

Sweeps, purges and the depth of queues look at much by their nature, once a minute or at a scrape.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from flowdsl.model.change import Change, FailRow, PutItems, ReleaseRow, RequestControl
from flowdsl.model.instance import Instance
from flowdsl.model.item import NewItem
from flowdsl.model.pending import ClaimedRow, NewRow, RowKind, TopicQuota
from flowdsl.model.query import RunQuery
from flowdsl.model.record import ControlRequest
from flowdsl.model.run_state import RunState
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.contracts.samples import NAMESPACE, World
from flowdsl_sql.database import Session
from flowdsl_sql.record_store import SqlRecordStore, open_store
from tests.services import sql_database

TOPIC = "orders/created"
FEW, MANY = 100, 1500
SLACK = 150
"""Levels of an index, and what lies beside."""
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
READ = {
    "postgresql": "SELECT (SELECT SUM(seq_tup_read) FROM pg_stat_user_tables WHERE schemaname = current_schema())"
    " + (SELECT SUM(idx_tup_read) FROM pg_stat_user_indexes WHERE schemaname = current_schema())",
    "mysql": "SELECT SUM(variable_value) FROM information_schema.session_status WHERE variable_name IN ('Handler_read_first',"
    " 'Handler_read_key', 'Handler_read_last', 'Handler_read_next', 'Handler_read_prev', 'Handler_read_rnd',"
    " 'Handler_read_rnd_next')",
}


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlRecordStore]:
    with sql_database(request.param, tmp_path) as url:
        store = open_store(url, migrate=True)
        yield store
        store.close()


@pytest.fixture
def read(store: SqlRecordStore, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How much this store has read so far."""
    database, steps = store._database, 0
    if database.dialect.name != "sqlite":

        def counted() -> int:
            if database.dialect.name == "postgresql":
                database.read(lambda session: session.one("SELECT pg_stat_force_next_flush()"))
            row = database.read(lambda session: session.one(READ[database.dialect.name]))
            assert row is not None
            return int(row[0])

        return counted

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    begin = Session.__init__

    def watched(session: Session, connection: object, *more: object) -> None:
        connection.driver_connection.set_progress_handler(step, 5)  # type: ignore[attr-defined]
        begin(session, connection, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(Session, "__init__", watched)
    return lambda: steps


def grow(world: World, count: int) -> None:
    """More runs that wait, every other one with a timeout, items that are due later, and half as many finished runs."""
    changes: list[Change] = []
    for number in range(count):
        timer = NewRow(row_id=world.new_id("timer"), topic="late", kind=RowKind.TIMEOUT, delay=HOUR)
        changes.append(world.start(side_rows=(timer,) if number % 2 else ()))
        item = NewItem(kind="k", key=world.new_id("k"), delay=HOUR)
        changes.append(PutItems(change_id=world.new_id(), namespace=NAMESPACE, items=(item,)))
    done = [world.start(row=None) for _ in range(count // 2)]
    changes += done
    for begin in range(0, len(changes), 200):
        world.store.commit(changes[begin : begin + 200])
    records = list(world.store.lookup([change.run_id for change in done]).values())
    world.store.commit([world.stop(record, RunState.COMPLETED) for record in records])


def everyday(world: World) -> Iterator[tuple[str, Callable[[], object]]]:
    """What engines, clients and people do, one thing at a time."""
    store, owner, other = world.store, world.owner(), world.owner()

    def held(entry: ClaimedRow) -> dict[str, object]:
        return {"change_id": world.new_id(), "row_id": entry.row.row_id, "owner": owner, "delivery": entry.row.delivery}

    yield "start", world.started
    run = world.started()
    yield "move", lambda: world.commit(world.move(run, "paid"))
    yield "start and move together", lambda: store.commit_together([world.move(world.run(run.run_id), "sent"), world.start()])
    yield "claim", lambda: store.claim(NAMESPACE, owner, [TopicQuota(TOPIC, 5)])
    named = [world.started().run_id for _ in range(5)]
    yield "claim named rows", lambda: store.claim_rows(NAMESPACE, owner, named)
    first, second, third = store.claim(NAMESPACE, owner, [TopicQuota(TOPIC, 3)])
    yield "fail", lambda: world.commit(FailRow(**held(first), error="x", delay=SECOND))  # type: ignore[arg-type]
    yield "release", lambda: world.commit(ReleaseRow(**held(second), version=second.row.version))  # type: ignore[arg-type]
    assert third.run is not None
    claimed = third.run
    yield "finish a step", lambda: world.commit(world.move(claimed, "paid"))
    ask = ControlRequest(RunState.PAUSED, "r", "a")
    yield "ask for a pause", lambda: world.commit(RequestControl(change_id=world.new_id(), run_id=named[0], request=ask))
    timer = NewRow(row_id=world.new_id("timer"), topic="late", kind=RowKind.TIMEOUT, delay=HOUR)
    timed = world.started(side_rows=(timer,)).run_id
    yield "pause with a timeout", lambda: world.commit(world.stop(world.run(timed), RunState.PAUSED, unless_claimed=True))
    yield "resume with a timeout", lambda: world.commit(world.move(world.run(timed)))
    yield "cancel with a timeout", lambda: world.commit(world.stop(world.run(timed), RunState.CANCELLED))
    goes = RunState.REQUESTED_DATA_DELETED
    yield "ask for an erasure", lambda: world.commit(world.move(world.run(timed), to_state=goes, row=None))
    gone = RunState.DATA_DELETED
    yield "erase", lambda: world.commit(world.move(world.run(timed), to_state=gone, row=None, erase=True))
    yield "keep an item", lambda: put(world, NewItem(kind="k", key=world.new_id("k"), delay=HOUR))
    yield "beat", lambda: store.beat(NAMESPACE, Instance(owner=owner), HOUR)
    yield "instances", lambda: store.instances(NAMESPACE)
    yield "free nothing", lambda: store.free_lapsed(NAMESPACE)
    store.claim(NAMESPACE, other, [TopicQuota(TOPIC, 3)])
    yield "free the dead's", lambda: store.free_lapsed(NAMESPACE, [other])
    yield "lookup", lambda: store.lookup(named)
    yield "latest", lambda: store.latest(NAMESPACE, "orders", run.foreign_id)
    yield "latest of nothing", lambda: store.latest(NAMESPACE, "orders", "nobody")
    yield "history", lambda: store.history(run.run_id)
    yield "rows", lambda: store.rows(named)
    yield "next due", lambda: store.next_due(NAMESPACE, [TOPIC, "late"])
    yield "list runs", lambda: store.runs(RunQuery(namespace=NAMESPACE, limit=10))
    yield "list a state", lambda: store.runs(RunQuery(namespace=NAMESPACE, states=(RunState.RUNNING,), limit=10))
    of_one = RunQuery(namespace=NAMESPACE, workflows=("orders",), foreign_ids=(run.foreign_id,), limit=10)
    yield "list a foreign id", lambda: store.runs(of_one)
    anywhere = RunQuery(namespace=NAMESPACE, foreign_ids=(run.foreign_id,), limit=10)
    yield "list a foreign id of whatever workflow", lambda: store.runs(anywhere)
    yield "item", lambda: store.item(NAMESPACE, "k", "nothing")
    yield "items", lambda: store.items(NAMESPACE, "k", limit=5)
    yield "due items", lambda: store.due_items(NAMESPACE, "k", 5)
    yield "next due item", lambda: store.next_due_item(NAMESPACE, ["k", "l"])
    yield "leave", lambda: store.leave(NAMESPACE, owner)


def put(world: World, item: NewItem) -> None:
    world.commit(PutItems(change_id=world.new_id(), namespace=NAMESPACE, items=(item,)))


def test_what_is_read_does_not_grow_with_what_waits(store: SqlRecordStore, read: Callable[[], int]) -> None:
    world = World(store, ManualClock(), os.urandom(4).hex())
    costs: dict[str, list[int]] = {}
    for count in (FEW, MANY - FEW):
        grow(world, count)
        if store._database.dialect.name == "postgresql":  # as it does within a minute; what waits comes and goes faster than that
            store._database.read(lambda session: session.execute("ANALYZE flowdsl_run"))
        before = read()
        looking = read() - before
        for name, act in everyday(world):
            before = read()
            act()
            costs.setdefault(name, []).append(read() - before - looking)

    assert len(costs) > 30
    assert {name: cost for name, cost in costs.items() if cost[1] - cost[0] > SLACK} == {}
