"""A few runs with everything that a commit may hold: steps, a timeout, a schedule, a handover. They begin in one process, with a
trap, and are brought to their end by another."""

from __future__ import annotations

import logging
import zlib
from collections import Counter
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.discovery import open_roles, open_store, open_streamer
from flowdsl.errors import StoreError
from flowdsl.model.history import Cause
from flowdsl.model.query import Order, RunQuery
from flowdsl.model.run_state import RunState
from flowdsl.model.schedule import IfRunning, Misfire
from flowdsl.options import Retry
from flowdsl.testing.clock import START, ManualClock
from flowdsl.testing.stepped import SteppedEngine
from tests.faults.trap import Point, Trap
from tests.faults.trapped_ports import TrappedRoles, TrappedStore, TrappedStreamer
from tests.faults.trapped_sql import trapped_sql

RUNS = 3
TICK = timedelta(seconds=5)
LIFE = 26
"""Ticks that the first process has: past the timeouts, and past the second slot of the schedule."""
RESCUE = 16
LATER = START + timedelta(minutes=5)
"""When the second process begins."""
STORY = [
    (1, None, "new", Cause.TRIGGER),
    (2, "new", "asked", Cause.STEP),
    (3, "asked", "late", Cause.TIMEOUT),
    (4, "late", "done", Cause.STEP),
]
MINUTE = timedelta(minutes=1)
log = logging.getLogger("flowdsl.faults")


class Status(StrEnum):
    NEW = "new"
    ASKED = "asked"
    LATE = "late"
    DONE = "done"


@dataclass
class Letter:
    marks: list[str] = field(default_factory=list)


class BrokenError(Exception):
    """What a body raises where a trap is set in it."""


@dataclass(frozen=True)
class Place:
    """Where a scenario plays: several of them share a database and a broker, each in a namespace of its own."""

    store: str
    streamer: str
    namespace: str
    ledger: str
    """A file to which bodies add a line before they do anything, outside of the store."""
    handoff: bool = True


def letters(place: Place, trap: Trap) -> Workflow[Letter, Status]:
    """The workflow, its bodies passing the trap."""
    workflow: Workflow[Letter, Status] = Workflow(
        "letters", object_type=Letter, status_type=Status, defaults={"retry": Retry(backoff=TICK, jitter=False)}
    )

    def act(run: Run[Letter, Status]) -> None:
        with Path(place.ledger).open("a") as lines:
            lines.write(f"{run.run_id} {run.version}\n")
        trap.before(Point.STEP_BEFORE, broken)
        trap.here(Point.STEP_BEFORE, broken)
        run.object.marks.append(f"{run.status.value}@{run.version}")
        trap.before(Point.STEP_AFTER, broken)
        trap.here(Point.STEP_AFTER, broken)

    @workflow.step(from_=Status.NEW, to=Status.ASKED)
    def ask(run: Run[Letter, Status]) -> Status:
        act(run)
        return Status.ASKED

    @workflow.timeout(from_=Status.ASKED, to=Status.LATE, after=timedelta(seconds=10))
    def wait_no_longer(run: Run[Letter, Status]) -> Status:
        trap.before(Point.TIMER_CLAIMED, broken)
        act(run)
        return Status.LATE

    @workflow.step(from_=Status.LATE, to=Status.DONE)
    async def write(run: Run[Letter, Status]) -> Status:
        act(run)
        return Status.DONE

    @workflow.schedule("* * * * *", foreign_id="daily", start_status=Status.LATE, misfire=Misfire.ALL, if_running=IfRunning.ALLOW)
    def every_minute(slot: datetime) -> Letter:
        trap.before(Point.SLOT_DUE, broken)
        trap.here(Point.SLOT_DUE, broken)
        return Letter()

    return workflow


def broken() -> None:
    raise BrokenError("a trap snapped")


@contextmanager
def engine_at(place: Place, clock: ManualClock, trap: Trap) -> Generator[tuple[SteppedEngine, Workflow[Letter, Status]]]:
    """An engine without threads on real adapters, whose calls pass the trap."""
    with ExitStack() as stack:
        sql = not place.store.startswith("redis")
        traps = stack.enter_context(trapped_sql(trap)) if sql else None
        store = open_store(place.store, clock)
        roles = open_roles(place.store, clock)
        if not sql:
            roles = TrappedRoles(roles, trap)
        streamer = open_streamer(place.streamer) if place.streamer else None
        workflow = letters(place, trap)
        engine = SteppedEngine(
            workflow,
            clock=clock,
            store=TrappedStore(store, trap, traps),
            roles=roles,
            streamer=None if streamer is None else TrappedStreamer(streamer, trap),
            namespace=place.namespace,
            handoff=place.handoff,
            seed=zlib.crc32(
                f"{place.namespace} {clock.now()}".encode()
            ),  # ids come from it: no two scenarios of a database share them
        )
        try:
            yield engine, workflow
        finally:
            if engine._stepped is not None:
                engine.crash()
            store.close()
            roles.close()
            if streamer is not None:
                streamer.close()


def begin(place: Place, trap: Trap) -> None:
    """The first process: triggers the runs and works on them for a while. It may not survive it."""
    clock = ManualClock(START)
    with engine_at(place, clock, trap) as (engine, workflow):
        _enter(engine, clock)
        for number in range(RUNS):
            _trigger(engine, workflow, number)
            engine.run_until_idle()
            clock.advance(TICK)  # so that each timeout is due at a time of its own
        for _ in range(LIFE):
            clock.advance(TICK)
            engine.run_until_idle()


def finish(place: Place) -> None:
    """The second process: asks for the runs once more, as a customer would who got no answer, and works until nothing is left."""
    clock = ManualClock(LATER)
    with engine_at(place, clock, Trap(None)) as (engine, workflow):
        engine.__enter__()
        for number in range(RUNS):
            _trigger(engine, workflow, number)
        for _ in range(RESCUE):
            clock.advance(TICK)
            engine.run_until_idle()
        check(engine, place, clock)


def _enter(engine: SteppedEngine, clock: ManualClock) -> None:
    """A process that cannot reach its store when it starts is started again."""
    while True:
        try:
            engine.__enter__()
        except StoreError as error:
            log.info("not started: %s", error)
            clock.advance(TICK)
        else:
            return


def _trigger(engine: SteppedEngine, workflow: Workflow[Letter, Status], number: int) -> None:
    for _ in range(10):
        try:
            engine.trigger(workflow, f"letter-{number}", Letter(), idempotency_key=f"key-{number}", actor="customer")
        except StoreError as error:
            log.info("asked again: %s", error)
        else:
            return


def check(engine: SteppedEngine, place: Place, clock: ManualClock) -> None:
    """Every run is there once, has come along its whole way once, and has nothing left; every slot has its run."""
    store = engine.store
    records = store.runs(RunQuery(namespace=place.namespace, order=Order.OLDEST_FIRST, limit=500)).runs
    asked = [record for record in records if "slot" not in record.metadata]
    slots = [record for record in records if "slot" in record.metadata]
    assert sorted(record.foreign_id for record in asked) == [f"letter-{number}" for number in range(RUNS)]
    assert {record.state for record in records} == {RunState.COMPLETED}, [(r.foreign_id, r.state, r.reason) for r in records]
    for record in asked:
        history = store.history(record.run_id)
        assert [(row.version, row.from_status, row.to_status, row.cause) for row in history] == STORY
        marks = engine.handle(record.run_id).run().object.marks
        assert marks == ["new@1", "asked@2", "late@3"], marks
    assert list(store.rows([record.run_id for record in records])) == []
    fired = sorted(datetime.fromisoformat(record.metadata["slot"]) for record in slots)
    first, count = fired[0], len(fired)
    assert fired == [first + number * MINUTE for number in range(count)], "each slot once, none left out"
    assert first <= LATER + MINUTE
    assert fired[-1] + MINUTE > clock.now()
    executed = Counter(Path(place.ledger).read_text().split("\n")[:-1])
    most = max(executed.values())
    assert most <= 6, f"one version was executed {most} times"
