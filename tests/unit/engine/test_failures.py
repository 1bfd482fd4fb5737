"""Steps that fail: attempts, waits, pausing and resuming by itself."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flowdsl.dsl.run import Run
from flowdsl.engine.auto_resume import AutoResume
from flowdsl.errors import RetryAfter
from flowdsl.model.history import Cause
from flowdsl.model.run_state import RunState
from flowdsl.options import Retry
from tests.unit.engine.script import Order, Script, Status, order_of


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


def test_failures_between_successes_do_not_add_up() -> None:
    rounds = [answer for _ in range(10) for answer in (ValueError("no"), Run.save_and_repeat)]
    script = Script(*rounds, Status.PAID, pause_after_err_count=2)
    with script.engine() as engine:
        handle = engine.trigger(script.workflow, "o", Order(1))
        engine.advance(timedelta(minutes=5))
        assert len(script.attempts) == 21
        assert handle.record().state is RunState.COMPLETED


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class LastWordError(Exception):
    def __str__(self) -> str:
        raise SystemExit(1)


class ForgetfulError(RetryAfter):
    """Says no wait, because it forgot to call the class that it is made of."""

    def __init__(self) -> None:
        """Nothing is kept."""


class ChangedError(RetryAfter):
    def __init__(self) -> None:
        super().__init__(timedelta(seconds=30))
        self.wait = 30  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("error", "stored"),
    [
        (LastWordError(), "LastWordError: (its text raised SystemExit)"),
        (ForgetfulError(), "ForgetfulError: "),
        (ChangedError(), "ChangedError: another attempt was asked for after 0:00:30."),
        (RuntimeError("a\0b"), "RuntimeError: a\\0b"),
        (RuntimeError("lone \ud800"), "RuntimeError: lone \\ud800"),
        (UnspeakableError(), "UnspeakableError: (its text raised RuntimeError)"),
        (RuntimeError("\0" * 9000), "RuntimeError: " + "\\0" * 993),
    ],
)
def test_an_error_whose_text_no_database_holds_is_stored_all_the_same_and_the_step_tried_again(
    error: Exception, stored: str
) -> None:
    script = Script(error, Status.PAID)
    told: list[str] = []

    @script.workflow.on_error
    def failed(run: Run[Order, Status]) -> None:
        assert run.failure is not None
        told.append(run.failure.error)

    with script.engine() as engine:
        handle = engine.trigger(script.workflow, "order-1", Order(1))
        engine.run_until_idle()
        assert [row.last_error for row in handle.pending()] == [stored]
        engine.advance(timedelta(minutes=1))

        assert (handle.record().state, told) == (RunState.COMPLETED, [stored])


def test_waits_that_grow_beyond_all_numbers_end_at_their_cap() -> None:
    script = Script(
        ValueError("no"), pause_after_err_count=0, retry=Retry(multiplier=1e6, cap=timedelta(minutes=1), jitter=False)
    )
    with script.engine() as engine:
        handle = engine.trigger(script.workflow, "o", Order(1))
        engine.advance(timedelta(hours=2))
        (row,) = handle.pending()
        assert row.attempts > 100
        assert row.owner is None
