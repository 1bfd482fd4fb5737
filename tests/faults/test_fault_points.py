"""At every point a process is killed, a call fails, or its answer is lost; another process brings all runs to their end.

FLOWDSL_FAULT_MATRIX takes every store and streamer instead of SQLite alone and PostgreSQL with RabbitMQ.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from flowdsl.engine.discovery import open_store
from flowdsl_sql.record_store import open_store as open_sql_store
from tests.faults.scenario import Place, begin, finish
from tests.faults.trap import Action, Point, Trap
from tests.services import RABBITMQ, REDIS, broker, redis_keys, sql_database

ROOT = Path(__file__).parents[2]
PAIRS = [("sqlite", ""), ("postgresql", "rabbitmq")]
if os.environ.get("FLOWDSL_FAULT_MATRIX"):
    STORES = ("sqlite", "postgresql", "mariadb", "redis")
    PAIRS = [
        (store, streamer)
        for store in STORES
        for streamer in ("", "rabbitmq", "redis", "kombu-redis", "its own log")
        if store != "redis" or streamer != "its own log"
    ]
STREAMER_POINTS = {Point.RECEIVE, Point.ACK_BEFORE, Point.ACK_AFTER, Point.PUBLISH_BEFORE, Point.PUBLISH_AFTER}
NOT_OF_ONE_SCRIPT = {Point.TX_UPDATE, Point.TX_OUTBOX}
SAME = {
    (Point.COMMIT_BEFORE, Action.UNKNOWN): "COMMIT_AFTER has the call whose answer is lost",
    (Point.COMMIT_BEFORE, Action.RAISE): "COMMIT_AFTER has the call that fails",
    (Point.ACK_BEFORE, Action.UNKNOWN): "ACK_AFTER has it",
    (Point.ACK_BEFORE, Action.RAISE): "ACK_AFTER has it",
    (Point.PUBLISH_BEFORE, Action.UNKNOWN): "PUBLISH_AFTER has it",
    (Point.PUBLISH_BEFORE, Action.RAISE): "PUBLISH_AFTER has it",
    (Point.STEP_BEFORE, Action.UNKNOWN): "a body is no call: STEP_AFTER fails when its work is done",
    (Point.SLOT_DUE, Action.UNKNOWN): "likewise",
    (Point.TIMER_CLAIMED, Action.UNKNOWN): "CLAIM has it",
}
"""Cells that would be another one once more: which."""
NTH = (1, 2)


def cells() -> list[tuple[Point, Action, int]]:
    return [(point, action, nth) for point in Point for action in Action for nth in NTH if (point, action) not in SAME]


class Nursery:
    """The process whose children may be killed."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.faults.nursery"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def live(self, place: Place, point: Point, action: Action, nth: int) -> str:
        """Begin a scenario in a child; how it ended."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        order = {**place.__dict__, "point": point.name, "action": action.name, "nth": nth}
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    def close(self) -> None:
        self._process.communicate(timeout=60)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    found = Nursery()
    yield found
    found.close()


@pytest.fixture(scope="module", params=PAIRS, ids=["-".join(part for part in pair if part) for pair in PAIRS])
def urls(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    kind, stream = request.param
    query = f"?prefix=t{uuid.uuid4().hex[:12]}."
    streamers = {
        "": "",
        "rabbitmq": f"{RABBITMQ}{query}&expires=120",
        "kombu-redis": f"kombu+{REDIS}{query}",
        "redis": f"{REDIS}{query}&claim_after=2",
    }
    if stream in ("rabbitmq", "redis", "kombu-redis"):
        broker(RABBITMQ if stream == "rabbitmq" else REDIS)
    with ExitStack() as stack:
        if kind == "redis":
            url = stack.enter_context(redis_keys())
        else:
            url = stack.enter_context(sql_database(kind, tmp_path_factory.mktemp("faults")))
            open_sql_store(url, migrate=True).close()
        streamers["its own log"] = f"{url}{'&' if '?' in url else '?'}claim_after=2"
        yield url, streamers[stream]


@pytest.mark.slow
@pytest.mark.parametrize(("point", "action", "nth"), cells(), ids=lambda value: getattr(value, "name", str(value)).lower())
def test_whatever_happens_there_every_run_arrives_once(
    urls: tuple[str, str], nursery: Nursery, tmp_path: Path, point: Point, action: Action, nth: int
) -> None:
    store, streamer = urls
    if point in STREAMER_POINTS and not streamer:
        pytest.skip("there is no streamer")
    if store.startswith("redis") and (point in NOT_OF_ONE_SCRIPT or action is not Action.KILL):
        pytest.skip("a commit is one script; its faults are in tests/unit/redis")
    place = Place(
        store=store,
        streamer=streamer,
        namespace=f"n{uuid.uuid4().hex[:12]}",
        ledger=str(tmp_path / "ledger"),
        handoff=point not in STREAMER_POINTS,  # what is handed over is neither announced nor claimed
    )
    if action is Action.KILL:
        assert nursery.live(place, point, action, nth) == "killed"
    else:
        trap = Trap(point, action, nth)
        begin(place, trap)
        assert trap.snapped > 0
    finish(place)


def test_every_point_has_a_cell() -> None:
    assert {point for point, _, _ in cells()} == set(Point)
    assert len(Point) == 18
    assert {(point, action) for point in Point for action in Action} == {(p, a) for p, a, _ in cells()} | set(SAME)


def test_without_a_trap_the_runs_arrive_as_well(urls: tuple[str, str], tmp_path: Path) -> None:
    place = Place(store=urls[0], streamer=urls[1], namespace=f"n{uuid.uuid4().hex[:12]}", ledger=str(tmp_path / "ledger"))
    begin(place, Trap(None))
    finish(place)
    open_store(urls[0]).close()
