"""Callbacks that come before their run is ready for them: applied once, or told to somebody."""

from __future__ import annotations

from typing import Any

import pytest

from flowdsl.model.callback_result import CallbackOutcome
from flowdsl.model.history import Cause
from flowdsl.model.pending import RowKind
from flowdsl.model.run_state import RunState
from flowdsl.testing.stepped import SteppedEngine
from tests.behaviour.parcels import ADA, Parcel, ParcelRun, PickUp, Stage, collected, early, parcels, rows, waiting, way
from tests.behaviour.world import HOUR, MINUTE, SECOND, World, failing_commits, sample

C, S = CallbackOutcome, RunState


def test_an_early_callback_is_kept_and_applied_once_when_the_run_arrives(world: World) -> None:
    workflow = collected()
    with world.engine(workflow) as engine:
        handle = engine.trigger(workflow, "parcel-1", Parcel())
        early(engine, workflow, actor="courier")
        (row,) = rows(handle, RowKind.CALLBACK)
        assert (row.due_at, row.receiver, row.owner) == (None, Stage.WAITING, None)

        engine.run_until_idle()

        assert (handle.run().status, handle.run().object.driver) == (Stage.COLLECTED, "Ada")
        assert way(handle) == [("trigger", "packed"), ("step", "waiting"), ("callback", "collected")]
        assert (handle.history()[-1].actor, handle.history()[-1].cause) == ("courier", Cause.CALLBACK)
        assert handle.pending() == []


def test_what_was_kept_outlives_every_process(world: World) -> None:
    workflow = collected()
    handle = world.outsider(workflow).trigger(workflow, "parcel-1", Parcel())
    early(world.outsider(workflow), workflow)

    with world.engine(workflow) as engine:
        engine.run_until_idle()
        assert handle.run().object.driver == "Ada"


def test_a_callback_for_a_paused_run_is_applied_when_it_is_resumed(world: World) -> None:
    workflow = collected()
    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
        handle.pause("lunch")
        early(engine, workflow)
        engine.advance(HOUR)
        assert handle.record().state is S.PAUSED

        handle.resume()
        engine.run_until_idle()

        assert handle.run().object.driver == "Ada"
        assert way(handle)[-2:] == [("control", "waiting"), ("callback", "collected")]


def test_a_callback_with_a_key_is_kept_once(world: World) -> None:
    workflow = collected()
    with world.engine(workflow) as engine:
        handle = engine.trigger(workflow, "parcel-1", Parcel())
        early(engine, workflow, idempotency_key="event-7")
        second = engine.callback(workflow, "parcel-1", Stage.WAITING, ADA, idempotency_key="event-7")

        assert (second.outcome, second.run_id) == (C.DUPLICATE, handle.run_id)
        assert len(rows(handle, RowKind.CALLBACK)) == 1
        engine.run_until_idle()
        third = engine.callback(workflow, "parcel-1", Stage.WAITING, ADA, idempotency_key="event-7")
        assert third.outcome is C.DUPLICATE


def test_of_two_that_were_kept_one_is_applied_and_the_other_becomes_a_dead_letter(world: World) -> None:
    workflow = collected()
    with world.engine(workflow) as engine:
        handle = engine.trigger(workflow, "parcel-1", Parcel())
        early(engine, workflow)
        early(engine, workflow, actor="courier")
        engine.run_until_idle()

        assert [row.cause for row in handle.history()].count(Cause.CALLBACK) == 1
        assert handle.pending() == []
        (letter,) = engine.dead_letters.list(origin="callback", workflow="parcels", name="pick_up").letters
        assert (letter.foreign_id, letter.run_id, letter.type, letter.body) == ("parcel-1", handle.run_id, "waiting", ADA)
        assert "completed" in letter.error
        assert letter.buried_at == world.clock.now()


def test_each_visit_of_a_status_takes_one_of_what_was_kept(world: World) -> None:
    workflow = parcels(Stage.RETURNED, allow_cycles=True)

    @workflow.callback(from_=Stage.WAITING, to=[Stage.WAITING, Stage.COLLECTED])
    def seen(run: ParcelRun, payload: str) -> Stage:
        run.object.notes.append(payload)
        return Stage.COLLECTED if len(run.object.notes) == 3 else Stage.WAITING

    with world.engine(workflow) as engine:
        handle = engine.trigger(workflow, "parcel-1", Parcel())
        for payload in ("a", "b", "c"):
            assert engine.callback(workflow, "parcel-1", Stage.WAITING, payload).outcome is C.KEPT
        engine.run_until_idle()

        assert handle.record().state is S.COMPLETED
        assert sorted(handle.run().object.notes) == ["a", "b", "c"]
        assert engine.dead_letters.list().letters == []


# -- it fails -----------------------------------------------------------------------------------------------------------------


def flaky(log: list[tuple[int, str]], failures: int, **options: Any) -> Any:
    workflow = parcels(Stage.RETURNED)

    @workflow.callback(from_=Stage.WAITING, to=Stage.COLLECTED, **options)
    def pick_up(run: ParcelRun, payload: PickUp) -> None:
        log.append((run.attempt, run.idempotency_key))
        if len(log) <= failures:
            raise RuntimeError("no luck")
        run.object.driver = payload.driver

    return workflow


def test_a_kept_callback_that_fails_is_tried_again_after_its_backoff_and_holds_nobody_up(world: World) -> None:
    log: list[tuple[int, str]] = []
    workflow = flaky(log, 2, err_backoff=MINUTE)
    with world.engine(workflow) as engine:
        handle = engine.trigger(workflow, "parcel-1", Parcel())
        early(engine, workflow)
        engine.run_until_idle()
        (row,) = rows(handle, RowKind.CALLBACK)
        assert (row.attempts, row.last_error, row.due_at) == (1, "RuntimeError: no luck", world.clock.now() + MINUTE)
        engine.advance(MINUTE - SECOND)
        assert len(log) == 1
        engine.advance(SECOND)
        assert len(log) == 2
        engine.advance(MINUTE)

        assert [attempt for attempt, _ in log] == [1, 2, 3]
        assert len({key for _, key in log}) == 1
        assert (handle.run().object.driver, handle.history()[-1].attempt) == ("Ada", 3)
        process = {"workflow_name": "parcels", "process_name": "waiting-callback-pick_up-consumer"}
        assert sample(engine, "workflow_process_error_count", **process) == 2
        assert sample(engine, "workflow_process_retries_count", **process) == 2


def test_a_kept_callback_that_fails_too_often_pauses_its_run_and_is_tried_again_after_a_resume(world: World) -> None:
    log: list[tuple[int, str]] = []
    workflow = flaky(log, 3, err_backoff=SECOND, pause_after_err_count=3)
    with world.engine(workflow) as engine:
        handle = engine.trigger(workflow, "parcel-1", Parcel())
        early(engine, workflow)
        engine.advance(MINUTE)
        record = handle.record()
        assert (record.state, record.last_error) == (S.PAUSED, "RuntimeError: no luck")
        assert "callback pick_up failed 3 times in a row" in (record.reason or "")
        assert len(log) == 3

        handle.resume()
        engine.run_until_idle()

        assert [attempt for attempt, _ in log] == [1, 2, 3, 1]
        assert (handle.record().state, handle.run().object.driver) == (S.COMPLETED, "Ada")


def test_a_run_that_a_kept_callback_paused_is_resumed_by_itself(world: World) -> None:
    log: list[tuple[int, str]] = []
    workflow = flaky(log, 1, pause_after_err_count=1)
    with world.engine(workflow) as engine:
        handle = engine.trigger(workflow, "parcel-1", Parcel())
        early(engine, workflow)
        engine.run_until_idle()
        assert handle.record().state is S.PAUSED

        engine.advance(HOUR + MINUTE)

        assert handle.record().state is S.COMPLETED


# -- processes die ------------------------------------------------------------------------------------------------------------


def test_a_worker_that_dies_in_a_kept_callback_costs_its_lapse_and_applies_nothing_twice(world: World) -> None:
    workflow = parcels(Stage.RETURNED)
    engines: list[SteppedEngine] = []
    crash = [True]

    @workflow.callback(from_=Stage.WAITING, to=Stage.COLLECTED)
    def pick_up(run: ParcelRun, payload: PickUp) -> None:
        run.object.notes.append(f"attempt {run.attempt}")
        if crash:
            crash.clear()
            engines[0].crash()
            raise SystemExit

    engines.append(world.engine(workflow))
    with engines[0] as engine:
        handle = engine.trigger(workflow, "parcel-1", Parcel())
        early(engine, workflow)
        with pytest.raises(Exception, match="not started"):
            engine.run_until_idle()
    assert handle.record().status == Stage.WAITING
    with world.engine(workflow) as other:
        other.advance(MINUTE)
        assert handle.run().object.notes == ["attempt 2"]
        assert handle.record().state is S.COMPLETED


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_store_that_does_not_answer_for_a_while_loses_no_burial(world: World, lost: int) -> None:
    workflow = collected()
    outside = world.outsider(workflow)
    handle = outside.trigger(workflow, "parcel-1", Parcel())
    early(outside, workflow)
    handle.cancel("lost")

    with world.engine(workflow, store=failing_commits(world.store, 0)) as engine:
        engine.store.methods["commit"] = failing_commits(world.store, lost).commit  # type: ignore[attr-defined]
        engine.advance(MINUTE)

        assert handle.pending() == []
        assert len(engine.dead_letters.list().letters) == 1
