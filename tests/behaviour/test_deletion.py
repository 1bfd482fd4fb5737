"""Deletion of data: asked for first, done by a worker, and proved by a receipt."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flowdsl.dsl.workflow import Workflow
from flowdsl.errors import IllegalMoveError, RunNotFoundError
from flowdsl.model.history import Cause
from flowdsl.model.run_state import RunState
from flowdsl.testing.stepped import SteppedEngine
from tests.behaviour.parcels import (
    Handle,
    Parcel,
    ParcelRun,
    Parcels,
    PickUp,
    Stage,
    collected,
    early,
    parcels,
    waiting,
)
from tests.behaviour.world import HOUR, World

S = RunState
ADA_S = Parcel(driver="Ada", notes=["Ada's home address"])


def ended(engine: SteppedEngine, workflow: Parcels, obj: Parcel = ADA_S, foreign_id: str = "parcel-1") -> Handle:
    handle = waiting(engine, workflow, foreign_id, obj)
    handle.cancel("lost")
    engine.run_until_idle()
    return handle


def states(handle: Handle) -> list[RunState]:
    return [row.to_state for row in handle.history()]


# -- the two moves ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["cancelled", "completed"])
def test_data_is_deleted_in_two_moves_requested_first_and_done_by_a_worker(world: World, end: str) -> None:
    workflow = collected()
    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow, obj=ADA_S)
        if end == "cancelled":
            handle.cancel("lost")
        else:
            engine.callback(workflow, "parcel-1", Stage.WAITING, PickUp("Ada"))

        asked = handle.delete_data("the customer asked", actor="Eve")

        assert (asked.state, asked.payload is None) == (S.REQUESTED_DATA_DELETED, False)
        assert handle.receipt() is None
        engine.run_until_idle()
        record = handle.record()
        assert (record.state, record.payload, record.status) == (S.DATA_DELETED, None, asked.status)
        assert states(handle)[-3:] == [RunState[end.upper()], S.REQUESTED_DATA_DELETED, S.DATA_DELETED]
        requested, done = handle.history()[-2:]
        assert (requested.cause, requested.actor, done.cause) == (Cause.DELETION, "Eve", Cause.DELETION)
        assert handle.pending() == []
        assert engine.trigger(workflow, "parcel-1", Parcel()).created, "the foreign id is free"


def test_a_request_waits_for_a_worker_and_may_be_made_without_the_code(world: World) -> None:
    workflow = collected()
    with world.engine(workflow) as engine:
        handle = ended(engine, workflow)
    stranger = world.engine(store=world.open_store())
    stranger.handle(handle.run_id).delete_data("the customer asked")
    assert handle.record().payload is not None

    with world.engine(workflow) as engine:
        engine.run_until_idle()
        assert handle.record().state is S.DATA_DELETED


def test_an_unfinished_run_keeps_its_data_and_says_what_to_do(world: World) -> None:
    workflow = collected()
    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
        for _ in range(2):
            with pytest.raises(IllegalMoveError, match="Cancel it first"):
                handle.delete_data("the customer asked")
            if handle.record().state is S.RUNNING:
                handle.pause("lunch")
        assert handle.record().version == 3


def test_a_deletion_may_be_asked_for_again_once_it_is_done(world: World) -> None:
    workflow = collected()
    with world.engine(workflow) as engine:
        handle = ended(engine, workflow)
        handle.delete_data("once")
        with pytest.raises(IllegalMoveError, match="It is asked for already"):
            handle.delete_data("twice")
        engine.run_until_idle()
        first = handle.receipt()
        engine.advance(HOUR)

        handle.delete_data("again", actor="Eve")
        engine.run_until_idle()

        second = handle.receipt()
        assert first is not None
        assert second is not None
        assert (second.requested_by, second.erased_at - first.erased_at) == ("Eve", HOUR)
        assert (first.object, second.object) == ("erased", "there was none")
        assert states(handle)[-4:] == [S.REQUESTED_DATA_DELETED, S.DATA_DELETED] * 2


def test_a_run_that_is_not_there_is_said(memory_world: World) -> None:
    engine = memory_world.outsider(collected())
    with pytest.raises(RunNotFoundError):
        engine.handle("nobody")


def test_a_coroutine_asks_and_reads_the_receipt(world: World) -> None:
    workflow = collected()
    with world.engine(workflow) as engine:
        handle = ended(engine, workflow)
        asyncio.run(self_service(handle))
        engine.run_until_idle()
        receipt = asyncio.run(handle.aio.receipt())
        assert receipt is not None
        assert receipt.run_id == handle.run_id


async def self_service(handle: Handle) -> None:
    await handle.aio.delete_data("the customer asked")


# -- what is left -------------------------------------------------------------------------------------------------------------


def test_nothing_of_the_object_is_left_and_the_run_is_still_listed_and_has_its_history(world: World) -> None:
    workflow = collected()
    with world.engine(workflow) as engine:
        engine.trigger(workflow, "parcel-1", ADA_S, metadata={"tenant": "north"}, tags=["vip"])
        engine.run_until_idle()
        handle = engine.latest(workflow, "parcel-1")
        handle.cancel("a reason that names Ada")
        handle.delete_data("a reason that names Ada")
        engine.run_until_idle()

        record = handle.record()
        left: list[Any] = [record.payload, record.reason, record.last_error, handle.run().object]
        assert left == [None] * 4
        assert (record.foreign_id, record.status, dict(record.metadata), list(record.tags)) == (
            "parcel-1",
            "waiting",
            {"tenant": "north"},
            ["vip"],
        )
        assert [(row.reason, row.error) for row in handle.history()] == [(None, None)] * 5
        assert [run.run_id for run in engine.runs(workflow, states=[S.DATA_DELETED]).runs] == [handle.run_id]


def test_a_receipt_says_what_was_erased_when_and_for_whom(world: World) -> None:
    workflow = collected()
    with world.engine(workflow) as engine:
        handle = engine.trigger(workflow, "parcel-1", ADA_S)
        early(engine, workflow)
        handle.cancel("lost")
        engine.run_until_idle()
        assert len(engine.dead_letters.list().letters) == 1
        engine.advance(HOUR)
        handle.delete_data("the customer asked", actor="Eve")
        engine.run_until_idle()

        receipt = handle.receipt()
        assert receipt is not None
        assert (receipt.run_id, receipt.workflow, receipt.requested_by) == (handle.run_id, "parcels", "Eve")
        assert (receipt.erased_at, receipt.object, receipt.dead_letters) == (world.clock.now(), "erased", 1)
        assert engine.dead_letters.list().letters == []


def test_a_function_of_the_user_s_may_scrub_the_object_instead(world: World) -> None:
    workflow = collected()

    @workflow.on_delete
    def scrub(run: ParcelRun) -> None:
        run.object.driver = None
        run.object.notes = ["scrubbed"]

    with world.engine(workflow) as engine:
        handle = ended(engine, workflow)
        handle.delete_data("the customer asked")
        engine.run_until_idle()

        assert (handle.record().state, handle.run().object) == (S.DATA_DELETED, Parcel(notes=["scrubbed"]))
        receipt = handle.receipt()
        assert receipt is not None
        assert receipt.object.startswith("scrubbed by ")
        assert receipt.object.endswith("scrub")


def test_an_async_function_may_scrub_and_one_that_leaves_none_erases(world: World) -> None:
    workflow = collected()

    @workflow.on_delete
    async def scrub(run: ParcelRun) -> None:
        nothing: Any = None
        run.object = nothing

    with world.engine(workflow) as engine:
        handle = ended(engine, workflow)
        handle.delete_data("the customer asked")
        engine.run_until_idle()

        assert handle.record().payload is None


def test_what_newer_code_stored_beside_the_known_fields_goes_with_a_scrub(world: World) -> None:
    newer = Workflow("parcels", object_type=dict[str, Any], status_type=Stage, retired=[Stage.COLLECTED, Stage.RETURNED])

    @newer.step(from_=Stage.PACKED, to=Stage.WAITING)
    def pack(run: Any) -> None:
        pass

    handle = world.outsider(newer).trigger(newer, "parcel-1", {"driver": "Ada", "address": "Ada's home"})
    handle.cancel("lost")
    handle.delete_data("the customer asked")
    workflow = collected()

    @workflow.on_delete
    def scrub(run: ParcelRun) -> None:
        run.object.driver = None

    with world.engine(workflow) as engine:
        engine.run_until_idle()
        payload = handle.record().payload
        assert payload is not None
        assert b"Ada" not in payload.data


def test_an_object_that_cannot_be_read_is_erased_all_the_same(world: World) -> None:
    text = Workflow("parcels", object_type=str, status_type=Stage, retired=[Stage.COLLECTED, Stage.RETURNED])

    @text.step(from_=Stage.PACKED, to=Stage.WAITING)
    def pack(run: Any) -> None:
        pass

    handle = world.outsider(text).trigger(text, "parcel-1", "Ada")
    handle.cancel("lost")
    handle.delete_data("the customer asked")

    with world.engine(collected()) as engine:
        engine.run_until_idle()
        assert (handle.record().state, handle.record().payload) == (S.DATA_DELETED, None)


def test_where_nothing_is_left_to_scrub_the_function_is_not_called(world: World) -> None:
    workflow = collected()
    with world.engine(workflow) as engine:
        handle = ended(engine, workflow)
        handle.delete_data("once")
        engine.run_until_idle()
    later = collected()

    @later.on_delete
    def scrub(run: ParcelRun) -> None:
        raise AssertionError("there is no object to scrub")

    with world.engine(later) as engine:
        handle.delete_data("again")
        engine.run_until_idle()
        assert (handle.record().state, handle.pending()) == (S.DATA_DELETED, [])


def test_deletions_have_a_process_of_their_own(memory_world: World) -> None:
    workflow = parcels(Stage.COLLECTED, Stage.RETURNED)
    with memory_world.engine(workflow) as engine:
        assert "parcels/delete-consumer" in engine.states()
