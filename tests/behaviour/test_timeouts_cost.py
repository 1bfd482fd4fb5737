"""Timers that wait cost nothing while they wait: what a look for due ones reads does not depend on how many there are."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from flowdsl.model.instance import Instance
from flowdsl.model.pending import TopicQuota
from flowdsl.naming import timeout_topic
from flowdsl.testing.stepped import SteppedEngine
from flowdsl_sql.database import Session
from flowdsl_sql.record_store import SqlRecordStore
from tests.behaviour.parcels import DAY, Handle, Parcel, ParcelRun, Parcels, Stage, bare
from tests.behaviour.world import HOUR, SECOND, World

MANY = 5_000


def waiting_for_days() -> Parcels:
    workflow = bare(Stage.WAITING, Stage.COLLECTED)

    @workflow.timeout(from_=Stage.PACKED, to=Stage.RETURNED, after=3 * DAY)
    def forgotten(run: ParcelRun) -> None:
        run.object.notes.append("sent back")

    return workflow


def fill(world: World, workflow: Parcels, count: int) -> list[Handle]:
    engine = world.outsider(workflow)
    return engine.trigger_many(workflow, [(f"parcel-{count}-{number}", Parcel()) for number in range(count)])


class Counting:
    """A store that counts what it is asked."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if callable(found):
            self.calls[name] += 1
        return found


def test_an_idle_worker_asks_the_store_as_often_with_timers_as_without(memory_world: World) -> None:
    workflow = waiting_for_days()
    asked: list[Counter[str]] = []
    for count in (0, 500):
        fill(memory_world, workflow, count)
        store: Any = Counting(memory_world.store)
        with memory_world.engine(workflow, store=store) as engine:
            engine.run_until_idle()
            store.calls.clear()
            idle(engine)
            asked.append(store.calls)

    assert asked[0] == asked[1]


def idle(engine: SteppedEngine) -> None:
    """Ten seconds of polling."""
    for _ in range(20):
        engine.clock.advance(SECOND / 2)
        while engine.step():
            pass


@pytest.mark.slow
def test_a_look_for_due_timers_reads_no_more_of_many_that_wait_than_of_few(world: World) -> None:
    workflow = waiting_for_days()
    quota = TopicQuota(timeout_topic("parcels", "packed", "forgotten"), 100)
    store = world.store
    store.beat("default", Instance(owner="me"), DAY)
    few = fill(world, workflow, 10)
    world.clock.advance(SECOND)
    if isinstance(store, SqlRecordStore) and world.kind == "postgresql":
        assert rows_read(store, world, quota) <= 2
    fill(world, workflow, MANY)
    if isinstance(store, SqlRecordStore) and world.kind == "postgresql":
        assert rows_read(store, world, quota) <= 2
    assert list(store.claim("default", "me", [quota])) == []

    world.clock.advance(3 * DAY + HOUR)
    store.beat("default", Instance(owner="you"), DAY)
    due = store.claim("default", "you", [quota])
    assert len(due) == 100
    assert {row.row.run_id for row in due} >= {handle.run_id for handle in few}, "those that were due first come first"


def rows_read(store: SqlRecordStore, world: World, quota: TopicQuota) -> int:
    """How many rows PostgreSQL reads of the table of pending rows to find none that is due."""
    claims = store._claims
    parameters = {
        "namespace": "default",
        "owner": "me",
        "mark": "m",
        "topics": [quota.topic],
        "quotas": [quota.limit],
        "now": int(world.clock.now().timestamp() * 1_000_000),
    }

    def explain(session: Session) -> Any:
        session.cursor.execute("ANALYZE flowdsl_pending")
        session.cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {claims._pg_claim}".encode(), parameters)
        return session.cursor.fetchone()

    found: Any = store._database.read(explain)
    return sum(node["Actual Rows"] * node["Actual Loops"] for node in nodes(found[0][0]["Plan"]) if reads_pending(node))


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(inner for part in plan.get("Plans", ()) for inner in nodes(part))]


def reads_pending(node: dict[str, Any]) -> bool:
    return node.get("Relation Name") == "flowdsl_pending" and "Scan" in node["Node Type"]
