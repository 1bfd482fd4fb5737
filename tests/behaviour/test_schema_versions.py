"""Runs whose stored object is of another schema version than the code's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.errors import NewerSchemaError
from flowdsl.model.callback_result import CallbackOutcome
from flowdsl.model.run_state import RunState
from tests.behaviour.world import DAY, MINUTE, SECOND, World
from tests.unit.engine.script import Status


@dataclass
class Old:
    total: float
    note: str = ""


@dataclass
class New:
    cents: int
    note: str = ""


def old_code(bodies: list[str]) -> Workflow[Old, Status]:
    flow = Workflow("orders", object_type=Old, status_type=Status)

    @flow.step(from_=Status.CREATED, to=Status.PAID, pause_after_err_count=1)
    def charge(run: Run[Old, Status]) -> None:
        bodies.append(f"old {run.foreign_id}")

    @flow.callback(from_=Status.PAID, to=Status.SHIPPED)
    def ship(run: Run[Old, Status]) -> None:
        bodies.append("old ship")

    return flow


def new_code(bodies: list[str]) -> Workflow[New, Status]:
    flow = Workflow("orders", object_type=New, status_type=Status, schema_version=2)

    @flow.upcast(from_version=1)
    def cents(order: dict[str, Any]) -> dict[str, Any]:
        order["cents"] = round(order.pop("total") * 100)
        return order

    @flow.step(from_=Status.CREATED, to=Status.PAID, pause_after_err_count=1)
    def charge(run: Run[New, Status]) -> None:
        bodies.append(f"new {run.object.cents}")

    @flow.callback(from_=Status.PAID, to=Status.SHIPPED)
    def ship(run: Run[New, Status]) -> None:
        bodies.append("new ship")

    return flow


def test_newer_code_reads_what_older_code_stored_and_stores_it_in_its_own_version(world: World) -> None:
    bodies: list[str] = []
    old, new = old_code(bodies), new_code(bodies)
    handle = world.outsider(old).trigger(old, "o", Old(9.95, "kept"))
    with world.engine(new) as engine:
        engine.run_until_idle()

        run = engine.handle(handle.run_id).run()
        assert (bodies, run.status, run.object) == (["new 995"], Status.PAID, New(995, "kept"))
        payload = run.record.payload
        assert payload is not None
        assert payload.schema_version == 2


def test_older_code_leaves_what_newer_code_stored_to_that_and_counts_no_failure(world: World) -> None:
    bodies: list[str] = []
    old, new = old_code(bodies), new_code(bodies)
    with world.engine(old) as older:
        theirs = world.outsider(new).trigger(new, "theirs", New(995))
        ours = world.outsider(old).trigger(old, "ours", Old(1))
        older.advance(10 * SECOND)

        (row,) = theirs.pending()
        assert (theirs.record().version, row.attempts, row.lapses, row.owner) == (1, 0, 0, None)
        assert bodies == ["old ours"], "a run that only newer code can read holds up no other"
        assert ours.record().status == "paid"

        with world.engine(new) as newer:
            for _ in range(20):
                older.advance(SECOND)
                newer.advance(SECOND)

        assert bodies == ["old ours", "new 995"]
        assert theirs.record().status == "paid"


def test_older_code_that_is_handed_a_run_of_newer_code_leaves_it_too(world: World) -> None:
    """A resume in a process that works hands the row to itself."""
    bodies: list[str] = []
    old, new = old_code(bodies), new_code(bodies)
    handle = world.outsider(new).trigger(new, "theirs", New(995))
    handle.pause("wait")
    with world.engine(old) as older:
        older.handle(handle.run_id).resume()
        older.advance(MINUTE)

        assert (bodies, handle.record().state, handle.pending()[0].attempts) == ([], RunState.RUNNING, 0)


def test_a_callback_to_older_code_is_kept_for_newer_code(world: World) -> None:
    bodies: list[str] = []
    old, new = old_code(bodies), new_code(bodies)
    with world.engine(new) as newer:
        newer.trigger(new, "o", New(995))
        newer.run_until_idle()
        result = world.outsider(old).callback(old, "o", Status.PAID, b"")
        assert result.outcome is CallbackOutcome.KEPT
        newer.run_until_idle()

        assert bodies == ["new 995", "new ship"]
        assert newer.latest(new, "o").record().state is RunState.COMPLETED


def test_to_look_at_what_newer_code_stored_says_so(memory_world: World) -> None:
    old, new = old_code([]), new_code([])
    handle = memory_world.outsider(new).trigger(new, "o", New(995))
    older = memory_world.outsider(old)

    with pytest.raises(NewerSchemaError, match="schema version 2; this code knows 1"):
        older.handle(handle.run_id).run()
    assert older.handle(handle.run_id).record().payload is not None
    assert "has schema version 2; this code knows 1" in str(older.handle(handle.run_id).explain())
    older.handle(handle.run_id).cancel("not ours to read, ours to cancel")
    assert handle.record().state is RunState.CANCELLED


def test_a_pause_does_not_make_older_code_fail_a_run_of_newer_code(world: World) -> None:
    """Not even after a day of looking at it."""
    bodies: list[str] = []
    old, new = old_code(bodies), new_code(bodies)
    handle = world.outsider(new).trigger(new, "o", New(995))
    with world.engine(old) as older:
        for _ in range(5):
            older.advance(SECOND)
            world.clock.advance(DAY)

        assert (handle.record().state, handle.record().version, bodies) == (RunState.INITIATED, 1, [])
