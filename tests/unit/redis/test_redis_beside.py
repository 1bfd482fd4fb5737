"""The record store in Redis: what is gone is gone whole, and older code may work beside it that knows fewer indexes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from flowdsl.model.change import AddRow, CommitOutcome, DropRow, FailRow, RequestControl
from flowdsl.model.history import Cause, Origin
from flowdsl.model.pending import NewRow, RowKind
from flowdsl.model.record import ControlRequest, Payload, RunRecord
from flowdsl.model.run_state import RunState
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.contracts.beside import HOOKS
from flowdsl.testing.contracts.samples import NAMESPACE, SECOND, World
from flowdsl_redis import record_store as record_store_module
from flowdsl_redis import unattended as unattended_module
from flowdsl_redis.record_store import RedisRecordStore, open_store
from tests.services import redis_keys

HOUR = timedelta(hours=1)
COMPLETED = RunState.COMPLETED


@pytest.fixture
def world() -> Iterator[World]:
    clock = ManualClock()
    with redis_keys() as url:
        store = open_store(url, clock=clock)
        yield World(store, clock, os.urandom(4).hex())
        store.close()


def server(world: World) -> Any:
    assert isinstance(world.store, RedisRecordStore)
    return world.store._server


def everything(world: World) -> dict[bytes, bytes]:
    """All keys of the store, and what they hold."""
    client = server(world).client
    reads: dict[bytes, Callable[[bytes], Any]] = {
        b"hash": client.hgetall,
        b"list": lambda key: client.lrange(key, 0, -1),
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1),
        b"string": client.get,
    }
    return {key: repr(reads[client.type(key)](key)).encode() for key in client.scan_iter(server(world).prefix + b"*")}


def mentions(world: World, word: str) -> list[bytes]:
    return [key for key, value in everything(world).items() if word.encode() in key or word.encode() in value]


def kept(world: World, record: RunRecord, status: str = "shipped", payload: bytes = b"data") -> AddRow:
    row = NewRow(
        row_id=world.new_id("kept"), topic="orders/kept", kind=RowKind.CALLBACK, receiver=status, delay=None, payload=payload
    )
    return AddRow(
        change_id=world.new_id("change"), namespace=NAMESPACE, workflow=record.workflow, run_id=record.run_id,
        version=record.version, row=row,
    )  # fmt: skip


def hook(world: World, payload: bytes | None = None) -> NewRow:
    return NewRow(row_id=world.new_id("hook"), topic="orders//hook", kind=RowKind.HOOK, receiver="tell", payload=payload)


def timer(world: World) -> NewRow:
    return NewRow(row_id=world.new_id("timer"), topic="orders/timer", kind=RowKind.TIMEOUT, delay=HOUR)


def ended(world: World, count: int = 1, state: RunState = COMPLETED) -> list[str]:
    records = [world.started() for _ in range(count)]
    for record in records:
        world.commit(world.stop(record, state))
    return [record.run_id for record in records]


def purge(world: World, *states: RunState, limit: int = 1000, age: timedelta = timedelta(minutes=1)) -> int:
    return world.store.purge(NAMESPACE, "orders", states or (COMPLETED,), age, limit)


def unknown_to_older_code(world: World, *indexes: str) -> None:
    """Older code keeps no such indexes."""
    client = server(world).client
    for index in indexes:
        keys = [*client.scan_iter(server(world).key(index) + b"*")]
        assert keys, index
        client.delete(*keys)


# -- what is gone -------------------------------------------------------------------------------------------------------------


def test_nothing_of_an_erased_run_is_left_on_the_server(world: World) -> None:
    record, owner = world.started(payload=Payload(b'{"name":"canary"}')), world.owner()
    world.commit(kept(world, record, payload=b"canary"))
    row = world.claim_one(owner).row
    claim: Any = {"row_id": row.row_id, "owner": owner, "delivery": row.delivery}
    world.commit(RequestControl(change_id="r", run_id=record.run_id, request=ControlRequest(RunState.PAUSED, "canary", "ada")))
    side_rows = (hook(world, b"canary"),)
    world.commit(FailRow(change_id="f", **claim, error="canary", delay=SECOND, side_rows=side_rows))
    error = Origin(Cause.ERRORS, name="step", actor="a", reason="canary", error="canary")
    world.commit(world.move(record, to_state=RunState.PAUSED, origin=error, row=None))
    hooks = (hook(world, b"canary"), hook(world, b"canary"))
    world.commit(world.stop(world.run(record.run_id), RunState.CANCELLED, "canary", side_rows=hooks))
    told = world.claim(owner, "orders//hook", limit=1)[0].row
    claim = {"row_id": told.row_id, "owner": owner, "delivery": told.delivery}
    world.commit(FailRow(change_id="g", **claim, error="canary", delay=SECOND))
    assert len(world.claim(owner, "orders//hook", limit=1)) == 1
    world.commit(world.move(world.run(record.run_id), to_state=RunState.REQUESTED_DATA_DELETED, row=None))
    assert len(mentions(world, "canary")) > 4

    world.commit(world.move(world.run(record.run_id), to_state=RunState.DATA_DELETED, row=None, erase=True))

    assert mentions(world, "canary") == []
    assert len(world.store.history(record.run_id)) == 5


def test_nothing_of_a_purged_run_is_left_on_the_server(world: World) -> None:
    record, owner = world.started(side_rows=(timer(world),)), world.owner()
    world.commit(kept(world, record))
    world.commit(world.stop(record, COMPLETED, side_rows=(hook(world), hook(world))))
    assert len(world.claim(owner, "orders//hook", "orders/kept", limit=1)) == 2
    world.clock.advance(HOUR)

    assert purge(world) == 1

    assert mentions(world, record.run_id) == mentions(world, record.foreign_id) == []
    assert [key for key in everything(world) if b"hook" in key or b"kept" in key] == []


# -- beside an older version ----------------------------------------------------------------------------------------------------


def test_runs_that_older_code_ended_are_purged_a_page_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_store_module, "WALKED", 2)
    alive = [world.started().run_id for _ in range(3)]
    old = [*ended(world, 5), *ended(world, 1, RunState.CANCELLED)]
    unknown_to_older_code(world, "ended")
    alive.append(world.started().run_id)
    world.clock.advance(HOUR)
    new = ended(world, 1)
    world.clock.advance(HOUR)

    assert purge(world, limit=3) == 3
    assert purge(world) == 3

    assert set(world.store.lookup([*alive, *old, *new])) == {*alive, old[5]}
    assert purge(world, RunState.CANCELLED) == 1


def test_a_search_that_finds_nothing_to_purge_goes_on_with_the_next_purge(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_store_module, "WALKED", 2)
    monkeypatch.setattr(record_store_module, "FRUITLESS", 2)
    for _ in range(9):
        world.started()
        world.clock.advance(SECOND)
    ended(world)
    unknown_to_older_code(world, "ended")
    world.clock.advance(HOUR)

    assert [purge(world) for _ in range(4)] == [0, 0, 1, 0]


def test_a_purge_that_meets_many_runs_that_stay_goes_on_behind_them_next_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_store_module, "PURGED", 2)
    monkeypatch.setattr(record_store_module, "ROUNDS", 2)
    for _ in range(9):
        world.commit(world.stop(world.started(), COMPLETED, side_rows=(hook(world),)))
        world.clock.advance(SECOND)
    free = ended(world)
    world.clock.advance(HOUR)

    def purge_unless_waiting() -> int:
        return world.store.purge(NAMESPACE, "orders", (COMPLETED,), timedelta(minutes=1), 1000, [HOOKS])

    assert [purge_unless_waiting() for _ in range(4)] == [0, 0, 1, 0]
    assert world.store.lookup(free) == {}


def test_runs_are_looked_through_only_while_some_are_missing_from_the_indexes(world: World) -> None:
    world.started()
    ended(world)
    asked = [NAMESPACE, "orders", 0, 10, 1, 0, int(COMPLETED), 0]
    assert server(world).script("purging", "purge", *asked) == [0, 0, 0]

    unknown_to_older_code(world, "ended")

    assert server(world).script("purging", "purge", *asked) == [0, 1, 0]
    assert server(world).script("purging", "purge", *asked) == [0, 1, 0]
    assert server(world).script("purging", "purge", *asked) == [0, 0, 0]


def test_a_run_that_older_code_ended_and_that_went_on_since_is_as_old_as_its_end(world: World) -> None:
    (run_id,) = ended(world)
    unknown_to_older_code(world, "ended")
    world.clock.advance(HOUR)

    world.commit(world.move(world.run(run_id), to_state=RunState.REQUESTED_DATA_DELETED, row=None))
    world.commit(world.move(world.run(run_id), to_state=RunState.DATA_DELETED, row=None))

    assert purge(world, RunState.REQUESTED_DATA_DELETED) == 0
    assert purge(world, RunState.DATA_DELETED) == 1


def test_an_ended_run_that_older_code_moved_is_purged_by_its_state_of_now(world: World) -> None:
    (run_id,) = ended(world)
    before, after = (
        server(world).key("ended", NAMESPACE, "orders", str(int(state))) for state in (COMPLETED, RunState.DATA_DELETED)
    )
    client = server(world).client
    world.commit(world.move(world.run(run_id), to_state=RunState.REQUESTED_DATA_DELETED, row=None))
    world.commit(world.move(world.run(run_id), to_state=RunState.DATA_DELETED, row=None))
    client.rename(after, before)
    world.clock.advance(HOUR)

    assert purge(world) == 0
    assert purge(world, RunState.DATA_DELETED) == 1


def test_runs_that_older_code_started_or_ended_are_known_to_those_who_look_for_missing_timeouts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unattended_module, "PAGE", 2)
    index = server(world).key("unfinished", NAMESPACE, "orders")
    wanted = sorted(world.started().run_id for _ in range(5))
    world.started(side_rows=(timer(world),))
    (over,) = ended(world)
    unknown_to_older_code(world, "unfinished")
    server(world).client.zadd(index, {over: 0})

    def found(after: str, limit: int) -> list[str]:
        records = world.store.unattended(NAMESPACE, "orders", ["created"], after, limit, RowKind.TIMEOUT)
        return [record.run_id for record in records]

    assert found("", 3) == wanted[:3]
    assert found(wanted[2], 9) == wanted[3:]
    assert (found(wanted[4], 9), found("", 0)) == ([], [])
    assert over.encode() not in server(world).client.zrange(index, 0, -1)


def test_runs_that_have_ended_are_in_no_index_of_unfinished_ones(world: World) -> None:
    world.started()
    (run_id,) = ended(world)
    (alive,) = server(world).client.zrange(server(world).key("unfinished", NAMESPACE, "orders"), 0, -1)
    assert alive.decode() != run_id


# -- answers that are lost ------------------------------------------------------------------------------------------------------


def test_adding_a_row_again_is_known_even_when_the_row_has_been_and_gone(world: World) -> None:
    record, owner = world.started(), world.owner()
    change = kept(world, record, "paid")
    world.commit(change)
    world.commit(world.move(record, "paid"))
    row = world.claim_one(owner, "orders/kept").row
    world.commit(DropRow(change_id="d", row_id=row.row_id, owner=owner, delivery=row.delivery))

    assert world.commit(change).outcome is CommitOutcome.ALREADY_APPLIED
