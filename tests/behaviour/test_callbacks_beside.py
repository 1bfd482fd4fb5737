"""Callbacks in other processes, from coroutines and beside steps."""

from __future__ import annotations

import asyncio

import pytest

from flowdsl.dsl.workflow import Workflow
from flowdsl.model.callback_result import CallbackOutcome
from flowdsl.model.outcome import Outcome
from flowdsl.model.run_state import RunState
from flowdsl.testing.stepped import SteppedEngine
from tests.behaviour.parcels import Parcel, ParcelRun, PickUp, Stage, bare, collected, waiting, way
from tests.behaviour.world import SECOND, World

C, S = CallbackOutcome, RunState


# -- processes ----------------------------------------------------------------------------------------------------------------


def test_a_callback_may_come_through_an_engine_that_was_not_started(world: World) -> None:
    workflow = bare(Stage.RETURNED)

    @workflow.callback(from_=Stage.PACKED, to=Stage.WAITING)
    def arrived(run: ParcelRun) -> None:
        pass

    @workflow.step(from_=Stage.WAITING, to=Stage.COLLECTED)
    def collect(run: ParcelRun) -> None:
        pass

    handle = world.outsider(workflow).trigger(workflow, "parcel-1", Parcel())

    result = world.outsider(workflow).callback(workflow, "parcel-1", Stage.PACKED)

    assert (result.outcome, handle.record().status) == (C.APPLIED, Stage.WAITING)
    with world.engine(workflow) as engine:
        engine.run_until_idle()
    assert handle.record().state is S.COMPLETED


@pytest.mark.parametrize("started", [False, True])
def test_an_async_callback_is_awaited_by_blocking_callers(world: World, started: bool) -> None:
    workflow = bare(Stage.COLLECTED, Stage.RETURNED)

    @workflow.callback(from_=Stage.PACKED, to=Stage.WAITING)
    async def arrived(run: ParcelRun, payload: PickUp) -> None:
        await asyncio.sleep(0)
        run.object.driver = payload.driver

    with world.engine(workflow) as worker:
        engine = worker if started else world.outsider(workflow)
        handle = engine.trigger(workflow, "parcel-1", Parcel())

        assert engine.callback(workflow, "parcel-1", Stage.PACKED, PickUp("Ada")).outcome is C.APPLIED

        assert handle.run().object.driver == "Ada"


def test_an_async_callback_of_a_client_runs_on_the_loop_that_called(world: World) -> None:
    workflow = bare(Stage.COLLECTED, Stage.RETURNED)
    loops: list[asyncio.AbstractEventLoop] = []

    @workflow.callback(from_=Stage.PACKED, to=Stage.WAITING)
    async def arrived(run: ParcelRun) -> None:
        loops.append(asyncio.get_running_loop())

    engine = world.outsider(workflow)
    engine.trigger(workflow, "one", Parcel())
    other = engine.trigger(workflow, "other", Parcel())

    async def webhook() -> None:
        assert (await engine.aio.callback(workflow, "one", Stage.PACKED, actor="web")).outcome is C.APPLIED
        assert (await other.aio.callback(Stage.PACKED)).outcome is C.APPLIED
        assert loops == [asyncio.get_running_loop()] * 2

    asyncio.run(webhook())


def test_an_error_of_an_async_callback_goes_to_whoever_awaits_it(memory_world: World) -> None:
    workflow = bare(Stage.COLLECTED, Stage.RETURNED)

    @workflow.callback(from_=Stage.PACKED, to=Stage.WAITING)
    async def arrived(run: ParcelRun) -> None:
        raise RuntimeError("no luck")

    engine = memory_world.outsider(workflow)
    engine.trigger(workflow, "parcel-1", Parcel())

    async def webhook() -> None:
        await engine.aio.callback(workflow, "parcel-1", Stage.PACKED)

    with pytest.raises(RuntimeError, match="no luck"):
        asyncio.run(webhook())


# -- beside a step ------------------------------------------------------------------------------------------------------------


def test_a_callback_during_a_step_is_kept_without_a_call_and_applied_when_the_step_leaves_the_run_there(world: World) -> None:
    workflow = bare(Stage.WAITING, Stage.RETURNED)
    log: list[str] = []

    @workflow.step(from_=Stage.PACKED, to=Stage.COLLECTED)
    def wait_for_it(run: ParcelRun) -> Outcome:
        result = world.outsider(workflow).callback(workflow, "parcel-1", Stage.PACKED, "now")
        log.append(f"step, callback {result.outcome}")
        return run.skip()

    @workflow.callback(from_=Stage.PACKED, to=Stage.COLLECTED)
    def arrived(run: ParcelRun, payload: str) -> None:
        log.append(f"callback {payload}")

    with world.engine(workflow) as engine:
        handle = engine.trigger(workflow, "parcel-1", Parcel())
        engine.advance(SECOND)

        assert log == ["step, callback kept", "callback now"]
        assert (handle.record().state, handle.pending()) == (S.COMPLETED, [])


def test_a_step_and_a_callback_of_one_status_move_a_run_once(world: World) -> None:
    workflow = bare(Stage.WAITING)

    @workflow.step(from_=Stage.PACKED, to=Stage.COLLECTED)
    def collect(run: ParcelRun) -> None:
        assert world.outsider(workflow).callback(workflow, "parcel-1", Stage.PACKED).outcome is C.KEPT

    @workflow.callback(from_=Stage.PACKED, to=Stage.RETURNED)
    def returned(run: ParcelRun) -> None:
        raise AssertionError("the step was first")

    with world.engine(workflow) as engine:
        handle = engine.trigger(workflow, "parcel-1", Parcel())
        engine.run_until_idle()

        assert way(handle) == [("trigger", "packed"), ("step", "collected")]
        (letter,) = engine.dead_letters.list().letters
        assert (letter.origin, letter.name, letter.run_id) == ("callback", "returned", handle.run_id)


def test_between_two_attempts_of_a_step_a_callback_moves_the_run(world: World) -> None:
    workflow = bare(Stage.WAITING)

    @workflow.step(from_=Stage.PACKED, to=Stage.COLLECTED)
    def collect(run: ParcelRun) -> None:
        raise RuntimeError("no luck")

    @workflow.callback(from_=Stage.PACKED, to=Stage.RETURNED)
    def returned(run: ParcelRun) -> None:
        pass

    with world.engine(workflow) as engine:
        handle = engine.trigger(workflow, "parcel-1", Parcel())
        engine.run_until_idle()

        assert engine.callback(workflow, "parcel-1", Stage.PACKED).outcome is C.APPLIED

        assert (handle.record().status, handle.pending()) == (Stage.RETURNED, [])


def test_a_step_may_call_back_another_run(world: World) -> None:
    workflow = collected()
    senders = Workflow("senders", object_type=Parcel, status_type=Stage, retired=[Stage.COLLECTED, Stage.RETURNED])
    engines: list[SteppedEngine] = []

    @senders.step(from_=Stage.PACKED, to=Stage.WAITING)
    def send(run: ParcelRun) -> None:
        key = run.idempotency_key
        assert engines[0].callback(workflow, run.foreign_id, Stage.WAITING, PickUp("Ada"), idempotency_key=key).accepted

    engines.append(world.engine(workflow, senders))
    with engines[0] as engine:
        handle = waiting(engine, workflow)
        engine.trigger(senders, "parcel-1", Parcel())
        engine.run_until_idle()

        assert handle.record().state is S.COMPLETED
