"""What a step answers, and what is stored then."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flowdsl.dsl.run import Run
from flowdsl.model.history import Cause
from flowdsl.model.run_state import RunState
from tests.unit.engine.script import Order, Script, Status, order_of


def test_a_run_goes_through_its_steps_and_completes_with_every_transition_in_its_history() -> None:
    script = Script()
    with script.engine() as engine:
        handle = engine.trigger(script.workflow, "order-1", Order(9.0))
        assert handle.record().state is RunState.INITIATED
        engine.run_until_idle()
        record = handle.record()
        assert (record.status, record.state, record.version) == ("shipped", RunState.COMPLETED, 3)
        assert order_of(handle).log == ["charge 1", "ship"]
        rows = handle.history()
        assert [(row.version, row.from_status, row.to_status, row.cause) for row in rows] == [
            (1, None, "created", Cause.TRIGGER),
            (2, "created", "paid", Cause.STEP),
            (3, "paid", "shipped", Cause.STEP),
        ]
        assert "charge_card" in rows[1].name
        assert handle.pending() == []


def test_handoff_changes_speed_and_never_meaning() -> None:
    outcomes = []
    for handoff in (True, False):
        script = Script(ValueError("no"), Status.PAID)
        with script.engine(handoff=handoff) as engine:
            handles = engine.trigger_many(script.workflow, [(f"o-{n}", Order(n)) for n in range(30)])
            engine.advance(timedelta(minutes=1))
            outcomes.append([(h.record().state, h.record().version, order_of(h)) for h in handles])
    assert outcomes[0] == outcomes[1]
    assert {state for state, _, _ in outcomes[0]} == {RunState.COMPLETED}


def test_a_step_that_answers_none_goes_to_its_one_destination() -> None:
    script = Script(None)
    with script.engine() as engine:
        handle = engine.trigger(script.workflow, "o", Order(1))
        engine.run_until_idle()
        assert handle.record().state is RunState.COMPLETED


def test_save_and_repeat_stores_the_object_and_runs_the_step_again() -> None:
    script = Script(*[Run.save_and_repeat] * 3, Status.PAID)
    with script.engine() as engine:
        handle = engine.trigger(script.workflow, "o", Order(1))
        engine.run_until_idle()
        assert order_of(handle).log == ["charge 1"] * 4 + ["ship"]
        assert [row.cause for row in handle.history()[1:4]] == [Cause.REPEAT] * 3
        assert len(set(script.keys)) == 4


def test_skip_keeps_nothing_and_leaves_the_run_where_it_is() -> None:
    script = Script(Run.skip)
    with script.engine() as engine:
        handle = engine.trigger(script.workflow, "o", Order(1))
        engine.advance(timedelta(hours=5))
        record = handle.record()
        assert (record.status, record.version, record.state) == ("created", 1, RunState.INITIATED)
        assert order_of(handle).log == []
        assert script.attempts == [1]
        (row,) = handle.pending()
        assert row.due_at is None


@pytest.mark.parametrize(("verb", "state"), [("pause", RunState.PAUSED), ("cancel", RunState.CANCELLED)])
def test_a_step_can_pause_or_cancel_its_run_and_what_it_did_is_kept(verb: str, state: RunState) -> None:
    script = Script(lambda run: getattr(run, verb)("because"), Status.PAID)
    with script.engine() as engine:
        handle = engine.trigger(script.workflow, "o", Order(1))
        engine.advance(timedelta(hours=30))
        record = handle.record()
        assert (record.state, record.reason, record.status) == (state, "because", "created")
        assert order_of(handle).log == ["charge 1"]
        assert handle.pending() == []


def test_an_outcome_that_is_made_and_not_returned_is_an_error_of_the_step() -> None:
    def forget(run: Run[Order, Status]) -> Status:
        run.cancel("never returned")
        return Status.PAID

    script = Script(forget, Status.PAID)
    with script.engine() as engine:
        handle = engine.trigger(script.workflow, "o", Order(1))
        engine.run_until_idle()
        (row,) = handle.pending()
        assert row.attempts == 1
        assert "run.cancel()" in (row.last_error or "")
        engine.advance(timedelta(minutes=1))
        assert handle.record().state is RunState.COMPLETED


@pytest.mark.parametrize("wrong", [Status.SHIPPED, "shipped", 7, object()])
def test_an_undeclared_destination_is_an_error_of_the_step_and_is_never_stored(wrong: object) -> None:
    script = Script(lambda run: wrong, pause_after_err_count=2)
    with script.engine() as engine:
        handle = engine.trigger(script.workflow, "o", Order(1))
        engine.advance(timedelta(minutes=10))
        record = handle.record()
        assert (record.status, record.state) == ("created", RunState.PAUSED)
        assert "UndeclaredDestinationError" in (record.last_error or "")
