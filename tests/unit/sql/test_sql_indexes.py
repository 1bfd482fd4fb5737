"""How the databases carry the statements out: by index, whatever the size of the tables, and runs in place."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from flowdsl.model.change import PutItems, RequestControl
from flowdsl.model.instance import Instance
from flowdsl.model.item import NewItem
from flowdsl.model.pending import NewRow, RowKind, TopicQuota
from flowdsl.model.query import RunQuery
from flowdsl.model.record import ControlRequest
from flowdsl.model.run_state import RunState
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.contracts.samples import NAMESPACE, World
from flowdsl_sql.database import Session
from flowdsl_sql.record_store import SqlRecordStore, open_store
from tests.services import sql_database

TOPIC = "orders/created"
EXPLAIN = {"sqlite": "EXPLAIN QUERY PLAN", "postgresql": "EXPLAIN", "mysql": "EXPLAIN FORMAT=JSON"}


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlRecordStore]:
    with sql_database(request.param, tmp_path) as url:
        if request.param == "postgresql":  # tables are empty here: without this a scan would be the better plan
            url = url.replace("options=", "options=-cenable_seqscan%3Doff%20")
        store = open_store(url, migrate=True)
        yield store
        store.close()


def everyday(store: SqlRecordStore) -> None:
    """What engines do all day, each kind of statement at least once."""
    world = World(store, ManualClock(), os.urandom(4).hex())
    owner = world.owner()
    runs = [world.started() for _ in range(3)]
    store.beat(NAMESPACE, Instance(owner=owner), timedelta(seconds=30))
    store.claim(NAMESPACE, owner, [TopicQuota(TOPIC, 2)])
    store.claim_rows(NAMESPACE, owner, [run.run_id for run in runs])
    timer = NewRow(row_id="timer", topic="t", kind=RowKind.TIMEOUT, delay=timedelta(hours=1))
    world.commit(world.move(runs[0], "paid", side_rows=(timer,), new_visit=True))
    world.commit(RequestControl(change_id="c", run_id=runs[1].run_id, request=ControlRequest(RunState.PAUSED, "r", "a")))
    for state in (RunState.PAUSED, RunState.RUNNING, RunState.COMPLETED):
        world.commit(world.stop(world.run(runs[0].run_id), state, settle="timer", unless_claimed=True))
    world.commit(world.move(runs[1], "paid", version=9))
    world.commit(world.start(runs[2].foreign_id))
    world.commit(PutItems(change_id="p", namespace=NAMESPACE, items=(NewItem(kind="k", key="k", delay=timedelta(0)),)))
    store.lookup([run.run_id for run in runs])
    store.latest(NAMESPACE, "orders", runs[0].foreign_id)
    store.history(runs[0].run_id)
    store.rows([run.run_id for run in runs])
    store.next_due(NAMESPACE, [TOPIC])
    store.runs(RunQuery(namespace=NAMESPACE))
    store.runs(RunQuery(namespace=NAMESPACE, workflows=("orders",), foreign_ids=("x",)))
    store.item(NAMESPACE, "k", "k")
    store.items(NAMESPACE, "k")
    store.due_items(NAMESPACE, "k", 5)
    store.next_due_item(NAMESPACE, ["k"])
    store.depths(NAMESPACE, [TOPIC])
    store.unattended(NAMESPACE, "orders", ["created"], "", 5)
    store.unattended(NAMESPACE, "orders", ["paid", "created"], "", 5, RowKind.TIMEOUT, {"paid": ("t", "u")})
    store.instances(NAMESPACE)
    store.free_lapsed(NAMESPACE)
    store.leave(NAMESPACE, owner)


def test_no_everyday_statement_reads_a_whole_table(store: SqlRecordStore, monkeypatch: pytest.MonkeyPatch) -> None:
    said: dict[str, Any] = {}

    def listening(method: Callable[..., Any]) -> Callable[..., Any]:
        def say(session: Session, sql: str, parameters: Any = None) -> Any:
            said.setdefault(sql, parameters)
            return method(session, sql, parameters)

        return say

    with monkeypatch.context() as patch:
        patch.setattr(Session, "execute", listening(Session.execute))
        patch.setattr(Session, "later_as_written", listening(Session.later_as_written))
        everyday(store)

    explain = EXPLAIN[store._database.dialect.name]
    scans: list[tuple[str, str]] = []
    explained = 0
    for sql, parameters in said.items():
        if "flowdsl_" not in sql or "flowdsl_version" in sql:
            continue
        explained += 1
        plan = store._database.read(_plan(f"{explain} {sql}", parameters))
        scans.extend((line, sql) for line in plan if "SCAN flowdsl_" in line and "INDEX" not in line or "Seq Scan on" in line)
        scans.extend((line, sql) for line in plan if re.search(r"flowdsl_(pending|item) .*\(namespace=\?\)", line))

    assert explained > 30
    assert scans == []


@pytest.mark.parametrize("store", ["sqlite", "postgresql", "mysql"], indirect=True)
def test_named_rows_are_found_by_name_however_many_wait(store: SqlRecordStore, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(store, ManualClock(), os.urandom(4).hex())
    owner = world.owner()
    runs = [world.started() for _ in range(300)]
    claims: list[tuple[str, Any]] = []

    def listening(session: Session, sql: str, parameters: Any = None) -> Any:
        if "row_id" in sql:
            claims.append((sql, parameters))
        return execute(session, sql, parameters)

    execute = Session.execute
    with monkeypatch.context() as patch:
        patch.setattr(Session, "execute", listening)
        assert len(store.claim_rows(NAMESPACE, owner, [run.run_id for run in runs[100:150]])) == 50

    explain = EXPLAIN[store._database.dialect.name]
    plans = [" ".join(store._database.read(_plan(f"{explain} {sql}", parameters))) for sql, parameters in claims]

    assert all(re.search("autoindex_flowdsl_pending_1|flowdsl_pending_pkey|PRIMARY", plan) for plan in plans)
    assert not [plan for plan in plans if re.search("USING INDEX flowdsl_pending_due|using flowdsl_pending_due", plan)]
    assert not [plan for plan in plans if re.search('"key": "flowdsl_pending_(due|owner)"', plan)]


def _plan(sql: str, parameters: Any) -> Callable[[Session], list[str]]:
    return lambda session: [str(row[-1]) for row in session.execute(sql, parameters).fetchall()]


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
def test_a_runs_everyday_changes_but_its_first_touch_no_index(store: SqlRecordStore) -> None:
    world = World(store, ManualClock(), os.urandom(4).hex())
    runs = [world.started() for _ in range(5)]
    for status in ("paid", "packed", "sent", "paid"):
        for run in runs:
            world.commit(world.move(world.run(run.run_id), status))

    def counts(session: Session) -> Any:
        session.one("SELECT pg_stat_force_next_flush()")
        return session.one(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables"
            " WHERE relname = 'flowdsl_run' AND schemaname = current_schema()"
        )

    # the first of each takes its run out of INITIATED, and states are indexed for listings
    assert tuple(store._database.read(counts)) == (20, 15)
