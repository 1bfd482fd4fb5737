"""A broker is stopped and started, emptied, the database is restarted, in the middle of the work: every run arrives by itself."""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest
import redis

from examples.fleet import app
from flowdsl import Engine, RunState
from flowdsl.engine.handle import RunHandle
from flowdsl_sql.record_store import open_store
from tests.services import own_postgresql, own_rabbitmq, own_redis, postgresql_schema

RUNS = int(os.environ.get("FLOWDSL_FAILURE_RUNS", "2000"))
PATIENCE = timedelta(seconds=180)


@pytest.fixture(autouse=True)
def quick_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(app.STEP_MS, "2")


@pytest.fixture
def collected() -> Iterator[None]:
    """The AMQP client leaves the socket of a handshake that broke to the garbage collector, which must not warn other tests."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def runs_arrive(store: str, streamer: str | None, fault: Callable[[], None]) -> None:
    """Two engines work on RUNS runs; the fault happens when about a third has arrived."""
    open_store(store, migrate=True).close()
    with ExitStack() as stack:
        engines = [stack.enter_context(Engine.from_url(app.parcels, store=store, streamer=streamer)) for _ in range(2)]
        handles: list[RunHandle[app.Parcel, app.ParcelStatus]] = []
        for begin in range(0, RUNS, 100):
            entries = [(f"p-{number}", app.Parcel(weight_g=number)) for number in range(begin, begin + 100)]
            handles += engines[begin // 100 % 2].trigger_many(app.parcels, entries)
        handles[RUNS // 3].wait(timeout=PATIENCE)

        fault()

        for handle in handles:
            handle.wait(timeout=PATIENCE)
        records = [handle.record() for handle in handles]
        versions = [[row.version for row in handle.history()] for handle in handles]
    assert {record.state for record in records} == {RunState.COMPLETED}
    assert [some for some in versions if some != [1, 2, 3, 4]] == []


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_rabbitmq_is_stopped_and_started(tmp_path: Path, collected: None) -> None:
    with own_rabbitmq(tmp_path) as broker, postgresql_schema() as store:

        def fault() -> None:
            broker.stop()
            broker.start()

        runs_arrive(store, broker.url, fault)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("scheme", ["redis", "kombu+redis"])
def test_redis_is_emptied(tmp_path: Path, scheme: str) -> None:
    with own_redis(tmp_path) as broker, postgresql_schema() as store, redis.Redis.from_url(broker.url) as client:
        runs_arrive(store, broker.url.replace("redis", scheme, 1), lambda: client.flushall() and None)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("streamer", [False, True], ids=["store alone", "with its log as streamer"])
def test_the_database_is_restarted(streamer: bool) -> None:
    with own_postgresql() as database:

        def fault() -> None:
            database.stop()
            database.start()

        runs_arrive(database.url, database.url if streamer else None, fault)
