"""The record store in Redis when answers are lost, scripts forgotten, the server emptied or restarted."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from flowdsl.errors import ConfigurationError, StoreError, StoreUnavailableError
from flowdsl.model.change import CommitOutcome, FailRow
from flowdsl.model.item import NewItem
from flowdsl.model.pending import ClaimedRow
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.contracts.samples import NAMESPACE, World
from flowdsl_redis import server as server_module
from flowdsl_redis.record_store import RedisRecordStore, open_store
from tests.proxy import Proxy
from tests.services import REDIS, OwnRedis, broker, own_redis, redis_keys

APPLIED, ALREADY = CommitOutcome.APPLIED, CommitOutcome.ALREADY_APPLIED


@pytest.fixture
def url() -> Iterator[str]:
    with redis_keys() as found:
        yield found


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    made = Proxy(broker(REDIS))
    yield made
    made.close()


@pytest.fixture
def through(proxy: Proxy, url: str) -> Iterator[RedisRecordStore]:
    """A store whose server answers by way of the proxy, and is given up after half a second."""
    store = open_store(f"{proxy.url}?{url.partition('?')[2]}&socket_timeout=0.5")
    yield store
    store.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OwnRedis]:
    with own_redis(tmp_path) as found:
        yield found


def world_of(store: RedisRecordStore) -> World:
    return World(store, ManualClock(), os.urandom(4).hex())


class Losing:
    """Swallows the answers of the next scripts, which are done all the same."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, store: RedisRecordStore, proxy: Proxy) -> None:
        self.left = 0
        run = store._server.scripts.run

        def losing(name: str, *arguments: bytes | str | int) -> object:
            if not self.left:
                return run(name, *arguments)
            self.left -= 1
            run("depth", "", NAMESPACE)  # so that the connection is there
            proxy.silence()
            try:
                return run(name, *arguments)
            finally:
                proxy.speak()
                proxy.cut()

        monkeypatch.setattr(store._server.scripts, "run", losing)


@pytest.fixture
def losing(monkeypatch: pytest.MonkeyPatch, through: RedisRecordStore, proxy: Proxy) -> Losing:
    return Losing(monkeypatch, through, proxy)


def test_a_lost_answer_to_a_commit_is_resolved_by_looking(through: RedisRecordStore, losing: Losing) -> None:
    world = world_of(through)
    start = world.start(items=(NewItem(kind="k", key="mine"),))
    losing.left = 1
    assert world.commit(start).outcome is ALREADY
    record = world.run(start.run_id)
    move = world.move(record)
    losing.left = 2
    assert world.commit(move).outcome is ALREADY
    assert [row.version for row in through.history(start.run_id)] == [1, 2]


def test_rows_of_a_claim_whose_answer_was_lost_are_not_forgotten(through: RedisRecordStore, losing: Losing) -> None:
    world = world_of(through)
    run = world.started()
    owner = world.owner()
    losing.left = 1
    claimed = world.claim_one(owner)
    assert (claimed.row.run_id, claimed.row.delivery) == (run.run_id, 1)

    fail = FailRow(
        change_id="f", row_id=run.run_id, owner=owner, delivery=claimed.row.delivery, error="no", delay=timedelta(seconds=1)
    )
    losing.left = 1
    assert world.commit(fail).outcome is ALREADY
    (row,) = through.rows([run.run_id])
    assert (row.attempts, row.owner) == (1, None)


def test_rows_of_a_claim_that_never_got_an_answer_come_with_the_next(
    through: RedisRecordStore, losing: Losing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "TRIES", 1)
    world = world_of(through)
    runs = {world.started().run_id for _ in range(2)}
    owner = world.owner()
    losing.left = 1
    with pytest.raises(StoreUnavailableError):
        world.claim(owner, limit=1)

    claimed = world.claim(owner)

    assert {entry.row.run_id for entry in claimed} == runs
    assert {entry.row.delivery for entry in claimed} == {1}
    assert not world.claim(owner)


def test_of_two_claims_at_once_one_brings_what_an_earlier_one_had_taken(
    through: RedisRecordStore, losing: Losing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "TRIES", 1)
    world = world_of(through)
    run, owner = world.started(), world.owner()
    losing.left = 1
    with pytest.raises(StoreUnavailableError):
        world.claim(owner)
    claim, others = through._server.attempt, [lambda: through.claim_rows(NAMESPACE, owner, ["unknown"])]
    found: list[ClaimedRow] = []

    def amid(doing: str, work: Callable[[], Any]) -> Any:
        while others:
            found.extend(others.pop()())  # it is asked by another thread, and answered first
        return claim(doing, work)

    monkeypatch.setattr(through._server, "attempt", amid)
    found += through.claim_rows(NAMESPACE, owner, ["unknown"])

    assert [entry.row.run_id for entry in found] == [run.run_id]


def test_a_server_that_does_not_answer_is_an_error_with_a_remedy(through: RedisRecordStore, losing: Losing) -> None:
    losing.left = server_module.TRIES
    with pytest.raises(
        StoreUnavailableError, match=r"committing at redis://127\.0\.0\.1.* failed: .*\. Check that the server runs"
    ):
        world_of(through).commit(world_of(through).start())


def test_scripts_that_the_server_has_forgotten_are_sent_again(server: OwnRedis) -> None:
    store = open_store(server.url)
    world = world_of(store)
    world.started()
    with redis.Redis.from_url(server.url) as client:
        client.script_flush()
    assert world.commit(world.start()).outcome is APPLIED
    store.close()


def test_what_was_committed_is_there_after_a_restart_and_listeners_hear_again(server: OwnRedis) -> None:
    store, other = open_store(server.url), open_store(server.url)
    world = world_of(store)
    run = world.started()
    woken: list[str] = []
    end = other.listen(NAMESPACE, woken.extend)

    server.stop()
    with pytest.raises(StoreUnavailableError):
        store.lookup([run.run_id])
    server.start()

    assert store.lookup([run.run_id])[run.run_id].version == 1
    while "orders/created" not in woken:  # its subscription is made again
        world.started()
    end()
    store.close()
    other.close()


def test_what_others_say_in_the_channel_of_wakes_makes_nobody_deaf(url: str) -> None:
    store, other = open_store(url), open_store(url)
    world, heard = world_of(store), threading.Event()
    end = other.listen(NAMESPACE, lambda topics: heard.set() if topics else None)
    ear = other._ear._thread
    assert ear is not None
    for nonsense in (msgspec.msgpack.encode([]), b"\xc1", msgspec.msgpack.encode([1])):
        store._server.client.publish(store._server.prefix + b"wake\0" + NAMESPACE.encode(), nonsense)
        time.sleep(0.05)
        assert ear._thread.is_alive()

    for _ in range(100):
        world.started()
        if heard.wait(0.1):
            break

    assert heard.is_set()
    end()
    store.close()
    other.close()


def test_a_server_that_keeps_nothing_is_warned_about(server: OwnRedis, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        open_store(server.url).close()
    assert "append-only" not in caplog.text
    with redis.Redis.from_url(server.url) as client:
        client.config_set("appendonly", "no")
    with caplog.at_level(logging.WARNING):
        open_store(server.url).close()
    assert "keeps no append-only file" in caplog.text


def test_no_password_is_shown_and_what_is_wrong_is_said(server: OwnRedis) -> None:
    with pytest.raises(StoreError) as caught:
        open_store(server.url.replace("redis://", "redis://somebody:geheim@"))
    assert "geheim" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="nonsense"):
        open_store(f"{server.url}?nonsense=1")


def test_all_keys_lie_in_one_slot_of_a_cluster(server: OwnRedis) -> None:
    store = open_store(f"{server.url}?prefix=mine")
    world = world_of(store)
    run = world.started(items=(NewItem(kind="k", key="mine", delay=timedelta(0)),))
    world.started()
    world.commit(world.move(run))
    world.claim(world.owner())
    with redis.Redis.from_url(server.url) as client:
        keys = [bytes(key) for key in client.scan_iter()]
    store.close()

    assert len(keys) > 10
    assert [key for key in keys if not key.startswith(b"{mine}:")] == []
