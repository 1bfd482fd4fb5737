"""A datum that is deleted is nowhere: not in the tables, not with the broker, not in logs and metrics."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import sqlalchemy
from prometheus_client import generate_latest
from sqlalchemy.pool import NullPool

from flowdsl.errors import ReplayFailedError
from flowdsl.memory.event_streamer import MemoryEventStreamer
from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.model import wire
from flowdsl.model.outcome import Outcome
from flowdsl.model.pending import RowKind
from flowdsl.model.run_state import RunState
from flowdsl_sql.connect import parse
from tests.behaviour.parcels import Handle, Parcel, ParcelRun, Parcels, Stage, bare
from tests.behaviour.world import HOUR, MINUTE, SECOND, World

CANARY = "canary-7f3e"


class Broker(MemoryEventStreamer):
    """Refuses the user's own events, so that they wait in the store, and keeps the others."""

    def __init__(self, clock: Any) -> None:
        super().__init__(clock)
        self.sent: list[bytes] = []

    def publish(self, events: Any) -> Any:
        hints = [event for event in events if not event.body]
        self.sent += map(wire.encode, hints)
        super().publish(hints)
        return [not event.body for event in events]


def dump(world: World) -> Iterator[str]:
    """Everything that the store holds, a text for each row of each table."""
    if isinstance(world.store, MemoryRecordStore):
        t = world.store._tables
        held = [*t.runs.values(), *(row for rows in t.history.values() for row in rows)]
        held += [row.frozen() for row in t.rows.values()]
        held += [item for items in t.items.values() for item in items.values()]
        for one in held:
            yield f"{type(one).__name__} {msgspec.structs.asdict(one)!r}"
        return
    engine = sqlalchemy.create_engine(parse(world.url), poolclass=NullPool)
    with engine.connect() as connection:
        names = sqlalchemy.inspect(connection).get_table_names()
        assert {"flowdsl_run", "flowdsl_pending", "flowdsl_history", "flowdsl_item"} <= set(names)
        for name in names:
            for row in connection.exec_driver_sql(f"SELECT * FROM {name}"):  # noqa: S608 - a name that the database gave
                yield f"{name} {tuple(bytes(v) if isinstance(v, memoryview) else v for v in row)!r}"
    engine.dispose()


def guises(datum: str) -> list[str]:
    """The datum as text, and as it looks within base64, which depends on what stands before it."""
    encoded = (base64.b64encode(b"." * before + datum.encode()).decode() for before in range(3))
    return [datum, *(text[4 if before else 0 : -4] for before, text in enumerate(encoded))]


def shows(text: str) -> bool:
    return any(guise in text for guise in GUISES)


def found(world: World) -> list[str]:
    return [text for text in dump(world) if shows(text)]


GUISES = guises(CANARY)


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", '{"driver": "'])
def test_the_datum_is_seen_in_any_guise(before: str) -> None:
    text = f"{before}{CANARY} and more"

    assert shows(text)
    assert shows(base64.b64encode(text.encode()).decode())
    assert not shows(base64.b64encode(f"{before}another".encode()).decode())


def leaky(told: list[str]) -> Parcels:
    """A workflow that puts the datum wherever it can."""
    workflow = bare()

    @workflow.step(from_=Stage.PACKED, to=Stage.WAITING, err_backoff=SECOND, pause_after_err_count=3)
    def pack(run: ParcelRun) -> None:
        if run.foreign_id == "fails" and run.attempt < 3:
            raise RuntimeError(f"{CANARY}: the step failed")
        run.publish("packed", {"customer": run.object.driver})

    @workflow.callback(from_=Stage.WAITING, to=Stage.COLLECTED, err_backoff=SECOND, pause_after_err_count=2)
    def pick_up(run: ParcelRun, payload: str) -> Outcome | None:
        if payload.endswith("bad"):
            raise RuntimeError(payload)
        run.object.notes.append(payload)
        return run.pause(payload)

    @workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, after=HOUR, err_backoff=HOUR)
    def nobody_came(run: ParcelRun) -> None:
        raise RuntimeError(f"{CANARY}: the timeout failed")

    @workflow.on_error
    def failed(run: ParcelRun) -> None:
        assert run.failure is not None
        told.append(run.failure.error)
        raise RuntimeError(f"the hook failed about {run.failure.error}")

    @workflow.on_cancel
    def cancelled(run: ParcelRun) -> None:
        raise RuntimeError(f"nobody to tell about {run.object.driver if run.object else 'nobody'}")

    return workflow


def live(world: World, engine: Any, workflow: Parcels) -> list[Handle]:
    """Runs whose data is in every place that there is."""
    datum = Parcel(driver=CANARY, notes=[CANARY])
    fails, kept, early, waits = (engine.trigger(workflow, name, datum) for name in ("fails", "kept", "early", "waits"))
    for handle, payload in ((kept, f"{CANARY} bad"), (early, f"{CANARY} good")):
        engine.callback(workflow, handle.foreign_id, Stage.WAITING, payload)
    engine.advance(MINUTE)
    engine.advance(2 * HOUR)
    assert {handle.record().state for handle in (kept, early)} == {RunState.PAUSED}
    buried = engine.trigger(workflow, "buried", datum)
    buried.pause(f"{CANARY}: look at it")
    engine.callback(workflow, "buried", Stage.WAITING, f"{CANARY} good")
    handles = [fails, kept, early, waits, buried]
    for handle in handles:
        handle.cancel(f"{CANARY}: enough")
    engine.run_until_idle()
    letters = engine.dead_letters.list().letters
    assert sorted(letter.foreign_id for letter in letters) == ["buried", "kept"]
    for letter in letters:
        with pytest.raises(ReplayFailedError):
            engine.dead_letters.replay(letter.letter_id)
    return handles


@pytest.mark.slow
def test_a_datum_that_is_deleted_is_nowhere(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    told: list[str] = []
    workflow, broker = leaky(told), Broker(world.clock)
    with world.engine(workflow, streamer=broker, handoff=False) as engine:
        handles = live(world, engine, workflow)
        before = found(world)
        tables = {text.partition(" ")[0] for text in before}
        assert len(tables) >= 4, "the datum is everywhere: runs, history, rows, items"
        kinds = {row.kind for handle in handles for row in handle.pending()}
        assert {RowKind.HOOK, RowKind.EVENT} <= kinds
        assert any(map(shows, told))

        for handle in handles:
            handle.delete_data(f"{CANARY} asked for it")
        engine.advance(MINUTE)

        assert {handle.record().state for handle in handles} == {RunState.DATA_DELETED}
        assert found(world) == []
        engine.advance(HOUR)
        assert found(world) == [], "and it does not come back"
        assert all(handle.receipt() is not None for handle in handles)

        assert [body for body in broker.sent if shows(body.decode())] == []
        assert broker.sent, "there was something to look at"
        assert not shows(generate_latest(engine.metrics.registry).decode())
        assert len(caplog.records) > 10
        assert [record for record in caplog.records if shows(record.getMessage() + repr(vars(record)))] == []


@pytest.mark.slow
def test_the_data_of_other_runs_stays(world: World) -> None:
    told: list[str] = []
    workflow = leaky(told)
    with world.engine(workflow, streamer=Broker(world.clock)) as engine:
        handles = live(world, engine, workflow)
        handles[0].delete_data("asked to")
        engine.advance(MINUTE)

        assert found(world) != []
        assert all(handle.record().payload is not None for handle in handles[1:])
        assert len(engine.dead_letters.list().letters) == 2
