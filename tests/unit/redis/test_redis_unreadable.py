"""Stored values in Redis that no code of ours has written: they hold up nothing but the run that has them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import redis

from flowdsl.errors import StoreError, StoreUnavailableError
from flowdsl.model.pending import NewRow, RowKind
from flowdsl.model.query import RunQuery
from flowdsl.model.run_state import RunState
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.contracts.samples import NAMESPACE, TTL, World
from flowdsl_redis.record_store import RedisRecordStore, open_store
from flowdsl_redis.scripts import PUT_OFF
from tests.services import redis_keys

HOOK = RowKind.HOOK


@pytest.fixture
def store() -> Iterator[RedisRecordStore]:
    with redis_keys() as url:
        store = open_store(url, clock=ManualClock())
        yield store
        store.close()


@pytest.fixture
def world(store: RedisRecordStore) -> World:
    clock = store._server._clock
    assert isinstance(clock, ManualClock)
    return World(store, clock, "w")


def damage(store: RedisRecordStore, what: str, name: str, **values: object) -> None:
    """Change values of a stored record; without any, it is no record any more."""
    client: Any = store._server.client
    assert isinstance(client, redis.Redis)
    key = store._server.key(what, name)
    if not values:
        client.hset(key, "m", b"\xc1")
        return
    packed: Any = client.hget(key, "m")
    client.hset(key, "m", msgspec.msgpack.encode({**msgspec.msgpack.decode(packed), **values}))


@pytest.mark.parametrize(
    ("what", "values"),
    [("run", {"state": 99}), ("run", {"md": "oops"}), ("row", {"att": "many"}), ("row", {})],
    ids=["a state that there is not", "metadata that are no JSON", "a count that is no number", "no record at all"],
)
def test_one_run_that_cannot_be_read_holds_up_no_other(
    store: RedisRecordStore, world: World, what: str, values: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    before, damaged, after = (world.started(metadata={"a": "b"}) for _ in range(3))
    damage(store, what, damaged.run_id, **values)
    owner = world.owner()
    with caplog.at_level(logging.ERROR, "flowdsl.redis"):
        claimed = world.claim(owner)
    assert [entry.row.run_id for entry in claimed] == [before.run_id, after.run_id]
    assert damaged.run_id in caplog.text
    assert world.claim(owner) == [], "it is put off, not claimed again and again"


def test_it_is_tried_again_later_and_goes_on_when_somebody_has_mended_it(store: RedisRecordStore, world: World) -> None:
    record = world.started()
    damage(store, "run", record.run_id, state=99)
    assert world.claim(world.owner()) == []
    damage(store, "run", record.run_id, state=1)
    (row,) = store.rows([record.run_id])
    assert (row.owner, row.attempts) == (None, 1)
    assert "cannot be read" in (row.last_error or "")
    world.clock.advance(PUT_OFF)
    assert world.claim_one(world.owner()).run == record


def test_an_event_s_row_that_cannot_be_read_is_put_off_too(store: RedisRecordStore, world: World) -> None:
    damaged, broken, fine = world.started(), world.started(), world.started()
    damage(store, "run", damaged.run_id, state=99)
    damage(store, "row", broken.run_id)
    claimed = store.claim_rows(NAMESPACE, world.owner(), [damaged.run_id, broken.run_id, fine.run_id])
    assert [entry.row.run_id for entry in claimed] == [fine.run_id]
    assert store.rows([damaged.run_id])[0].owner is None


def test_rows_that_cannot_even_be_put_off_cost_the_others_nothing(
    store: RedisRecordStore, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged, fine = world.started(), world.started()
    damage(store, "run", damaged.run_id, state=99)

    def away(_: object) -> None:
        raise StoreUnavailableError("the server is away.")

    owner = world.owner()
    monkeypatch.setattr(store, "commit", away)
    assert [entry.row.run_id for entry in world.claim(owner)] == [fine.run_id]
    monkeypatch.undo()
    world.clock.advance(2 * TTL)
    assert store.free_lapsed(NAMESPACE) == 2, "both come back when their owner is gone"


def test_whoever_asks_for_it_is_told_which_run_it_is(store: RedisRecordStore, world: World) -> None:
    record = world.started()
    damage(store, "run", record.run_id, state=99)
    for ask in (
        lambda: world.run(record.run_id),
        lambda: store.latest(NAMESPACE, record.workflow, record.foreign_id),
        lambda: store.runs(RunQuery()),
    ):
        with pytest.raises(StoreError, match=f"run {record.run_id} holds stored values that cannot be read"):
            ask()


@pytest.mark.parametrize("kind", [RowKind.STEP, RowKind.TIMEOUT])
@pytest.mark.parametrize("values", [{"state": 99}, {"md": "oops"}, {}], ids=["state", "metadata", "no record"])
def test_the_sweeper_passes_it_over(store: RedisRecordStore, world: World, kind: RowKind, values: dict[str, object]) -> None:
    damaged, bare = world.started(row=None), world.started(row=None)
    damage(store, "run", damaged.run_id, **values)
    assert list(store.unattended(NAMESPACE, "orders", ["created"], "", 10, kind)) == [bare]


@pytest.mark.parametrize("filed", [True, False], ids=["", "ended by older code"])
def test_a_purge_leaves_it_and_takes_the_others(store: RedisRecordStore, world: World, filed: bool) -> None:
    damaged, *others = [world.started() for _ in range(3)]
    for record in (damaged, *others):
        world.commit(
            world.stop(record, RunState.COMPLETED, side_rows=(NewRow(row_id=f"{record.run_id}/h", topic="h", kind=HOOK),))
        )
    damage(store, "run", damaged.run_id)
    damage(store, "row", f"{others[0].run_id}/h")
    world.clock.advance(TTL)
    if not filed:
        store._server.client.delete(store._server.key("ended", NAMESPACE, "orders", str(int(RunState.COMPLETED))))

    assert [store.purge(NAMESPACE, "orders", [RunState.COMPLETED], TTL / 2, 10) for _ in range(2)] == [2, 0]

    client: Any = store._server.client
    left = [key for key in client.scan_iter(store._server.prefix + b"*") if b"run-" in key.partition(b"\0")[2]]
    assert {key.partition(b"\0")[2] for key in left} == {damaged.run_id.encode(), f"{damaged.run_id}/h".encode()}
