"""The same life on the stores that the other behaviour tests leave out: MariaDB and Redis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import flowdsl_redis.record_store
import flowdsl_redis.role_scheduler
import flowdsl_sql.record_store
import flowdsl_sql.role_scheduler
from flowdsl.errors import RunNotFoundError
from flowdsl.model.callback_result import CallbackOutcome
from flowdsl.model.outcome import Outcome
from flowdsl.model.run_state import RunState
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.stepped import SteppedEngine
from tests.behaviour.parcels import DAY, Parcel, ParcelRun, Parcels, PickUp, Stage, early, parcels, waiting, way
from tests.behaviour.world import HOUR, MINUTE, SECOND, TICK
from tests.services import mariadb_database, redis_keys

S = RunState


@pytest.fixture(params=["mariadb", "redis"])
def engine_of(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Makes engines on one store."""
    clock = ManualClock()
    with mariadb_database() if request.param == "mariadb" else redis_keys() as url:
        sql = request.param == "mariadb"
        store: Any = (
            flowdsl_sql.record_store.open_store(url, clock=clock, migrate=True)
            if sql
            else flowdsl_redis.record_store.open_store(url, clock=clock)
        )
        roles: Any = (flowdsl_sql if sql else flowdsl_redis).role_scheduler.open_roles(url, clock=clock)
        yield lambda *workflows: SteppedEngine(*workflows, clock=clock, store=store, roles=roles, seed=1)
        roles.close()
        store.close()


def everything(told: list[str]) -> Parcels:
    workflow = parcels(keep_cancelled=DAY, keep_deleted=DAY)

    @workflow.callback(from_=Stage.WAITING, to=Stage.COLLECTED)
    def pick_up(run: ParcelRun, payload: PickUp) -> None:
        run.object.driver = payload.driver

    @workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, after=HOUR, name="remind")
    def remind(run: ParcelRun) -> Stage | Outcome:
        run.object.notes.append("reminded")
        return run.save_and_repeat() if len(run.object.notes) < 3 else Stage.RETURNED

    @workflow.on_pause
    @workflow.on_cancel
    @workflow.on_complete
    def tell(run: ParcelRun) -> None:
        told.append(f"{run.foreign_id} {run.state.label}")
        if len(told) == 1:
            raise RuntimeError("nobody answers")

    return workflow


def test_callbacks_are_kept_applied_once_and_recognised(engine_of: Any) -> None:
    workflow = everything(["not the first"])
    with engine_of(workflow) as engine:
        handle = engine.trigger(workflow, "parcel-1", Parcel())
        early(engine, workflow, idempotency_key="k")
        again = engine.callback(workflow, "parcel-1", Stage.WAITING, PickUp("Eve"), idempotency_key="k")
        engine.run_until_idle()

        assert again.outcome is CallbackOutcome.DUPLICATE
        assert (handle.run().object.driver, way(handle)[-1]) == ("Ada", ("callback", "collected"))
        assert handle.pending() == []


def test_timeouts_repeat_stand_still_in_a_pause_and_are_never_early(engine_of: Any) -> None:
    workflow = everything(["not the first"])
    with engine_of(workflow) as engine:
        handle = waiting(engine, workflow)
        engine.advance(HOUR)
        assert handle.run().object.notes == ["reminded"]
        engine.advance(HOUR / 2)
        handle.pause("lunch")
        engine.advance(10 * HOUR)
        handle.resume()
        engine.advance(HOUR / 2 - TICK)
        assert handle.run().object.notes == ["reminded"]
        engine.advance(TICK)
        assert handle.run().object.notes == ["reminded"] * 2
        engine.advance(HOUR)

        assert (handle.record().state, handle.record().status) == (S.COMPLETED, Stage.RETURNED)
        assert handle.pending() == []


def test_hooks_are_told_until_they_return_and_what_was_deleted_and_kept_long_enough_is_gone(engine_of: Any) -> None:
    told: list[str] = []
    workflow = everything(told)
    with engine_of(workflow) as engine:
        buried = engine.trigger(workflow, "buried", Parcel())
        early(engine, workflow, "buried")
        buried.cancel("lost")
        engine.run_until_idle()
        engine.advance(MINUTE)
        assert told == ["buried Cancelled"] * 2
        (letter,) = engine.dead_letters.list().letters
        assert letter.run_id == buried.run_id
        buried.delete_data("asked to")
        engine.advance(2 * SECOND)

        assert (buried.record().state, buried.record().payload) == (S.DATA_DELETED, None)
        receipt = buried.receipt()
        assert receipt is not None
        assert receipt.dead_letters == 1
        assert engine.dead_letters.list().letters == []
        engine.advance(DAY + 2 * MINUTE)
        with pytest.raises(RunNotFoundError):
            buried.record()
