"""How long a failed step waits, and when its run is paused: err_backoff, retry, pause_after_err_count."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from flowdsl.engine.auto_resume import AutoResume
from flowdsl.errors import OptionError
from flowdsl.model.history import Cause
from flowdsl.model.run_state import RunState
from flowdsl.options import DEFAULT_RETRY, Retry
from tests.behaviour.world import HOUR, MINUTE, PLACES, SECOND, TICK, Job, Place, Thing, World, failing, given, trigger

NEVER_RESUMED = AutoResume(after=None)
places = pytest.mark.parametrize("place", PLACES)


@places
def test_err_backoff_is_the_same_wait_after_every_failure(world: World, place: Place) -> None:
    own, defaults = given(place, err_backoff=7 * SECOND)
    job = Job(world.clock, failing, own=own, defaults=defaults)
    with world.engine(job.workflow) as engine:
        trigger(engine, job)
        engine.advance(7 * SECOND - TICK)
        assert len(job.begun) == 1
        engine.advance(TICK)
        assert len(job.begun) == 2
        engine.advance(21 * SECOND)
    assert job.waits == [7 * SECOND] * 4


@places
def test_err_backoff_of_zero_tries_again_at_once(world: World, place: Place) -> None:
    own, defaults = given(place, err_backoff=timedelta(0), pause_after_err_count=4)
    job = Job(world.clock, failing, own=own, defaults=defaults)
    with world.engine(job.workflow, auto_resume=NEVER_RESUMED) as engine:
        (handle,) = trigger(engine, job)
        engine.run_until_idle()
        assert handle.record().state is RunState.PAUSED
    assert job.waits == [timedelta(0)] * 3


@places
@pytest.mark.parametrize("options", [{}, {"err_backoff": None}, {"retry": None}], ids=["unset", "err_backoff", "retry"])
def test_unset_or_none_waits_as_the_library_does_growing_and_with_jitter(
    world: World, place: Place, options: dict[str, Any]
) -> None:
    own, defaults = given(place, **options)
    job = Job(world.clock, failing, own=own, defaults=defaults)
    with world.engine(job.workflow) as engine:
        trigger(engine, job)
        engine.advance(5 * MINUTE)
    ceilings = [DEFAULT_RETRY.backoff * 2**number for number in range(len(job.waits))]
    assert len(job.waits) >= 6
    assert all(timedelta(0) < wait <= ceiling + TICK for wait, ceiling in zip(job.waits, ceilings, strict=True))
    assert len(set(job.waits)) == len(job.waits), "each wait is a draw of its own"


def test_none_at_the_step_undoes_the_workflows_err_backoff(world: World) -> None:
    job = Job(world.clock, failing, own={"err_backoff": None}, defaults={"err_backoff": 30 * MINUTE})
    with world.engine(job.workflow) as engine:
        trigger(engine, job)
        engine.advance(MINUTE)
    assert len(job.begun) > 3


def test_zero_at_the_step_wins_over_the_workflows_err_backoff(world: World) -> None:
    job = Job(
        world.clock, failing, own={"err_backoff": timedelta(0)}, defaults={"err_backoff": MINUTE, "pause_after_err_count": 3}
    )
    with world.engine(job.workflow, auto_resume=NEVER_RESUMED) as engine:
        trigger(engine, job)
        engine.run_until_idle()
    assert job.waits == [timedelta(0)] * 2


@places
def test_retry_grows_by_its_multiplier_up_to_its_cap(world: World, place: Place) -> None:
    policy = Retry(backoff=SECOND, multiplier=3, cap=5 * SECOND, jitter=False)
    own, defaults = given(place, retry=policy)
    job = Job(world.clock, failing, own=own, defaults=defaults)
    with world.engine(job.workflow) as engine:
        trigger(engine, job)
        engine.advance(14 * SECOND)
    assert job.waits == [SECOND, 3 * SECOND, 5 * SECOND, 5 * SECOND]


@places
def test_retry_with_jitter_spreads_runs_that_failed_together(world: World, place: Place) -> None:
    own, defaults = given(place, retry=Retry(backoff=MINUTE, multiplier=1, cap=MINUTE))
    job = Job(world.clock, failing, own=own, defaults=defaults)
    with world.engine(job.workflow) as engine:
        handles = trigger(engine, job, count=8)
        engine.run_until_idle()
        began = job.begun[0]
        dues = [row.due_at for handle in handles for row in handle.pending()]
    waits = {due - began for due in dues if due is not None}
    assert len(waits) == 8
    assert all(timedelta(0) <= wait <= MINUTE for wait in waits)


def test_a_step_with_retry_ignores_the_workflows_err_backoff_and_the_other_way_round(world: World) -> None:
    policy = Retry(backoff=2 * SECOND, multiplier=1, cap=2 * SECOND, jitter=False)
    for own, defaults, wait in (
        ({"retry": policy}, {"err_backoff": MINUTE}, 2 * SECOND),
        ({"err_backoff": 3 * SECOND}, {"retry": policy}, 3 * SECOND),
    ):
        job = Job(world.clock, failing, own=own, defaults=defaults)  # type: ignore[arg-type]
        with world.engine(job.workflow) as engine:
            handle = engine.trigger(job.workflow, str(wait), Thing())
            engine.advance(2 * wait)
            assert job.waits == [wait, wait]
            handle.cancel("enough")


@places
def test_err_backoff_and_retry_together_are_refused_where_they_are_written(memory_world: World, place: Place) -> None:
    own, defaults = given(place, err_backoff=SECOND, retry=Retry())
    with pytest.raises(OptionError, match="both say how long to wait"):
        Job(memory_world.clock, own=own, defaults=defaults)


def test_a_failed_run_waits_while_others_of_its_step_go_on(world: World) -> None:
    job = Job(
        world.clock,
        lambda run: failing(run) if run.foreign_id == "bad" else None,
        own={"err_backoff": MINUTE, "parallel_count": 1, "concurrency": 1},
    )
    with world.engine(job.workflow) as engine:
        bad = engine.trigger(job.workflow, "bad", Thing())
        good = [engine.trigger(job.workflow, f"good {number}", Thing()) for number in range(3)]
        engine.run_until_idle()
        assert [handle.record().state for handle in good] == [RunState.COMPLETED] * 3
        assert bad.record().state is RunState.INITIATED


# -- pause_after_err_count ------------------------------------------------------------------------------------------------------


@places
@pytest.mark.parametrize("limit", [1, 3])
def test_pause_after_err_count_pauses_at_that_failure_with_its_reason(world: World, place: Place, limit: int) -> None:
    own, defaults = given(place, pause_after_err_count=limit, err_backoff=SECOND)
    job = Job(world.clock, failing, own=own, defaults=defaults)
    with world.engine(job.workflow, auto_resume=NEVER_RESUMED) as engine:
        (handle,) = trigger(engine, job)
        engine.advance((limit - 1) * SECOND - TICK if limit > 1 else timedelta(0))
        if limit > 1:
            assert handle.record().state is RunState.INITIATED
            engine.advance(TICK)
        record = handle.record()
        assert record.state is RunState.PAUSED
        assert (record.reason, record.last_error) == (
            f"step {step_of(job)} failed {'once' if limit == 1 else f'{limit} times in a row'}",
            "RuntimeError: no luck",
        )
        assert handle.history()[-1].cause is Cause.ERRORS
        engine.advance(MINUTE)
    assert len(job.begun) == limit


@places
@pytest.mark.parametrize("off", [0, None])
def test_pause_after_err_count_of_zero_or_none_never_pauses(world: World, place: Place, off: int | None) -> None:
    own, defaults = given(place, pause_after_err_count=off, err_backoff=SECOND)
    job = Job(world.clock, failing, own=own, defaults=defaults)
    with world.engine(job.workflow) as engine:
        (handle,) = trigger(engine, job)
        engine.advance(24 * SECOND)
        assert len(job.begun) == 25
        assert handle.record().state is RunState.INITIATED


def test_unset_a_run_is_paused_at_its_tenth_failure(world: World) -> None:
    job = Job(world.clock, failing, own={"err_backoff": SECOND})
    with world.engine(job.workflow, auto_resume=NEVER_RESUMED) as engine:
        (handle,) = trigger(engine, job)
        engine.advance(9 * SECOND - TICK)
        assert handle.record().state is RunState.INITIATED
        engine.advance(TICK)
        assert handle.record().state is RunState.PAUSED
    assert len(job.begun) == 10


def test_zero_at_the_step_undoes_the_workflows_pause_after_err_count(world: World) -> None:
    job = Job(
        world.clock, failing, own={"pause_after_err_count": 0}, defaults={"pause_after_err_count": 1, "err_backoff": SECOND}
    )
    with world.engine(job.workflow) as engine:
        (handle,) = trigger(engine, job)
        engine.advance(5 * SECOND)
        assert handle.record().state is RunState.INITIATED


def test_failures_are_counted_per_run_and_survive_another_process(world: World) -> None:
    job = Job(world.clock, failing, own={"pause_after_err_count": 3, "err_backoff": SECOND})
    with world.engine(job.workflow, auto_resume=NEVER_RESUMED) as first:
        one, two = trigger(first, job, count=2)
        first.advance(SECOND)
        assert len(job.begun) == 4
    with world.engine(job.workflow, auto_resume=NEVER_RESUMED) as second:
        second.advance(SECOND)
        assert len(job.begun) == 6
        for handle in (one, two):
            assert second.handle(handle.run_id).record().state is RunState.PAUSED


def test_errors_of_different_text_count_together(world: World) -> None:
    texts = iter("abc")

    def fails_differently(run: Any) -> None:
        raise RuntimeError(next(texts))

    job = Job(world.clock, fails_differently, own={"pause_after_err_count": 3, "err_backoff": SECOND})
    with world.engine(job.workflow, auto_resume=NEVER_RESUMED) as engine:
        (handle,) = trigger(engine, job)
        engine.advance(2 * SECOND)
        assert handle.record().state is RunState.PAUSED
        assert handle.record().last_error == "RuntimeError: c"


def test_a_resumed_run_has_its_full_number_of_failures_again(world: World) -> None:
    job = Job(world.clock, failing, own={"pause_after_err_count": 2, "err_backoff": SECOND})
    with world.engine(job.workflow, auto_resume=NEVER_RESUMED) as engine:
        (handle,) = trigger(engine, job)
        engine.advance(SECOND)
        assert handle.record().state is RunState.PAUSED
        handle.resume()
        engine.run_until_idle()
        assert handle.record().state is RunState.RUNNING
        engine.advance(SECOND)
        assert handle.record().state is RunState.PAUSED
    assert len(job.begun) == 4


def test_a_paused_run_is_resumed_by_itself_after_the_set_time_and_at_most_so_often(world: World) -> None:
    job = Job(world.clock, failing, own={"pause_after_err_count": 1})
    with world.engine(job.workflow, auto_resume=AutoResume(after=10 * MINUTE, limit=2)) as engine:
        trigger(engine, job)
        engine.advance(10 * MINUTE - SECOND)
        assert len(job.begun) == 1
        engine.advance(10 * SECOND)
        assert len(job.begun) == 2
        engine.advance(3 * HOUR)
    assert len(job.begun) == 3


def step_of(job: Job) -> str:
    (spec,) = job.workflow.steps.values()
    return spec.name.rpartition(".")[2]
