"""Workers are killed in the middle of a connector's work, again and again: every event of the queue starts exactly one run.

FLOWDSL_KILL_RUNS and FLOWDSL_KILLS make it larger; FLOWDSL_KILL_SEED repeats its moments.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from kombu.connection import Connection

from flowdsl import Engine, RunState, Workflow
from flowdsl.model.query import Cursor
from flowdsl_sql.record_store import open_store
from tests.services import RABBITMQ, broker, sql_database

ROOT = Path(__file__).parent.parent.parent
EVENTS = int(os.environ.get("FLOWDSL_KILL_RUNS", "200"))
KILLS = int(os.environ.get("FLOWDSL_KILLS", "3"))
SEED = int(os.environ.get("FLOWDSL_KILL_SEED", "1"))
WORKERS = 3
CONSUMERS = 2
PATIENCE = 60 + EVENTS / 10

WORKER = """
import os, sys, time
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from flowdsl import ConnectorEngine, Engine, Incoming, Run, Workflow
from flowdsl.model.reading import header
from flowdsl_kombu.connector_source import KombuSource

store, broker, queue, consumers = sys.argv[1:]


class Status(StrEnum):
    ANNOUNCED = "announced"
    STORED = "stored"


@dataclass
class Announcement:
    number: int


parcels = Workflow("parcels", object_type=dict[str, int], status_type=Status)


@parcels.step(from_=Status.ANNOUNCED, to=Status.STORED)
def store_it(run: Run[dict[str, int], Status]) -> None:
    time.sleep(0.001)


source = KombuSource(broker, queue, foreign_id=header("parcel"), prefetch=20)


@parcels.connector("warehouse", source=source, parallel_count=int(consumers), concurrency=5)
def on_announcement(engine: ConnectorEngine, event: Incoming[Announcement]) -> None:
    time.sleep(0.01)
    engine.trigger(parcels, event.foreign_id, {"number": event.payload.number})
    time.sleep(0.01)  # stored and not yet acknowledged
    os.write(1, f"handled {event.event_id}\\n".encode())  # in one piece, though other threads and processes write here, too


with Engine.from_url(
    parcels, store=store, beat=timedelta(milliseconds=500), lapse=timedelta(seconds=2), lease=timedelta(seconds=2)
) as engine:
    print("ready", flush=True)
    sys.stdin.read()
"""


class Status(StrEnum):
    ANNOUNCED = "announced"
    STORED = "stored"


parcels = Workflow("parcels", object_type=dict[str, int], status_type=Status)


@parcels.step(from_=Status.ANNOUNCED, to=Status.STORED)
def store_it(run: Any) -> None:
    """The workers' own does the work."""


@dataclass
class Place:
    store: str
    queue: str
    channel: Any


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with sql_database("postgresql", tmp_path) as url, Connection(broker(RABBITMQ)) as connection:
        open_store(url, migrate=True).close()
        channel: Any = connection.channel()
        queue = f"t{uuid.uuid4().hex}"
        channel.queue_declare(queue=queue, durable=True, auto_delete=False, arguments={"x-expires": 600_000})
        yield Place(url, queue, channel)
        channel.queue_delete(queue=queue)


class Fleet:
    """Worker processes, each replaced as soon as it was killed."""

    def __init__(self, place: Place, log: Path) -> None:
        self._command = [sys.executable, "-c", WORKER, place.store, RABBITMQ, place.queue, str(CONSUMERS)]
        self._log = log
        self.workers = [self._start() for _ in range(WORKERS)]

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as out:
            return subprocess.Popen(self._command, cwd=ROOT, stdin=subprocess.PIPE, stdout=out)

    def kill(self, number: int) -> None:
        """Kill one with the signal that nobody can catch, and put another in its place."""
        self.workers[number].kill()
        self.workers[number].communicate()
        self.workers[number] = self._start()

    def end(self) -> None:
        for worker in self.workers:
            worker.kill()
            worker.communicate()

    def handled(self) -> Counter[str]:
        """How often each event was handled to its end."""
        return Counter(line.split()[1] for line in self._log.read_text().splitlines() if line.startswith("handled "))


def send(place: Place) -> None:
    for number in range(EVENTS):
        message = place.channel.prepare_message(
            json.dumps({"number": number}),
            content_type="application/json",
            content_encoding="utf-8",
            headers={"parcel": f"p-{number:05}"},
            properties={"message_id": f"m-{number:05}", "delivery_mode": 2},
        )
        place.channel.basic_publish(message, exchange="", routing_key=place.queue)


def waiting(place: Place) -> int:
    return int(place.channel.queue_declare(queue=place.queue, passive=True).message_count)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_event_starts_one_run_though_workers_are_killed(place: Place, tmp_path: Path) -> None:
    moments = random.Random(SEED)
    client = Engine.client(parcels, store=place.store)
    send(place)
    fleet = Fleet(place, tmp_path / "log")
    began = time.monotonic()
    try:
        for _ in range(KILLS):
            goal = sum(fleet.handled().values()) + moments.randint(1, EVENTS // (KILLS + 1))
            while sum(fleet.handled().values()) < goal and waiting(place):
                assert time.monotonic() - began < PATIENCE, "nothing goes on"
                time.sleep(0.01)
            # whoever works: the roles are with two of three, and all of them may have runs in hand
            for number in range(WORKERS):
                fleet.kill(number)
        while len(records(client, RunState.COMPLETED)) < EVENTS or waiting(place) or attempts(client):
            assert time.monotonic() - began < PATIENCE, f"{len(records(client, None))} runs, {waiting(place)} events wait"
            time.sleep(0.1)
        found = records(client, None)
        handled = fleet.handled()
    finally:
        fleet.end()
    letters = client.dead_letters.list().letters
    client.stop()
    twice = sum(count - 1 for count in handled.values())
    print(json.dumps({"events": EVENTS, "kills": KILLS * WORKERS, "handled again": twice, "s": round(time.monotonic() - began)}))
    assert Counter(found) == {f"p-{number:05}": 1 for number in range(EVENTS)}
    assert (letters, waiting(place)) == ([], 0)


def attempts(client: Engine) -> int:
    """Notes on events that are being tried; none is left behind."""
    return len(client._the_core().store.items("default", "connector_attempt"))


def records(client: Engine, state: RunState | None) -> list[str]:
    found: list[str] = []
    after: Cursor | None = None
    while True:
        page = client.runs(parcels, states=[] if state is None else [state], limit=500, after=after)
        found += [run.foreign_id for run in page.runs]
        after = page.next
        if after is None:
            return found
