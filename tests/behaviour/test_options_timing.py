"""When an event is looked for, handled and called late, and how long a body may take: polling_frequency, consume_lag,
lag_alert, time_limit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from flowdsl.errors import OptionError
from flowdsl.model.run_state import RunState
from flowdsl.options import DEFAULT_LAG_ALERT, DEFAULT_POLLING_FREQUENCY
from flowdsl.ports.record_store import RecordStore
from flowdsl.testing.stepped import SteppedEngine
from tests.behaviour.world import (
    CONSUMER,
    HOUR,
    MINUTE,
    PLACES,
    SECOND,
    TICK,
    Job,
    Place,
    Thing,
    World,
    claimed,
    given,
    sample,
    trigger,
)

places = pytest.mark.parametrize("place", PLACES)
ZERO = timedelta(0)


class Deaf:
    """A store whose wake-ups never arrive."""

    def __init__(self, store: RecordStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def listen(self, namespace: str, wake: Callable[[Sequence[str]], None]) -> Callable[[], None]:
        return lambda: None


def deaf_engine(world: World, job: Job) -> SteppedEngine:
    return world.engine(job.workflow, store=Deaf(world.store))


def settle(engine: SteppedEngine) -> None:
    """As run_until_idle, without telling the engine to look again."""
    while engine.step():
        pass


def pass_time(engine: SteppedEngine, duration: timedelta) -> None:
    """Let time pass without telling the engine to look again; its heartbeat goes on."""
    engine.worker.membership.cover(duration)
    engine.clock.advance(duration)
    settle(engine)


# -- polling_frequency ----------------------------------------------------------------------------------------------------------


@places
def test_polling_frequency_is_how_often_unannounced_work_is_looked_for(world: World, place: Place) -> None:
    own, defaults = given(place, polling_frequency=20 * SECOND)
    job = Job(world.clock, own=own, defaults=defaults)
    with deaf_engine(world, job) as engine:
        settle(engine)
        trigger(world.outsider(job.workflow), job)
        pass_time(engine, 20 * SECOND - TICK)
        assert job.begun == []
        pass_time(engine, TICK)
        assert len(job.begun) == 1


def test_unset_unannounced_work_is_looked_for_twice_a_second(world: World) -> None:
    job = Job(world.clock)
    with deaf_engine(world, job) as engine:
        settle(engine)
        trigger(world.outsider(job.workflow), job)
        pass_time(engine, DEFAULT_POLLING_FREQUENCY - TICK)
        assert job.begun == []
        pass_time(engine, TICK)
        assert len(job.begun) == 1
    assert timedelta(seconds=0.5) == DEFAULT_POLLING_FREQUENCY


@pytest.mark.parametrize("defaults", [{}, {"polling_frequency": SECOND}], ids=["alone", "over the workflow's"])
def test_polling_frequency_none_relies_on_wake_ups_alone(world: World, defaults: Any) -> None:
    job = Job(world.clock, own={"polling_frequency": None}, defaults=defaults)
    with deaf_engine(world, job) as engine:
        settle(engine)
        trigger(world.outsider(job.workflow), job)
        pass_time(engine, HOUR)
        assert job.begun == []
        engine.worker.dispatcher.wake(["jobs/new"])
        settle(engine)
        assert len(job.begun) == 1


@pytest.mark.parametrize("frequency", [HOUR, None])
def test_announced_work_is_done_at_once_whatever_the_polling_frequency(world: World, frequency: timedelta | None) -> None:
    job = Job(world.clock, own={"polling_frequency": frequency})
    with world.engine(job.workflow) as engine:
        settle(engine)
        trigger(engine, job)
        settle(engine)
        assert job.begun == [world.clock.now()]


@pytest.mark.parametrize("frequency", [HOUR, None])
def test_a_retry_is_made_when_it_is_due_whatever_the_polling_frequency(world: World, frequency: timedelta | None) -> None:
    tries = iter([RuntimeError("once"), None])

    def once(run: Any) -> None:
        if error := next(tries):
            raise error

    job = Job(world.clock, once, own={"polling_frequency": frequency, "err_backoff": 5 * SECOND})
    with deaf_engine(world, job) as engine:
        (handle,) = trigger(engine, job)
        settle(engine)
        pass_time(engine, 5 * SECOND)
        assert handle.record().state is RunState.COMPLETED
    assert job.waits == [5 * SECOND]


@places
@pytest.mark.parametrize("name", ["polling_frequency", "time_limit"])
def test_a_zero_that_could_not_work_is_refused_where_it_is_written(memory_world: World, place: Place, name: str) -> None:
    own, defaults = given(place, **{name: ZERO})
    with pytest.raises(OptionError, match=name) as caught:
        Job(memory_world.clock, own=own, defaults=defaults)
    assert "world.py" in str(caught.value.place)


# -- consume_lag ----------------------------------------------------------------------------------------------------------------


@places
def test_consume_lag_is_the_age_that_an_event_has_when_it_is_handled(world: World, place: Place) -> None:
    own, defaults = given(place, consume_lag=HOUR)
    job = Job(world.clock, own=own, defaults=defaults)
    with world.engine(job.workflow) as engine:
        (handle,) = trigger(engine, job)
        happened = world.clock.now()
        engine.advance(HOUR - TICK)
        assert job.begun == []
        assert [row.due_at for row in handle.pending()] == [happened + HOUR]
        assert claimed([handle]) == 0, "an event waits in the store, not in a consumer"
        engine.advance(TICK)
        assert job.begun == [happened + HOUR]


@places
@pytest.mark.parametrize("lag", [ZERO, None])
def test_consume_lag_of_zero_or_none_handles_at_once(world: World, place: Place, lag: timedelta | None) -> None:
    own, defaults = given(place, consume_lag=lag)
    job = Job(world.clock, own=own, defaults=defaults)
    with world.engine(job.workflow) as engine:
        trigger(engine, job)
        engine.run_until_idle()
        assert job.begun == [world.clock.now()]


@pytest.mark.parametrize("lag", [ZERO, None])
def test_zero_or_none_at_the_step_undoes_the_workflows_consume_lag(world: World, lag: timedelta | None) -> None:
    job = Job(world.clock, own={"consume_lag": lag}, defaults={"consume_lag": HOUR})
    with world.engine(job.workflow) as engine:
        trigger(engine, job)
        engine.run_until_idle()
        assert len(job.begun) == 1


def test_unset_an_event_is_handled_at_once(world: World) -> None:
    job = Job(world.clock)
    with world.engine(job.workflow) as engine:
        trigger(engine, job)
        engine.run_until_idle()
        assert len(job.begun) == 1


def test_an_event_that_waited_while_nobody_worked_waits_no_longer(world: World) -> None:
    job = Job(world.clock, own={"consume_lag": MINUTE})
    trigger(world.outsider(job.workflow), job)
    world.clock.advance(MINUTE)
    with world.engine(job.workflow) as engine:
        engine.run_until_idle()
        assert job.begun == [world.clock.now()]


def test_one_consumer_serves_every_lagging_event_at_its_own_time(world: World) -> None:
    job = Job(world.clock, own={"consume_lag": MINUTE, "parallel_count": 1, "concurrency": 1})
    with world.engine(job.workflow) as engine:
        start = world.clock.now()
        for number in range(3):
            engine.trigger(job.workflow, str(number), Thing())
            engine.advance(10 * SECOND)
        engine.advance(MINUTE)
    assert [moment - start for moment in job.begun] == [MINUTE, MINUTE + 10 * SECOND, MINUTE + 20 * SECOND]


# -- lag_alert ------------------------------------------------------------------------------------------------------------------


def alert_at(world: World, job: Job, age: timedelta) -> float | None:
    """What the lag-alert metric says right after an event of this age was received."""
    trigger(world.outsider(job.workflow), job)
    world.clock.advance(age)
    with world.engine(job.workflow) as engine:
        engine.worker.dispatcher.step()
        assert sample(engine, "workflow_process_lag_seconds", **CONSUMER) == age.total_seconds()
        return sample(engine, "workflow_process_lag_alert", **CONSUMER)


@places
@pytest.mark.parametrize(("age", "alert"), [(MINUTE, 0), (MINUTE + TICK, 1)])
def test_lag_alert_is_the_age_beyond_which_the_alert_is_up(world: World, place: Place, age: timedelta, alert: int) -> None:
    own, defaults = given(place, lag_alert=MINUTE)
    assert alert_at(world, Job(world.clock, own=own, defaults=defaults), age) == alert


@places
def test_lag_alert_of_zero_alerts_at_any_age(world: World, place: Place) -> None:
    own, defaults = given(place, lag_alert=ZERO)
    assert alert_at(world, Job(world.clock, own=own, defaults=defaults), TICK) == 1


@places
def test_lag_alert_none_never_alerts(world: World, place: Place) -> None:
    own, defaults = given(place, lag_alert=None)
    assert alert_at(world, Job(world.clock, own=own, defaults=defaults), 1000 * HOUR) == 0


@pytest.mark.parametrize(("over", "alert"), [(ZERO, 0), (TICK, 1)])
def test_unset_the_alert_is_up_beyond_thirty_minutes(world: World, over: timedelta, alert: int) -> None:
    assert timedelta(minutes=30) == DEFAULT_LAG_ALERT
    assert alert_at(world, Job(world.clock), DEFAULT_LAG_ALERT + over) == alert


@places
@pytest.mark.parametrize(("over", "alert"), [(ZERO, 0), (TICK, 1)])
def test_beside_a_consume_lag_an_unset_alert_is_put_off_by_the_lag(
    world: World, place: Place, over: timedelta, alert: int
) -> None:
    own, defaults = given(place, consume_lag=HOUR)
    assert alert_at(world, Job(world.clock, own=own, defaults=defaults), HOUR + DEFAULT_LAG_ALERT + over) == alert


@places
def test_beside_a_consume_lag_a_set_alert_means_what_it_says(world: World, place: Place) -> None:
    own, defaults = given(place, consume_lag=HOUR, lag_alert=MINUTE)
    assert alert_at(world, Job(world.clock, own=own, defaults=defaults), HOUR) == 1


def test_the_alert_goes_down_when_nothing_waits_any_more(world: World) -> None:
    job = Job(world.clock, own={"lag_alert": MINUTE})
    trigger(world.outsider(job.workflow), job)
    world.clock.advance(HOUR)
    with world.engine(job.workflow) as engine:
        engine.worker.dispatcher.step()
        assert sample(engine, "workflow_process_lag_alert", **CONSUMER) == 1
        settle(engine)
        pass_time(engine, DEFAULT_POLLING_FREQUENCY)
        assert sample(engine, "workflow_process_lag_alert", **CONSUMER) == 0
        assert sample(engine, "workflow_process_lag_seconds", **CONSUMER) == 0


# -- time_limit -----------------------------------------------------------------------------------------------------------------


def taking(world: World, *durations: timedelta) -> Callable[[Any], None]:
    """A body whose attempts take so long, one after the other."""
    script = list(durations)

    def body(run: Any) -> None:
        run.object.note = "changed"
        world.clock.advance(script.pop(0))

    return body


@places
@pytest.mark.parametrize("is_async", [False, True], ids=["def", "async def"])
def test_a_body_that_outlives_its_time_limit_is_a_failed_attempt(world: World, place: Place, is_async: bool) -> None:
    own, defaults = given(place, time_limit=5 * SECOND, err_backoff=SECOND)
    job = Job(world.clock, taking(world, 5 * SECOND + TICK, 5 * SECOND), own=own, defaults=defaults, is_async=is_async)
    with world.engine(job.workflow) as engine:
        (handle,) = trigger(engine, job)
        engine.run_until_idle()
        (row,) = handle.pending()
        assert (row.attempts, handle.record().state) == (1, RunState.INITIATED)
        assert "ran longer than its time_limit of 0:00:05" in (row.last_error or "")
        assert handle.run().object.note == "", "what a late attempt changed is not kept"
        engine.advance(SECOND)
        assert handle.record().state is RunState.COMPLETED, "exactly the limit is in time"
        assert handle.run().object.note == "changed"


@places
@pytest.mark.parametrize("options", [{}, {"time_limit": None}], ids=["unset", "none"])
def test_without_a_time_limit_a_body_may_run_for_ever(world: World, place: Place, options: dict[str, Any]) -> None:
    own, defaults = given(place, **options)
    job = Job(world.clock, taking(world, 20 * SECOND), own=own, defaults=defaults)
    with world.engine(job.workflow) as engine:
        (handle,) = trigger(engine, job)
        engine.run_until_idle()
        assert handle.record().state is RunState.COMPLETED


def test_none_at_the_step_undoes_the_workflows_time_limit(world: World) -> None:
    job = Job(world.clock, taking(world, 20 * SECOND), own={"time_limit": None}, defaults={"time_limit": SECOND})
    with world.engine(job.workflow) as engine:
        (handle,) = trigger(engine, job)
        engine.run_until_idle()
        assert handle.record().state is RunState.COMPLETED


def test_late_attempts_count_towards_the_pause(world: World) -> None:
    job = Job(
        world.clock, taking(world, MINUTE, MINUTE), own={"time_limit": SECOND, "pause_after_err_count": 2, "err_backoff": ZERO}
    )
    with world.engine(job.workflow) as engine:
        (handle,) = trigger(engine, job)
        engine.run_until_idle()
        record = handle.record()
        assert record.state is RunState.PAUSED
        assert (record.last_error or "").startswith("TimeLimitExceededError")
