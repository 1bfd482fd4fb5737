"""A run's life, in one thread with a manual clock: what moves it, what stops it, what is stored on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

import pytest

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.handle import RunHandle
from flowdsl.engine.steps import AutoResume
from flowdsl.errors import (
    ConfigurationError,
    DefinitionError,
    IllegalMoveError,
    PayloadError,
    RunEndedError,
    RunNotFoundError,
    WorkflowInProgressError,
)
from flowdsl.model.change import MoveRun
from flowdsl.model.history import Cause, Origin
from flowdsl.model.outcome import Outcome
from flowdsl.model.run_state import RunState
from flowdsl.options import Retry, StepOptions
from flowdsl.testing.stepped import SteppedEngine


class Status(StrEnum):
    CREATED = "created"
    PAID = "paid"
    SHIPPED = "shipped"


@dataclass
class Order:
    total: float
    log: list[str] = field(default_factory=list)


Answer = Status | Outcome | None
QUICK = Retry(backoff=timedelta(seconds=1), jitter=False)


class Script:
    """A two-step workflow whose first step does what the test says, attempt by attempt; the last entry repeats."""

    def __init__(self, *charge: object, **options: object) -> None:
        self.workflow = Workflow("orders", object_type=Order, status_type=Status)
        self.script = list(charge) or [Status.PAID]
        self.keys: list[str] = []
        self.attempts: list[int] = []
        step_options: StepOptions = {"retry": QUICK, **options}  # type: ignore[typeddict-item]

        @self.workflow.step(from_=Status.CREATED, to=Status.PAID, **step_options)
        def charge_card(run: Run[Order, Status]) -> Answer:
            self.keys.append(run.idempotency_key)
            self.attempts.append(run.attempt)
            run.object.log.append(f"charge {run.attempt}")
            what = self.script.pop(0) if len(self.script) > 1 else self.script[0]
            if isinstance(what, BaseException):
                raise what
            return what(run) if callable(what) else what  # type: ignore[return-value]

        @self.workflow.step(from_=Status.PAID, to=Status.SHIPPED, **step_options)
        async def ship(run: Run[Order, Status]) -> Status:
            run.object.log.append("ship")
            return Status.SHIPPED

    def engine(self, **settings: object) -> SteppedEngine:
        return SteppedEngine(self.workflow, **settings)  # type: ignore[arg-type]


def order_of(handle: object) -> Order:
    return handle.run().object  # type: ignore[attr-defined, no-any-return]


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


def test_a_failing_step_is_retried_with_growing_waits_and_its_object_changes_are_dropped() -> None:
    script = Script(*[ValueError(f"no {n}") for n in range(3)], Status.PAID)
    with script.engine() as engine:
        handle = engine.trigger(script.workflow, "o", Order(1))
        waits = []
        for _ in range(3):
            engine.run_until_idle()
            (row,) = handle.pending()
            assert row.due_at is not None
            wait = row.due_at - engine.store.now()
            waits.append(wait.total_seconds())
            engine.advance(wait)
        assert waits == [1, 2, 4]
        assert script.attempts == [1, 2, 3, 4]
        assert len(set(script.keys)) == 1, "the idempotency key is stable over repeated executions"
        assert order_of(handle).log == ["charge 4", "ship"]
        assert handle.history()[1].attempt == 4


def test_a_failing_run_never_holds_back_the_others() -> None:
    script = Script(
        lambda run: (_ for _ in ()).throw(ValueError("bad")) if run.foreign_id == "bad" else Status.PAID, concurrency=1
    )
    with script.engine() as engine:
        engine.trigger(script.workflow, "bad", Order(1))
        good = engine.trigger_many(script.workflow, [(f"good-{n}", Order(n)) for n in range(20)])
        engine.run_until_idle()
        assert all(h.record().state is RunState.COMPLETED for h in good)


def test_after_the_limit_of_failures_the_run_is_paused_with_the_error_and_resumes_by_itself_a_bounded_number_of_times() -> None:
    script = Script(ValueError("card declined"), pause_after_err_count=3)
    with script.engine(auto_resume=AutoResume(after=timedelta(hours=1), limit=2)) as engine:
        handle = engine.trigger(script.workflow, "o", Order(1))
        engine.advance(timedelta(minutes=1))
        record = handle.record()
        assert record.state is RunState.PAUSED
        assert record.last_error == "ValueError: card declined"
        assert "3 times" in (record.reason or "")
        assert len(script.attempts) == 3
        engine.advance(timedelta(days=2))
        assert len(script.attempts) == 9, "three rounds of three: the first and two automatic resumes"
        assert handle.record().state is RunState.PAUSED
        assert [row.cause for row in handle.history()].count(Cause.AUTO_RESUME) == 2


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
            with pytest.raises(IllegalMoveError, match="finished"):
                verb(*arguments)
        with pytest.raises(RunNotFoundError):
            engine.handle("no-such-run")


def test_one_unfinished_run_per_foreign_id() -> None:
    script = Script()
    with script.engine() as engine:
        first = engine.trigger(script.workflow, "o", Order(1))
        with pytest.raises(WorkflowInProgressError) as caught:
            engine.trigger(script.workflow, "o", Order(2))
        assert caught.value.run_id == first.run_id
        engine.run_until_idle()
        second = engine.trigger(script.workflow, "o", Order(2))
        assert second.created
        assert engine.latest(script.workflow, "o").run_id == second.run_id


def test_an_idempotency_key_starts_one_run_for_ever() -> None:
    script = Script()
    with script.engine() as engine:
        first = engine.trigger(script.workflow, "o", Order(1), idempotency_key="k")
        engine.run_until_idle()
        again = engine.trigger(script.workflow, "o", Order(1), idempotency_key="k")
        assert (again.run_id, again.created, first.created) == (first.run_id, False, True)
        many = engine.trigger_many(
            script.workflow, [("o", Order(1)), ("p", Order(2))], key=lambda fid: "k" if fid == "o" else fid
        )
        assert [h.created for h in many] == [False, True]


def test_a_run_may_start_in_any_status_that_something_leaves() -> None:
    script = Script()
    with script.engine() as engine:
        handle = engine.trigger(script.workflow, "o", Order(1), start_status=Status.PAID)
        engine.run_until_idle()
        assert order_of(handle).log == ["ship"]
        with pytest.raises(DefinitionError, match="nothing leaves it"):
            engine.trigger(script.workflow, "p", Order(1), start_status=Status.SHIPPED)


def test_a_trigger_without_object_is_refused_unless_the_type_allows_it() -> None:
    script = Script()
    with script.engine() as engine:
        with pytest.raises(PayloadError):
            engine.trigger(script.workflow, "o")
        other = Script().workflow
        with pytest.raises(ConfigurationError):
            engine.trigger(other, "o", Order(1))


def test_waiting_consults_history_first_and_says_when_a_status_cannot_be_reached_any_more() -> None:
    script = Script(lambda run: run.cancel("no") if run.foreign_id == "bad" else Status.PAID)
    with script.engine() as engine:
        good, bad = engine.trigger(script.workflow, "good", Order(1)), engine.trigger(script.workflow, "bad", Order(1))
        engine.run_until_idle()
        assert good.wait(Status.PAID).status is Status.SHIPPED
        assert good.wait().object.log == ["charge 1", "ship"]
        assert bad.wait().state is RunState.CANCELLED
        with pytest.raises(RunEndedError):
            bad.wait(Status.PAID)


def test_a_crashed_instance_loses_nothing_and_its_claims_are_taken_over_when_its_heartbeat_lapses() -> None:
    script = Script()
    with script.engine(handoff=False) as engine:
        handle = engine.trigger(script.workflow, "o", Order(1))
        engine.worker.dispatcher.step()  # claimed, and then the process is gone
        engine.crash()
        with SteppedEngine(script.workflow, clock=engine.clock, store=engine.store, roles=engine.roles, seed=1) as other:
            other.run_until_idle()
            assert script.attempts == []
            other.advance(timedelta(seconds=45))
            assert other.handle(handle.run_id).record().state is RunState.COMPLETED
            assert script.attempts == [2], "the lapsed claim counts as an attempt"


def test_a_step_that_kills_its_worker_every_time_is_paused_instead_of_killing_the_fleet() -> None:
    script = Script(pause_after_err_count=3)
    engine = script.engine(handoff=False)
    engine.__enter__()
    handle = engine.trigger(script.workflow, "o", Order(1))
    for seed in range(1, 5):
        engine.worker.dispatcher.step()
        engine.crash()
        engine = SteppedEngine(
            script.workflow, clock=engine.clock, store=engine.store, roles=engine.roles, seed=seed, handoff=False
        )
        engine.__enter__()
        engine.clock.advance(timedelta(seconds=45))
        engine.worker.membership.step()
        if seed >= 3:
            engine.run_until_idle()
    record = engine.handle(handle.run_id).record()
    assert record.state is RunState.PAUSED
    assert "worker was lost 3 times" in (record.last_error or "")
    assert script.attempts == []


def test_the_sweeper_makes_the_missing_row_and_counts_it() -> None:
    older = Workflow("orders", object_type=Order, status_type=Status)

    @older.step(from_=Status.CREATED, to=Status.PAID)
    def charge(run: Run[Order, Status]) -> Status:
        return Status.PAID

    @older.step(from_=Status.SHIPPED, to=Status.PAID)
    def unused(run: Run[Order, Status]) -> Status:
        return Status.PAID

    newer = Script()
    with SteppedEngine(older) as old:
        handle = old.trigger(older, "o", Order(1))
        old.store.commit(
            [
                MoveRun(  # as a version that knew more would have left it: in a status that nothing here consumes, without a row
                    change_id="c",
                    namespace="default",
                    workflow="orders",
                    run_id=handle.run_id,
                    version=1,
                    from_status="created",
                    from_state=RunState.INITIATED,
                    to_status="paid",
                    to_state=RunState.RUNNING,
                    origin=Origin(Cause.MIGRATION),
                )
            ]
        )
        old.crash()
        with SteppedEngine(newer.workflow, clock=old.clock, store=old.store, roles=old.roles, seed=3) as new:
            new.advance(timedelta(minutes=5))
            assert new.handle(handle.run_id).record().state is RunState.COMPLETED
            assert Cause.SWEEP in [row.cause for row in handle.history()]
            assert new.metrics.registry.get_sample_value("workflow_swept_rows_count", {"workflow_name": "orders"}) == 1
