"""What a callback may answer, which of several is meant, and which was there before."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from flowdsl.errors import (
    DefinitionError,
    StepOutcomeError,
    UndeclaredDestinationError,
    UnusedOutcomeError,
)
from flowdsl.model.callback_result import CallbackOutcome
from flowdsl.model.outcome import Outcome
from flowdsl.model.run_state import RunState
from tests.behaviour.parcels import Parcel, ParcelRun, Parcels, PickUp, Stage, bare, collected, parcels, waiting, way
from tests.behaviour.world import World

C, S = CallbackOutcome, RunState


# -- answers ------------------------------------------------------------------------------------------------------------------


def test_an_error_of_a_callback_goes_to_whoever_called_and_nothing_is_stored(world: World) -> None:
    workflow = bare(Stage.COLLECTED, Stage.RETURNED)

    class TooEarlyInTheDayError(Exception):
        pass

    @workflow.callback(from_=Stage.PACKED, to=Stage.WAITING)
    def arrived(run: ParcelRun) -> None:
        run.object.notes.append("lost")
        raise TooEarlyInTheDayError("at dawn")

    with world.engine(workflow) as engine:
        handle = engine.trigger(workflow, "parcel-1", Parcel())
        for _ in range(20):
            with pytest.raises(TooEarlyInTheDayError, match="at dawn"):
                engine.callback(workflow, "parcel-1", Stage.PACKED, idempotency_key="k")
        engine.run_until_idle()

        record = handle.record()
        assert (record.version, record.state, handle.run().object) == (1, S.INITIATED, Parcel())
        assert handle.pending() == []


def test_a_callback_may_pause_cancel_and_repeat_and_its_changes_are_kept(world: World) -> None:
    workflow = parcels(Stage.RETURNED)

    @workflow.callback(from_=Stage.WAITING, to=Stage.COLLECTED)
    def pick_up(run: ParcelRun, payload: str) -> Outcome:
        run.object.notes.append(payload)
        return {"pause": run.pause, "cancel": run.cancel}.get(payload, lambda _: run.save_and_repeat())("so said the driver")

    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)

        assert engine.callback(workflow, "parcel-1", Stage.WAITING, "repeat").outcome is C.APPLIED
        assert (handle.record().state, handle.record().status) == (S.RUNNING, Stage.WAITING)
        assert engine.callback(workflow, "parcel-1", Stage.WAITING, "pause", actor="Ada").outcome is C.APPLIED
        record = handle.record()
        assert (record.state, record.reason, record.actor) == (S.PAUSED, "so said the driver", "Ada")
        handle.resume()
        assert engine.callback(workflow, "parcel-1", Stage.WAITING, "cancel").outcome is C.APPLIED

        assert handle.record().state is S.CANCELLED
        assert handle.run().object.notes == ["repeat", "pause", "cancel"]
        assert [row.cause.value for row in handle.history()[2:]] == ["repeat", "callback", "control", "callback"]


def test_a_callback_that_skips_stores_nothing_and_does_not_use_up_its_key(world: World) -> None:
    workflow = parcels(Stage.RETURNED)

    @workflow.callback(from_=Stage.WAITING, to=Stage.COLLECTED)
    def pick_up(run: ParcelRun) -> Outcome:
        run.object.notes.append("dropped")
        return run.skip()

    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
        before = handle.record()

        results = [engine.callback(workflow, "parcel-1", Stage.WAITING, idempotency_key="k") for _ in range(2)]

        assert [(result.outcome, result.accepted) for result in results] == [(C.SKIPPED, True)] * 2
        assert handle.record() == before


def test_what_a_callback_must_not_answer_is_an_error_of_the_caller(world: World) -> None:
    workflow = parcels()

    @workflow.callback(from_=Stage.WAITING, to=[Stage.COLLECTED, Stage.RETURNED])
    def pick_up(run: ParcelRun, payload: str) -> Any:
        if payload == "unused":
            run.cancel("forgotten")
        return {"undeclared": Stage.PACKED, "unused": Stage.COLLECTED}.get(payload)

    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
        before = handle.record()

        with pytest.raises(UndeclaredDestinationError, match=r"callback .*pick_up returned"):
            engine.callback(workflow, "parcel-1", Stage.WAITING, "undeclared")
        with pytest.raises(UnusedOutcomeError, match=r"called run\.cancel"):
            engine.callback(workflow, "parcel-1", Stage.WAITING, "unused")
        with pytest.raises(StepOutcomeError, match="returned None but has 2 destinations"):
            engine.callback(workflow, "parcel-1", Stage.WAITING, "none")

        assert handle.record() == before


def test_a_def_that_answers_a_coroutine_is_told_to_be_async(memory_world: World) -> None:
    workflow = bare(Stage.COLLECTED, Stage.RETURNED)

    async def answer() -> None:
        raise AssertionError("never awaited")

    @workflow.callback(from_=Stage.PACKED, to=Stage.WAITING)
    def arrived(run: ParcelRun) -> Any:
        return answer()

    engine = memory_world.outsider(workflow)
    engine.trigger(workflow, "parcel-1", Parcel())

    with pytest.raises(StepOutcomeError, match="Declare it `async def`"):
        engine.callback(workflow, "parcel-1", Stage.PACKED)


def test_an_async_def_that_answers_a_coroutine_is_told_to_await_it(memory_world: World) -> None:
    workflow = bare(Stage.COLLECTED, Stage.RETURNED)

    async def answer() -> None:
        raise AssertionError("never awaited")

    @workflow.callback(from_=Stage.PACKED, to=Stage.WAITING)
    async def arrived(run: ParcelRun) -> Any:
        return answer()

    engine = memory_world.outsider(workflow)
    engine.trigger(workflow, "parcel-1", Parcel())

    with pytest.raises(
        StepOutcomeError, match=r"callback .*arrived returned a coroutine, which has to be awaited\. Write `return"
    ):
        engine.callback(workflow, "parcel-1", Stage.PACKED)


def test_a_callback_moves_a_run_that_has_only_been_triggered(world: World) -> None:
    workflow = bare(Stage.RETURNED)

    @workflow.callback(from_=Stage.PACKED, to=[Stage.WAITING, Stage.COLLECTED])
    def arrived(run: ParcelRun, payload: str) -> Stage:
        return Stage(payload)

    engine = world.outsider(workflow)
    long, short = (engine.trigger(workflow, name, Parcel()) for name in ("long", "short"))

    assert engine.callback(workflow, "long", Stage.PACKED, "collected").outcome is C.APPLIED
    assert engine.callback(workflow, "short", Stage.PACKED, "collected").outcome is C.APPLIED

    assert {long.record().state, short.record().state} == {S.COMPLETED}
    assert [row.from_state for row in long.history()] == [S.UNKNOWN, S.INITIATED]


# -- several ------------------------------------------------------------------------------------------------------------------


def several() -> Parcels:
    workflow = parcels()

    @workflow.callback(from_=Stage.WAITING, to=Stage.COLLECTED)
    def pick_up(run: ParcelRun, payload: PickUp) -> None:
        run.object.driver = payload.driver

    @workflow.callback(from_=Stage.WAITING, to=Stage.RETURNED, name="sent-back")
    def returned(run: ParcelRun, payload: str) -> None:
        run.object.notes.append(payload)

    return workflow


def test_several_callbacks_of_a_status_are_told_apart_by_name_and_each_is_given_the_whole_payload(world: World) -> None:
    workflow = several()
    with world.engine(workflow) as engine:
        one, other = waiting(engine, workflow, "one"), waiting(engine, workflow, "other")

        assert engine.callback(workflow, "one", Stage.WAITING, b'{"driver": "Ada"}', name="pick_up").outcome is C.APPLIED
        assert engine.callback(workflow, "other", Stage.WAITING, b'"nobody home"', name="sent-back").outcome is C.APPLIED

        assert (one.run().status, one.run().object.driver) == (Stage.COLLECTED, "Ada")
        assert (other.run().status, other.run().object.notes) == (Stage.RETURNED, ["nobody home"])


def test_of_several_callbacks_one_has_to_be_named(memory_world: World) -> None:
    workflow = several()
    engine = memory_world.outsider(workflow)

    with pytest.raises(DefinitionError, match=r"several callbacks.*'pick_up', 'sent-back'"):
        engine.callback(workflow, "parcel-1", Stage.WAITING)
    with pytest.raises(DefinitionError, match=r"no callback named 'returned'.*'pick_up', 'sent-back'"):
        engine.callback(workflow, "parcel-1", Stage.WAITING, name="returned")


def test_two_callbacks_of_one_name_are_found_when_the_workflow_is_checked() -> None:
    workflow = collected()

    @workflow.callback(from_=Stage.WAITING, to=Stage.COLLECTED, name="pick_up")
    def another(run: ParcelRun) -> None:
        pass

    (found,) = workflow.check()
    assert found.code == "duplicate-callback"
    assert "name=" in (found.remedy or "")


# -- keys ---------------------------------------------------------------------------------------------------------------------


def test_a_second_callback_with_the_same_key_does_nothing_and_names_the_run_of_the_first(world: World) -> None:
    workflow = parcels(Stage.RETURNED, allow_cycles=True)
    calls: list[str] = []

    @workflow.callback(from_=Stage.WAITING, to=[Stage.WAITING, Stage.COLLECTED])
    def seen(run: ParcelRun, payload: str) -> Stage:
        calls.append(payload)
        return Stage.WAITING

    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
        other = waiting(engine, workflow, "parcel-2")

        def call(engine: Any, foreign_id: str, payload: str, key: str | None) -> CallbackOutcome:
            result = engine.callback(workflow, foreign_id, Stage.WAITING, payload, idempotency_key=key)
            assert result.run_id == handle.run_id
            outcome: CallbackOutcome = result.outcome
            return outcome

        assert call(engine, "parcel-1", "first", "event-7") is C.APPLIED
        assert call(engine, "parcel-1", "again", "event-7") is C.DUPLICATE
        assert call(world.outsider(workflow), "parcel-1", "elsewhere", "event-7") is C.DUPLICATE
        assert call(engine, "parcel-2", "another run", "event-7") is C.DUPLICATE, "keys are the workflow's"
        assert call(engine, "parcel-1", "next", "event-8") is C.APPLIED
        assert call(engine, "parcel-1", "without", None) is C.APPLIED
        assert call(engine, "parcel-1", "without", None) is C.APPLIED

        assert calls == ["first", "next", "without", "without"]
        assert (handle.record().visit, other.record().visit) == (2 + 4, 2)


def test_of_many_callbacks_at_once_one_is_applied(world: World) -> None:
    workflow = collected()
    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
    clients = [world.outsider(workflow) for _ in range(4)]
    barrier = threading.Barrier(8)

    def call(number: int) -> CallbackOutcome:
        barrier.wait()
        client = clients[number % len(clients)]
        return client.callback(workflow, "parcel-1", Stage.WAITING, PickUp(f"driver-{number}")).outcome

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(call, range(8)))

    assert sorted(outcomes) == [C.APPLIED, *[C.STOPPED] * 7]
    assert handle.run().object.driver == f"driver-{outcomes.index(C.APPLIED)}"
    assert way(handle) == [("trigger", "packed"), ("step", "waiting"), ("callback", "collected")]


def test_of_many_callbacks_with_one_key_at_once_one_is_applied(world: World) -> None:
    workflow = parcels(Stage.RETURNED, allow_cycles=True)

    @workflow.callback(from_=Stage.WAITING, to=[Stage.WAITING, Stage.COLLECTED])
    def seen(run: ParcelRun, payload: str) -> Stage:
        run.object.notes.append(payload)
        return Stage.WAITING

    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
    client = world.outsider(workflow)
    barrier = threading.Barrier(8)

    def call(number: int) -> CallbackOutcome:
        barrier.wait()
        return client.callback(workflow, "parcel-1", Stage.WAITING, str(number), idempotency_key="k").outcome

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(call, range(8)))

    assert sorted(outcomes) == [C.APPLIED, *[C.DUPLICATE] * 7]
    assert handle.run().object.notes == [str(outcomes.index(C.APPLIED))]


def test_each_callback_is_a_piece_of_work_of_its_own_and_a_key_makes_two_the_same(world: World) -> None:
    workflow = parcels(Stage.RETURNED)
    keys: list[str] = []

    @workflow.callback(from_=Stage.WAITING, to=Stage.COLLECTED)
    def pick_up(run: ParcelRun) -> Outcome:
        keys.append(run.idempotency_key)
        return run.skip()

    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
        for key in (None, None, "k", "k"):
            engine.callback(workflow, "parcel-1", Stage.WAITING, idempotency_key=key)

    assert all(key.startswith(f"{handle.run_id}:callback:") for key in keys)
    assert len(set(keys)) == 3
    assert keys[2] == keys[3]
