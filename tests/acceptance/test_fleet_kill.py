"""Workers of a fleet are killed at random moments, again and again: every run arrives, every transition happens once.

FLOWDSL_KILL_RUNS and FLOWDSL_KILLS make it larger; FLOWDSL_KILL_SEED repeats its moments; FLOWDSL_KILL_MATRIX takes every pair of
store and streamer instead of the everyday ones; FLOWDSL_KILL_LEASES=default leaves heartbeat and leases as they are shipped.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy

from examples.fleet import app
from flowdsl import Engine, RunState
from flowdsl.engine import discovery
from flowdsl.ports.record_store import RecordStore
from flowdsl_redis.record_store import RedisRecordStore
from flowdsl_sql.record_store import open_store
from tests.services import RABBITMQ, REDIS, broker, own_kafka, own_sqs, redis_keys, sql_database

ROOT = Path(__file__).parent.parent.parent
RUNS = int(os.environ.get("FLOWDSL_KILL_RUNS", "120"))
KILLS = int(os.environ.get("FLOWDSL_KILLS", "3"))
SEED = int(os.environ.get("FLOWDSL_KILL_SEED", "1"))
WORKERS, CONCURRENCY, STEPS = 3, 3, 3
STEP_MS = KILLS * 750 * WORKERS * CONCURRENCY * STEPS / (RUNS * STEPS)
"""So long that they would be busy for three quarters of a second a kill if none died: nearly all of them die with claims."""
PATIENCE = timedelta(seconds=60 + RUNS / 20)
PAIRS = [
    ("sqlite", ""),
    ("postgresql", ""),
    ("postgresql", "rabbitmq"),
    ("postgresql", "kombu-redis"),
    ("postgresql", "redis"),
    ("postgresql", "its own log"),
    ("postgresql", "sqs"),
    ("postgresql", "kafka"),
    ("mariadb", ""),
    ("redis", ""),
    ("redis", "redis"),
]

STREAMERS = ("", "rabbitmq", "redis", "kombu-redis", "sqs", "kafka", "its own log")
if os.environ.get("FLOWDSL_KILL_MATRIX"):
    SQL = ("sqlite", "postgresql", "mariadb")
    PAIRS = [
        (store, name)
        for store in (*SQL, "redis")
        for name in STREAMERS
        if store in SQL or name not in ("sqs", "kafka", "its own log")
    ]

WORKER = """
from datetime import timedelta
from flowdsl import Engine
from examples.fleet.app import parcels
import os, sys

store, streamer, handoff = sys.argv[1:]
quick = {"beat": timedelta(milliseconds=500), "lapse": timedelta(seconds=2), "lease": timedelta(seconds=2)}
leases = {} if os.environ.get("FLOWDSL_KILL_LEASES") == "default" else quick
with Engine.from_url(parcels, store=store, streamer=streamer or None, handoff=handoff == "on", **leases) as engine:
    print("ready", flush=True)
    sys.stdin.read()
"""


@dataclass
class Place:
    store: str
    streamer: str


@pytest.fixture(params=PAIRS, ids=["-".join(part for part in pair if part) for pair in PAIRS])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    kind, stream = request.param
    query = f"?prefix=t{uuid.uuid4().hex[:12]}."
    urls = {
        "": "",
        "rabbitmq": f"{RABBITMQ}{query}&expires=300",
        "kombu-redis": f"kombu+{REDIS}{query}",
        "redis": f"{REDIS}{query}&claim_after=2",
    }
    if stream in ("rabbitmq", "redis", "kombu-redis"):
        broker(RABBITMQ if stream == "rabbitmq" else REDIS)
    if kind == "redis":
        with redis_keys() as url:
            yield Place(url, urls[stream])
        return
    with ExitStack() as stack:
        url = stack.enter_context(sql_database(kind, tmp_path))
        open_store(url, migrate=True).close()
        if stream == "sqs":
            urls["sqs"] = f"{stack.enter_context(own_sqs())}?region=us-east-1&visibility=2"
        if stream == "kafka":
            urls["kafka"] = f"{stack.enter_context(own_kafka())}/?session.timeout.ms=6000"
        urls["its own log"] = f"{url}{'&' if '?' in url else '?'}claim_after=2"
        yield Place(url, urls[stream])


class Fleet:
    """Worker processes, each replaced as soon as it was killed."""

    def __init__(self, place: Place, handoff: str) -> None:
        self._command = [sys.executable, "-c", WORKER, place.store, place.streamer, handoff]
        self.workers = [self._start() for _ in range(WORKERS)]
        self._starting = set(range(WORKERS))
        for number in range(WORKERS):
            self.await_ready(number)

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, app.STEP_MS: str(STEP_MS), app.CONCURRENCY: str(CONCURRENCY)}
        return subprocess.Popen(self._command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def await_ready(self, number: int) -> int:
        """Until it works; its process id."""
        worker = self.workers[number]
        if number in self._starting:
            assert worker.stdout is not None
            assert worker.stdout.readline() == b"ready\n"
            self._starting.remove(number)
        return worker.pid

    def kill(self, number: int) -> None:
        """Kill one with the signal that nobody can catch, and start another in its place."""
        self.workers[number].kill()
        self.workers[number].communicate()
        self.workers[number] = self._start()
        self._starting.add(number)

    def end(self) -> None:
        for worker in self.workers:
            worker.kill()
            worker.communicate()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("handoff", ["on", "off"])
def test_nothing_is_lost_and_nothing_happens_twice(place: Place, handoff: str) -> None:
    moments = random.Random(SEED)
    client = Engine.client(app.parcels, store=place.store, streamer=place.streamer or None)
    store = discovery.open_store(place.store)
    fleet = Fleet(place, handoff)
    began = time.monotonic()
    try:
        entries = [(f"p-{number}", app.Parcel(weight_g=number)) for number in range(RUNS)]
        handles = client.trigger_many(app.parcels, entries)
        held = 0
        for killed in range(1, KILLS + 1):
            number = moments.randrange(WORKERS)
            pid = fleet.await_ready(number)
            time.sleep(moments.uniform(0.05, 0.5))
            held += claims(place.store, store, pid) > 0
            fleet.kill(number)
            if killed % 20 == 0:
                print(f"{killed} killed, {held} of them with claims, after {time.monotonic() - began:.0f} s", flush=True)
        for handle in handles:
            handle.wait(timeout=PATIENCE)
        records = [handle.record() for handle in handles]
        seconds = time.monotonic() - began
        histories = [handle.history() for handle in handles]
    finally:
        fleet.end()
        client.stop()
        store.close()
    figures = {"runs": RUNS, "kills": KILLS, "of a worker with claims": held, "seconds": round(seconds, 1)}
    print(json.dumps(figures))
    assert len(records) == RUNS
    assert {record.state for record in records} == {RunState.COMPLETED}
    expected = [(1, "announced"), (2, "labelled"), (3, "loaded"), (4, "delivered")]
    assert [rows for rows in histories if [(row.version, row.to_status) for row in rows] != expected] == []


def claims(url: str, store: RecordStore, pid: int) -> int:
    """Rows that the process holds."""
    owner = next((instance.owner for instance in store.instances("default") if instance.pid == pid), None)
    if isinstance(store, RedisRecordStore):
        return len(
            store._server.read("counting", lambda client: client.smembers(store._server.key("owned", "default", owner or "")))
        )
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    try:
        with engine.connect() as connection:
            query = sqlalchemy.text("SELECT COUNT(*) FROM flowdsl_pending WHERE owner = :owner")
            return int(connection.execute(query, {"owner": owner}).scalar_one())
    finally:
        engine.dispose()
