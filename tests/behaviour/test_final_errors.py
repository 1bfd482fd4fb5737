"""Errors that say what comes after them: no other attempt (pause_on, dead_letter_on), or one when they want (RetryAfter)."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from flowdsl.dsl.incoming import Incoming
from flowdsl.dsl.run import Run
from flowdsl.engine.connector_engine import ConnectorEngine
from flowdsl.errors import OptionError, RetryAfter, TimeLimitExceededError
from flowdsl.model.explanation import Because
from flowdsl.model.history import Cause
from flowdsl.model.run_state import RunState
from tests.behaviour.connecting import Stream
from tests.behaviour.world import DAY, HOUR, MINUTE, PLACES, SECOND, TICK, Job, Place, Status, Thing, World, given, trigger

places = pytest.mark.parametrize("place", PLACES)


class Declined(Exception):
    """Another attempt would not mend it."""


class Stolen(Declined):
    """A kind of it."""


def raising(*errors: BaseException) -> Any:
    """A body that raises these in turn, the last again and again."""
    left = list(errors)

    def body(run: Run[Any, Any]) -> None:
        raise left.pop(0) if len(left) > 1 else left[0]

    return body


@places
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("pause_on", [Declined, (KeyError, Declined)])
def test_an_error_that_pause_on_names_pauses_the_run_at_once_and_for_good(
    world: World, place: Place, is_async: bool, pause_on: Any
) -> None:
    own, defaults = given(place, pause_on=pause_on, pause_after_err_count=0)
    job = Job(world.clock, raising(Stolen("card 4")), own=own, defaults=defaults, is_async=is_async)
    told: list[Any] = []
    job.workflow.on_pause(name="tell")(lambda run: told.append(run.failure))
    with world.engine(job.workflow) as engine:
        (handle,) = trigger(engine, job)
        engine.advance(2 * DAY)
        record = handle.record()
        assert record.state is RunState.PAUSED
        assert record.last_error == "Stolen: card 4"
        assert (record.reason or "").endswith(" failed once, with an error that is not tried again")
        assert [(failure.error, failure.attempt) for failure in told] == [("Stolen: card 4", 1)]
        assert [row.cause for row in handle.history()] == [Cause.TRIGGER, Cause.ERRORS]
        reasons = [reason.because for reason in handle.explain().reasons]
        assert reasons[:2] == [Because.PAUSED_BY_ERRORS, Because.AUTO_RESUME]
        assert "not going to be resumed by itself" in handle.explain().reasons[1].sentence
    assert len(job.begun) == 1


def test_other_errors_are_tried_again_and_count_with_it(world: World) -> None:
    job = Job(
        world.clock, raising(OSError("down"), OSError("down"), Declined()), own={"pause_on": Declined, "err_backoff": SECOND}
    )
    with world.engine(job.workflow) as engine:
        (handle,) = trigger(engine, job)
        engine.advance(MINUTE)
        assert (handle.record().reason or "").endswith("failed 3 times in a row, with an error that is not tried again")
    assert job.waits == [SECOND, SECOND]


def test_a_person_lets_it_go_on_and_the_next_such_error_pauses_it_again(world: World) -> None:
    job = Job(world.clock, raising(Declined()), own={"pause_on": Declined})
    with world.engine(job.workflow) as engine:
        (handle,) = trigger(engine, job)
        engine.run_until_idle()
        handle.retry()
        engine.run_until_idle()
        assert handle.record().state is RunState.PAUSED
        handle.resume()
        engine.run_until_idle()
        assert handle.record().state is RunState.PAUSED
    assert len(job.begun) == 3


def test_a_body_that_takes_too_long_may_be_such_an_error(memory_world: World) -> None:
    def slow(run: Run[Any, Any]) -> None:
        memory_world.clock.advance(2 * SECOND)

    job = Job(memory_world.clock, slow, own={"pause_on": TimeLimitExceededError, "time_limit": SECOND})
    with memory_world.engine(job.workflow) as engine:
        (handle,) = trigger(engine, job)
        engine.run_until_idle()
        assert handle.record().state is RunState.PAUSED
    assert len(job.begun) == 1


def test_a_timeout_and_a_kept_callback_have_such_errors_too(world: World) -> None:
    job = Job(world.clock, lambda run: run.skip())
    parcels = job.workflow

    @parcels.timeout(from_=Status.NEW, to=Status.DONE, after=HOUR, pause_on=Declined)
    def expire(run: Run[Thing, Status]) -> None:
        raise Declined("too late")

    with world.engine(parcels) as engine:
        (handle,) = trigger(engine, job)
        engine.advance(DAY)
        record = handle.record()
        assert (record.state, record.last_error) == (RunState.PAUSED, "Declined: too late")


def test_a_hook_pauses_no_run_and_has_no_such_errors(memory_world: World) -> None:
    job = Job(memory_world.clock)
    refused: Any = job.workflow.on_complete

    with pytest.raises(OptionError, match=r"unknown option 'pause_on'\. It is for steps, and for what else moves a run"):
        refused(lambda run: None, pause_on=Declined)
    with pytest.raises(OptionError, match=r"'err_backof'\. Did you mean 'err_backoff'\?"):
        refused(lambda run: None, err_backof=SECOND)


@pytest.mark.parametrize("is_async", [False, True])
def test_the_next_attempt_comes_when_the_error_says(world: World, is_async: bool) -> None:
    body = raising(RetryAfter(42 * SECOND, "429"), RetryAfter(timedelta(0)), RetryAfter(3 * HOUR), RuntimeError("else"))
    job = Job(world.clock, body, own={"err_backoff": 7 * SECOND}, is_async=is_async)
    with world.engine(job.workflow) as engine:
        (handle,) = trigger(engine, job)
        engine.run_until_idle()
        (row,) = handle.pending()
        assert (row.last_error, row.attempts) == ("RetryAfter: 429", 1)
        engine.advance(42 * SECOND - TICK)
        assert len(job.begun) == 1
        engine.advance(3 * HOUR + MINUTE)
    assert job.waits[:4] == [42 * SECOND, timedelta(0), 3 * HOUR, 7 * SECOND]


def test_it_counts_as_a_failure(world: World) -> None:
    job = Job(world.clock, raising(RetryAfter(SECOND)), own={"pause_after_err_count": 3})
    with world.engine(job.workflow) as engine:
        (handle,) = trigger(engine, job)
        engine.advance(MINUTE)
        record = handle.record()
        assert (record.state, record.last_error) == (RunState.PAUSED, "RetryAfter: another attempt was asked for after 0:00:01.")
    assert len(job.begun) == 3


@pytest.mark.parametrize(
    ("wait", "said"), [(30, "Give a timedelta"), (-SECOND, "not from zero"), (timedelta(days=400), "not from zero")]
)
def test_a_wait_that_cannot_be_is_refused(wait: Any, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        RetryAfter(wait)


def test_a_hook_may_say_when_it_is_told_again(world: World) -> None:
    told: list[Any] = []
    job = Job(world.clock)

    @job.workflow.on_complete
    def tell(run: Run[Thing, Status]) -> None:
        told.append(world.clock.now())
        if len(told) == 1:
            raise RetryAfter(5 * MINUTE)

    with world.engine(job.workflow) as engine:
        trigger(engine, job)
        engine.advance(HOUR)
    assert [later - earlier for earlier, later in pairwise(told)] == [5 * MINUTE]


def test_an_event_of_a_connector_is_given_up_at_once_or_tried_again_when_its_error_says(world: World) -> None:
    def handler(engine: ConnectorEngine, event: Incoming[Any]) -> None:
        if event.event_id == "bad":
            raise Stolen("no way")
        if event.attempt == 1:
            raise RetryAfter(42 * SECOND)
        stream.trigger(engine, event)

    stream = Stream(world, handler, dead_letter_on=Declined, dead_letter_after_err_count=None)
    stream.add("bad", "busy")
    with stream.engine() as engine:
        engine.advance(42 * SECOND - TICK)
        assert stream.handled == [("bad", 1), ("busy", 1)]
        engine.advance(MINUTE)
        (letter,) = engine.dead_letters.list().letters
        assert (letter.event_id, letter.error, letter.attempts) == ("bad", "Stolen: no way", 1)
    assert stream.handled == [("bad", 1), ("busy", 1), ("busy", 2)]


def test_a_connector_refuses_the_options_of_a_run(memory_world: World) -> None:
    with pytest.raises(OptionError, match="There is no run to pause: dead_letter_on gives an event up"):
        Stream(memory_world, pause_on=Declined)
    with pytest.raises(OptionError, match="no class of exceptions"):
        Stream(memory_world, dead_letter_on="Declined")
