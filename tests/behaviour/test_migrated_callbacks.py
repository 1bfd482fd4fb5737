"""Callbacks that were kept for a status which has another name now: none is lost."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pytest

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.handle import RunHandle
from flowdsl.model.callback_result import CallbackOutcome
from flowdsl.model.pending import RowKind
from flowdsl.model.run_state import RunState
from flowdsl.testing.stepped import SteppedEngine
from tests.behaviour.world import MINUTE, World


class Before(StrEnum):
    NEW = "new"
    WAITING = "waiting"
    DONE = "done"


class After(StrEnum):
    NEW = "new"
    IN_TRANSIT = "in_transit"
    DONE = "done"


@dataclass
class Parcel:
    signs: list[str] = field(default_factory=list)


def old_code() -> Workflow[Parcel, Before]:
    flow = Workflow("post", object_type=Parcel, status_type=Before)

    @flow.step(from_=Before.NEW, to=Before.WAITING)
    def send(run: Run[Parcel, Before]) -> None: ...

    @flow.callback(from_=Before.WAITING, to=Before.DONE)
    def signed(run: Run[Parcel, Before], payload: bytes) -> Before:
        run.object.signs.append(f"old {payload.decode()}")
        return Before.DONE

    return flow


def new_code(*, broken: bool = False) -> Workflow[Parcel, After]:
    flow = Workflow("post", object_type=Parcel, status_type=After)

    @flow.step(from_=After.NEW, to=After.IN_TRANSIT)
    def send(run: Run[Parcel, After]) -> None: ...

    @flow.callback(from_=After.IN_TRANSIT, to=After.DONE)
    def signed(run: Run[Parcel, After], payload: bytes) -> After:
        run.object.signs.append(f"new {payload.decode()}")
        return After.DONE

    def rewrite(parcel: dict[str, Any]) -> None:
        if broken:
            raise RuntimeError("no luck")

    flow.migrate(from_="waiting", to=After.IN_TRANSIT)(rewrite)
    return flow


def begun(world: World) -> tuple[RunHandle[Any, Any], SteppedEngine, Workflow[Parcel, Before]]:
    """A run in its first status, and a client of the old code."""
    old = old_code()
    client = world.outsider(old)
    return client.trigger(old, "p", Parcel()), client, old


def callbacks(handle: RunHandle[Any, Any]) -> int:
    return sum(row.kind is RowKind.CALLBACK for row in handle.pending())


def signs(handle: RunHandle[Any, Any]) -> list[str]:
    payload = handle.record().payload
    assert payload is not None
    found: list[str] = json.loads(payload.data)["signs"]
    return found


def test_one_that_came_before_its_run_was_there_is_applied_under_the_new_name(world: World) -> None:
    handle, client, old = begun(world)
    assert client.callback(old, "p", Before.WAITING, b"Ada", idempotency_key="k").outcome is CallbackOutcome.KEPT
    with world.engine(new_code()) as engine:
        engine.advance(2 * MINUTE)

        assert (handle.record().status, handle.record().state) == ("done", RunState.COMPLETED)
        assert signs(handle) == ["new Ada"]
        assert callbacks(handle) == 0
        assert client.callback(old, "p", Before.WAITING, b"Ada", idempotency_key="k").outcome is CallbackOutcome.DUPLICATE


def test_one_of_a_run_that_was_paused_there_waits_for_the_resume(world: World) -> None:
    handle, client, old = begun(world)
    with world.engine(old) as worker:
        worker.run_until_idle()
    handle.pause("look at this")
    assert client.callback(old, "p", Before.WAITING, b"Ada").outcome is CallbackOutcome.KEPT
    with world.engine(new_code()) as engine:
        engine.advance(2 * MINUTE)
        assert (handle.record().status, handle.record().state, callbacks(handle)) == ("in_transit", RunState.PAUSED, 1)

        engine.handle(handle.run_id).resume()
        engine.run_until_idle()

        assert signs(handle) == ["new Ada"]


def test_in_a_status_that_its_run_cannot_leave_it_is_left_to_older_code(world: World) -> None:
    handle, client, old = begun(world)
    with world.engine(old) as worker:
        worker.run_until_idle()
    handle.pause("look at this")
    client.callback(old, "p", Before.WAITING, b"Ada")
    handle.resume()
    with world.engine(new_code(broken=True)) as engine:
        engine.advance(2 * MINUTE)
        assert (handle.record().status, callbacks(handle)) == ("waiting", 1)
    with world.engine(old) as worker:
        worker.advance(MINUTE)
        assert signs(handle) == ["old Ada"]


def test_of_a_run_that_ends_meanwhile_it_becomes_a_dead_letter_of_the_new_status(world: World) -> None:
    handle, client, old = begun(world)
    client.callback(old, "p", Before.WAITING, b"Ada")
    handle.cancel("no longer wanted")
    with world.engine(new_code()) as engine:
        engine.run_until_idle()

        (letter,) = engine.dead_letters.list().letters
        assert (letter.body, letter.type, letter.foreign_id) == (b"Ada", "in_transit", "p")
        assert callbacks(handle) == 0


@pytest.mark.parametrize("apply", [True, False])
def test_whoever_carries_the_migration_out_by_hand_is_told_of_callbacks(world: World, apply: bool) -> None:
    handle, client, old = begun(world)
    client.callback(old, "p", Before.WAITING, b"Ada")

    (report,) = world.outsider(new_code()).migrations.apply(dry_run=not apply)

    assert report.callbacks == (1 if apply else 0)
    (row,) = [row for row in handle.pending() if row.kind is RowKind.CALLBACK]
    assert row.receiver == ("in_transit" if apply else "waiting")
