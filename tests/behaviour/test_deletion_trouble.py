"""Deletions that meet trouble: functions that fail, stores that fall silent, workers that die."""

from __future__ import annotations

from typing import Any

import pytest

from flowdsl.model.pending import RowKind
from flowdsl.model.run_state import RunState
from flowdsl.testing.stepped import SteppedEngine
from tests.behaviour.parcels import (
    ADA,
    Handle,
    Parcel,
    ParcelRun,
    Parcels,
    collected,
    early,
    rows,
    waiting,
)
from tests.behaviour.world import HOUR, MINUTE, SECOND, World, failing_commits, sample

S = RunState
ADA_S = Parcel(driver="Ada", notes=["Ada's home address"])


def ended(engine: SteppedEngine, workflow: Parcels, obj: Parcel = ADA_S, foreign_id: str = "parcel-1") -> Handle:
    handle = waiting(engine, workflow, foreign_id, obj)
    handle.cancel("lost")
    engine.run_until_idle()
    return handle


def states(handle: Handle) -> list[RunState]:
    return [row.to_state for row in handle.history()]


# -- failures -----------------------------------------------------------------------------------------------------------------


def test_a_function_that_fails_is_called_until_it_returns(world: World) -> None:
    workflow = collected(defaults={"err_backoff": MINUTE, "pause_after_err_count": 2})
    attempts: list[int] = []

    @workflow.on_delete
    def scrub(run: ParcelRun) -> None:
        attempts.append(run.attempt)
        run.object.driver = None
        if run.attempt < 5:
            raise RuntimeError("the archive is away")
        run.object.notes.clear()

    with world.engine(workflow) as engine:
        handle = ended(engine, workflow)
        handle.delete_data("the customer asked")
        engine.advance(HOUR)

        assert attempts == [1, 2, 3, 4, 5]
        assert (handle.record().state, handle.run().object) == (S.DATA_DELETED, Parcel())
        assert (
            sample(engine, "workflow_process_error_count", workflow_name="parcels", process_name="delete-consumer")
            == len(attempts) - 1
        )


def test_a_function_that_tries_to_move_the_run_is_told_so(world: World) -> None:
    workflow = collected()

    @workflow.on_delete
    def scrub(run: ParcelRun) -> Any:
        return run.cancel("no")

    with world.engine(workflow) as engine:
        handle = ended(engine, workflow)
        handle.delete_data("the customer asked")
        engine.run_until_idle()

        (row,) = rows(handle, RowKind.DELETION)
        assert "called run.cancel(), which does nothing there" in (row.last_error or "")


@pytest.mark.parametrize("lost", [1, 2])
def test_a_store_that_does_not_answer_for_a_while_loses_no_deletion(world: World, lost: int) -> None:
    workflow = collected()
    with world.engine(workflow) as engine:
        handle = ended(engine, workflow)
        handle.delete_data("the customer asked")
    store = failing_commits(world.store, 0)
    with world.engine(workflow, store=store) as engine:
        store.methods["commit"] = failing_commits(world.store, lost).commit
        engine.advance(MINUTE)

        assert (handle.record().state, handle.record().payload, handle.pending()) == (S.DATA_DELETED, None, [])
        assert handle.receipt() is not None


def test_a_worker_that_dies_while_it_deletes_is_followed_by_one_that_does(world: World) -> None:
    workflow = collected()
    engines: list[SteppedEngine] = []

    @workflow.on_delete
    def scrub(run: ParcelRun) -> None:
        run.object.notes.clear()
        run.object.driver = f"attempt {run.attempt}"
        if run.attempt == 1:
            engines[0].crash()
            raise SystemExit

    engines.append(world.engine(workflow))
    with engines[0] as engine:
        handle = ended(engine, workflow)
        handle.delete_data("the customer asked")
        with pytest.raises(Exception, match="not started"):
            engine.run_until_idle()
    assert handle.record().state is S.REQUESTED_DATA_DELETED
    with world.engine(workflow) as other:
        other.advance(MINUTE)
        assert (handle.record().state, handle.run().object) == (S.DATA_DELETED, Parcel(driver="attempt 2"))


def test_a_callback_that_is_about_to_become_a_dead_letter_is_not_forgotten(world: World) -> None:
    """A worker has the kept callback of the ended run in its hands when the deletion comes by."""
    workflow = collected()
    outside = world.outsider(workflow)
    handle = outside.trigger(workflow, "parcel-1", Parcel())
    early(outside, workflow)
    handle.cancel("lost")
    with world.engine(workflow) as slow, world.engine(workflow) as quick:
        store: Any = slow.store
        taken = slow.worker.dispatcher.step()
        assert taken
        assert rows(handle, RowKind.CALLBACK)[0].owner is not None
        handle.delete_data("the customer asked")
        quick.run_until_idle()
        assert handle.record().state is S.REQUESTED_DATA_DELETED, "the deletion waits"
        slow.run_until_idle()
        quick.advance(2 * SECOND)

        assert handle.record().state is S.DATA_DELETED
        assert quick.dead_letters.list().letters == []
        assert store is world.store
        assert ADA not in repr(list(world.store.items("default", "dead_letter"))).encode()


def test_a_kept_callback_of_a_run_whose_data_goes_leaves_no_dead_letter(world: World) -> None:
    workflow = collected()
    outside = world.outsider(workflow)
    handle = outside.trigger(workflow, "parcel-1", Parcel())
    early(outside, workflow)
    handle.cancel("lost")
    handle.delete_data("the customer asked")

    with world.engine(workflow) as engine:
        engine.advance(MINUTE)
        assert handle.record().state is S.DATA_DELETED
        assert engine.dead_letters.list().letters == []
        assert handle.pending() == []
