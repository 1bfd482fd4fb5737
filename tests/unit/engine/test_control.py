"""Pausing, resuming and cancelling from outside."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flowdsl.dsl.run import Run
from flowdsl.engine.handle import RunHandle
from flowdsl.errors import (
    IllegalMoveError,
    RunNotFoundError,
)
from flowdsl.model.history import Cause
from flowdsl.model.run_state import RunState
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.stepped import SteppedEngine
from tests.unit.engine.script import Order, Script, Status, order_of


def test_a_run_paused_by_a_person_stays_paused() -> None:
    script = Script()
    with script.engine(handoff=False) as engine:
        handle = engine.trigger(script.workflow, "o", Order(1))
        handle.pause("wait for the boss", actor="ada")
        engine.advance(timedelta(days=30))
        record = handle.record()
        assert (record.state, record.reason, record.actor) == (RunState.PAUSED, "wait for the boss", "ada")
        handle.resume(actor="boss")
        engine.run_until_idle()
        assert handle.record().state is RunState.COMPLETED
        assert [(row.cause, row.actor) for row in handle.history()[1:3]] == [(Cause.CONTROL, "ada"), (Cause.CONTROL, "boss")]


def test_the_idempotency_key_is_stable_over_failures_pauses_and_resumes() -> None:
    script = Script(ValueError("booked, and then broke"), ValueError("again"), Run.save_and_repeat, Status.PAID)
    with script.engine() as engine:
        handle = engine.trigger(script.workflow, "o", Order(1))
        for _ in range(2):
            engine.run_until_idle()
            handle.pause("look")
            handle.resume()
        engine.run_until_idle()
        assert len(script.keys) == 4
        assert len(set(script.keys[:3])) == 1
        assert script.keys[3] != script.keys[2], "a repeat is new work"


def test_a_pause_of_the_steps_own_keeps_the_idempotency_key() -> None:
    script = Script(lambda run: run.pause("not yet"), Status.PAID)
    with script.engine() as engine:
        handle = engine.trigger(script.workflow, "o", Order(1))
        engine.run_until_idle()
        handle.resume()
        engine.run_until_idle()
        assert handle.record().state is RunState.COMPLETED
        assert len(script.keys) == 2
        assert len(set(script.keys)) == 1


def test_a_run_can_be_cancelled_before_its_first_step() -> None:
    script = Script()
    with script.engine(handoff=False) as engine:
        handle = engine.trigger(script.workflow, "o", Order(1))
        handle.cancel("changed my mind")
        engine.run_until_idle()
        assert handle.record().state is RunState.CANCELLED
        assert script.attempts == []
        engine.trigger(script.workflow, "o", Order(1))


@pytest.mark.parametrize(("verb", "state"), [("pause", RunState.PAUSED), ("cancel", RunState.CANCELLED)])
def test_a_pause_or_cancel_during_a_step_waits_for_its_commit_and_keeps_what_it_did(verb: str, state: RunState) -> None:
    script = Script()
    handles: list[RunHandle[Order, Status]] = []

    def interrupted(run: Run[Order, Status]) -> Status:
        after = getattr(handles[0], verb)("stop it")
        assert after.requested is not None
        return Status.PAID

    script.script = [interrupted]
    with script.engine() as engine:
        handles.append(engine.trigger(script.workflow, "o", Order(1)))
        engine.run_until_idle()
        record = handles[0].record()
        assert (record.status, record.state, record.reason, record.requested) == ("paid", state, "stop it", None)
        assert order_of(handles[0]).log == ["charge 1"], "the payment that was made is not forgotten"
        if verb == "pause":
            handles[0].resume()
            engine.run_until_idle()
            assert handles[0].record().state is RunState.COMPLETED


def test_a_request_is_applied_when_the_step_fails_instead_of_committing() -> None:
    script = Script()
    handles: list[RunHandle[Order, Status]] = []

    def fails(run: Run[Order, Status]) -> Status:
        handles[0].pause("stop it")
        raise ValueError("and it broke")

    script.script = [fails, Status.PAID]
    with script.engine() as engine:
        handles.append(engine.trigger(script.workflow, "o", Order(1)))
        engine.run_until_idle()
        record = handles[0].record()
        assert (record.state, record.status, record.reason) == (RunState.PAUSED, "created", "stop it")


def test_force_cancel_discards_the_result_of_the_running_step() -> None:
    script = Script()
    handles: list[RunHandle[Order, Status]] = []

    def interrupted(run: Run[Order, Status]) -> Status:
        handles[0].cancel("now", force=True)
        return Status.PAID

    script.script = [interrupted]
    with script.engine() as engine:
        handles.append(engine.trigger(script.workflow, "o", Order(1)))
        engine.run_until_idle()
        record = handles[0].record()
        assert (record.status, record.state) == ("created", RunState.CANCELLED)
        assert order_of(handles[0]).log == []


def test_moves_that_the_state_does_not_allow_are_refused_with_what_to_do() -> None:
    script = Script()
    with script.engine() as engine:
        handle = engine.trigger(script.workflow, "o", Order(1))
        with pytest.raises(IllegalMoveError, match="Only a paused run"):
            handle.resume()
        engine.run_until_idle()
        for verb, arguments in ((handle.pause, ["x"]), (handle.cancel, ["x"]), (handle.resume, [])):
            with pytest.raises(IllegalMoveError, match=r"finished run stays as it is; flowdsl restart, or handle\.restart\(\)"):
                verb(*arguments)
        with pytest.raises(RunNotFoundError):
            engine.handle("no-such-run")


def test_a_cancel_that_takes_the_place_of_a_pause_is_kept_although_the_pause_is_just_being_applied() -> None:
    script, clock = Script(), ManualClock()
    with SteppedEngine(script.workflow, clock=clock, handoff=False) as engine:
        handle = engine.trigger(script.workflow, "o", Order(1))
        engine.worker.dispatcher.step()  # claimed
        handle.pause("a moment", "bob")
        engine.crash()
        with SteppedEngine(script.workflow, clock=clock, store=engine.store, roles=engine.roles, seed=1, handoff=False) as other:
            clock.advance(timedelta(seconds=45))
            other.worker.membership.step()
            other.worker.dispatcher.step()  # claimed, and the pause that waited is on its way to the store

            client = SteppedEngine(script.workflow, clock=clock, store=engine.store, roles=engine.roles, seed=2)
            client.handle(handle.run_id).cancel("no longer wanted", "ada")
            other.run_until_idle()

            after = other.handle(handle.run_id).record()
            assert (after.state, after.reason, after.requested) == (RunState.CANCELLED, "no longer wanted", None)
            assert script.attempts == []
