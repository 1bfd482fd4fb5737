"""Connectors whose events fail: tried again, given up, replayed; and none is lost whatever ends when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from flowdsl.dsl.incoming import Incoming
from flowdsl.engine.connector_engine import ConnectorEngine
from flowdsl.engine.event_hand import Held
from flowdsl.errors import ConfigurationError, ReplayFailedError, StreamerError
from flowdsl.memory.connector_source import MemoryConnectorSource
from flowdsl.model.event import ConnectorEvent
from flowdsl.options import Retry
from flowdsl.ports.connector_source import ConnectorReader
from flowdsl.testing.stepped import SteppedEngine
from tests.behaviour.connecting import PROCESS, Forgetful, Stream
from tests.behaviour.world import MINUTE, SECOND, Job, Thing, World, failing_commits, sample


def test_a_failing_event_is_tried_again_after_the_backoff_and_holds_up_only_its_own(world: World) -> None:
    def handler(engine: ConnectorEngine, event: Incoming[Any]) -> None:
        if event.event_id == "bad" and event.attempt < 3:
            raise RuntimeError("not yet")
        engine.trigger(stream.orders, event.event_id, Thing())

    stream = Stream(world, handler, retry=Retry(backoff=SECOND, multiplier=2, jitter=False))
    stream.source.add(stream.event("bad", "o-1"), stream.event("behind", "o-1"), stream.event("other", "o-2"))
    start = world.clock.now()
    with stream.engine() as engine:
        engine.run_until_idle()
        assert stream.handled == [("bad", 1), ("other", 1)]
        engine.advance(MINUTE)
        assert stream.handled == [("bad", 1), ("other", 1), ("bad", 2), ("bad", 3), ("behind", 1)]
        assert [moment - start for moment in stream.times[2:4]] == pytest.approx(
            [SECOND, 3 * SECOND], abs=timedelta(milliseconds=1)
        )
        assert engine.dead_letters.list().letters == []
        assert sample(engine, "workflow_process_error_count", **PROCESS) == 2
        assert sample(engine, "workflow_process_retries_count", **PROCESS) == 2


def test_an_event_that_fails_too_often_is_given_up_and_the_stream_goes_on(world: World) -> None:
    def handler(engine: ConnectorEngine, event: Incoming[Any]) -> None:
        if event.event_id == "bad":
            raise RuntimeError("no way")
        stream.trigger(engine, event)

    stream = Stream(world, handler, dead_letter_after_err_count=3, err_backoff=SECOND)
    stream.source.add(stream.event("bad", "o-1", type="paid", headers={"h": "1"}, body=b"\xffbody"), stream.event("next", "o-1"))
    with stream.engine() as engine:
        engine.advance(MINUTE)
        assert stream.handled == [("bad", 1), ("bad", 2), ("bad", 3), ("next", 1)]
        (letter,) = engine.dead_letters.list(origin="connector", workflow="jobs", name="courier").letters
        assert (letter.error, letter.attempts, letter.event_id, letter.foreign_id) == ("RuntimeError: no way", 3, "bad", "o-1")
        assert (letter.type, letter.headers, letter.body) == ("paid", {"h": "1"}, b"\xffbody")
        assert sample(engine, "workflow_dead_letters_count", **PROCESS) == 1
        assert list(world.store.items("default", "connector_attempt")) == []
    assert stream.unacknowledged() == []


@pytest.mark.parametrize("never", [0, None])
def test_an_event_is_never_given_up_if_so_asked(world: World, never: int | None) -> None:
    def handler(engine: ConnectorEngine, event: Incoming[Any]) -> None:
        raise RuntimeError("never")

    stream = Stream(world, handler, dead_letter_after_err_count=never, err_backoff=SECOND)
    stream.add("bad")
    with stream.engine() as engine:
        engine.advance(MINUTE)
        assert engine.dead_letters.list().letters == []
    assert len(stream.handled) >= 59


def test_what_the_source_could_not_read_is_put_aside_at_once(world: World) -> None:
    stream = Stream(world)
    stream.source.add(stream.event("odd", "", problem="no foreign id: there is no header 'x'"), stream.event("good"))
    with stream.engine() as engine:
        engine.run_until_idle()
        assert stream.handled == [("good", 1)]
        (letter,) = engine.dead_letters.list().letters
        assert (letter.error, letter.attempts) == ("no foreign id: there is no header 'x'", 0)
        with pytest.raises(ConfigurationError, match="cannot be replayed"):
            engine.dead_letters.replay(letter.letter_id)


@dataclass
class PickUp:
    driver: str


def test_a_body_is_decoded_to_the_annotated_type(world: World) -> None:
    orders = Job(world.clock).workflow
    got: list[PickUp] = []
    source = MemoryConnectorSource()

    @orders.connector("pickups", source=source)
    def on_pickup(engine: ConnectorEngine, event: Incoming[PickUp]) -> None:
        got.append(event.payload)

    for number, body in enumerate([b'{"driver": "Ada"}', b'{"driver": 7}', b"{", b'{"driver": "Bob"}']):
        source.add(ConnectorEvent(event_id=f"e-{number}", foreign_id="o", body=body, created_at=world.clock.now()))
    with world.engine(orders) as engine:
        engine.run_until_idle()
        letters = engine.dead_letters.list().letters
        assert got == [PickUp("Ada"), PickUp("Bob")]
        assert sorted(letter.event_id for letter in letters) == ["e-1", "e-2"]
        assert all("the body is not a PickUp" in letter.error for letter in letters)


def test_a_busy_foreign_id_is_tried_again_and_keeps_nobody_waiting(world: World) -> None:
    """A function that does not catch it fails, as with any other error."""
    stream = Stream(world, err_backoff=SECOND)
    with stream.engine() as engine:
        outsider = world.outsider(stream.orders)
        busy = outsider.trigger(stream.orders, "busy", Thing())
        busy.pause("until we say so")
        stream.add("busy", "free")
        engine.run_until_idle()
        assert stream.runs(engine) == ["busy", "free"]
        busy.cancel("enough")
        engine.advance(2 * SECOND)
        assert stream.runs(engine) == ["busy", "busy", "free"]
        assert engine.dead_letters.list().letters == []


def test_more_failing_events_than_fit_in_the_hand_wait_their_turn_and_none_is_lost(world: World) -> None:
    down = True

    def handler(engine: ConnectorEngine, event: Incoming[Any]) -> None:
        if down:
            raise RuntimeError("the other side is down")
        stream.trigger(engine, event)

    stream = Stream(world, handler, err_backoff=SECOND, dead_letter_after_err_count=0)
    stream.add(*(f"e-{number:03}" for number in range(250)))
    with stream.engine() as engine:
        engine.run_until_idle()
        assert len({event_id for event_id, _ in stream.handled}) == 100
        down = False
        engine.advance(2 * SECOND)
        assert stream.runs(engine) == [f"e-{number:03}" for number in range(250)]


def test_attempts_are_remembered_when_the_process_is_gone(world: World) -> None:
    def handler(engine: ConnectorEngine, event: Incoming[Any]) -> None:
        raise RuntimeError("never")

    stream = Stream(world, handler, dead_letter_after_err_count=3, err_backoff=MINUTE)
    stream.add("bad")
    for _ in range(2):
        engine = stream.engine()
        with engine:
            engine.run_until_idle()
            engine.advance(SECOND)
            world.clock.advance(MINUTE)
    with stream.engine() as engine:
        engine.run_until_idle()
        (letter,) = engine.dead_letters.list().letters
        assert letter.attempts == 3
    assert stream.handled == [("bad", 1), ("bad", 2), ("bad", 3)]


def test_the_backoff_goes_on_in_the_next_process(world: World) -> None:
    def handler(engine: ConnectorEngine, event: Incoming[Any]) -> None:
        raise RuntimeError("never")

    stream = Stream(world, handler, err_backoff=MINUTE)
    stream.add("bad")
    for _ in range(3):
        with stream.engine() as engine:
            engine.run_until_idle()
    assert stream.handled == [("bad", 1)]


class _Killed(BaseException):
    """The process ends in the middle of a call."""


def test_an_event_that_ends_every_process_is_given_up_and_takes_no_other_with_it(world: World) -> None:
    dying = False

    def handler(engine: ConnectorEngine, event: Incoming[Any]) -> None:
        nonlocal dying
        if event.event_id == "poison":
            dying = True
            raise _Killed
        stream.trigger(engine, event)

    stream = Stream(world, handler, dead_letter_after_err_count=4)
    stream.add("a", "poison", "b", "c")

    def born() -> SteppedEngine:
        engine = stream.engine()
        engine._start(None)
        consumer = engine.worker.connectors.consumers[0]
        ends = consumer._end

        def end(held: Held, error: BaseException | None) -> None:
            if not dying:  # what a process has not seen to before it ends, nobody has
                ends(held, error)

        consumer._end = end  # type: ignore[method-assign]
        return engine

    lives = 0
    while True:
        lives += 1
        assert lives < 10, "it goes on killing"
        engine = born()
        for _ in range(20):
            engine.step()
            if dying:
                break
        if not dying:
            break
        engine.crash()
        dying = False
        world.clock.advance(MINUTE)
    (letter,) = engine.dead_letters.list().letters
    assert (letter.event_id, letter.attempts) == ("poison", 4)
    engine.run_until_idle()
    assert stream.runs(engine) == ["a", "b", "c"]
    engine._stop(None)


def test_a_store_that_does_not_answer_costs_time_and_no_event(world: World) -> None:
    def handler(engine: ConnectorEngine, event: Incoming[Any]) -> None:
        if event.event_id == "bad":
            raise RuntimeError("no")
        stream.trigger(engine, event)

    stream = Stream(world, handler, dead_letter_after_err_count=1, err_backoff=SECOND)
    stream.source.add(stream.event("bad"))
    store = failing_commits(world.store, 0)
    with stream.engine(store=store) as engine:
        store.methods["commit"] = failing_commits(world.store, 2).commit  # the mark, then the letter
        engine.run_until_idle()
        assert engine.dead_letters.list().letters == []
        engine.advance(2 * SECOND)
        assert [letter.event_id for letter in engine.dead_letters.list().letters] == ["bad"]
        assert stream.handled == [("bad", 1)]
    assert stream.unacknowledged() == []


@pytest.mark.parametrize("problem", [StreamerError("the broker is away."), ConfigurationError("the broker is away.")])
def test_a_source_that_cannot_be_reached_is_tried_again(
    world: World, caplog: pytest.LogCaptureFixture, problem: Exception
) -> None:
    stream = Stream(world)
    stream.add("e-1")
    real, down = stream.source.open, True

    def open_(name: str) -> ConnectorReader:
        if down:
            raise problem
        return real(name)

    stream.source.open = open_  # type: ignore[method-assign]
    with stream.engine() as engine:
        for _ in range(5):
            engine.run_until_idle()
            world.clock.advance(SECOND)
        assert stream.handled == []
        assert len([record for record in caplog.records if "the broker is away" in record.message]) == 1
        assert (sample(engine, "workflow_process_error_count", **PROCESS) or 0) >= 5
        down = False
        engine.run_until_idle()
        assert stream.runs(engine) == ["e-1"]


def test_a_replay_runs_the_function_again_with_the_same_keys(world: World) -> None:
    broken = True

    def handler(engine: ConnectorEngine, event: Incoming[Any]) -> None:
        engine.trigger(stream.orders, f"{event.foreign_id}-first", Thing())
        if broken:
            raise RuntimeError("half way")
        engine.trigger(stream.orders, f"{event.foreign_id}-second", Thing(event.body.decode()))

    stream = Stream(world, handler, dead_letter_after_err_count=1)
    stream.source.add(stream.event("e-1", "o", body=b"x" * 20_000))
    with stream.engine() as engine:
        engine.run_until_idle()
        (letter,) = engine.dead_letters.list().letters
        with pytest.raises(ReplayFailedError, match="half way"):
            engine.dead_letters.replay(letter.letter_id)
        broken = False
        engine.dead_letters.replay(letter.letter_id, actor="ada")
        engine.run_until_idle()
        assert stream.runs(engine) == ["o-first", "o-second"]
        assert engine.latest(stream.orders, "o-second").run().object == Thing("x" * 20_000)
        assert engine.dead_letters.list().letters == []
        assert [entry.action for entry in engine.dead_letters.audit(letter.letter_id)] == ["replayed in vain", "replayed"]
    assert stream.handled == [("e-1", 1), ("e-1", 2), ("e-1", 2)]


def test_a_replay_needs_the_code_of_the_connector(world: World) -> None:
    def handler(engine: ConnectorEngine, event: Incoming[Any]) -> None:
        raise RuntimeError("never")

    stream = Stream(world, handler, dead_letter_after_err_count=1)
    stream.add("e-1")
    with stream.engine() as engine:
        engine.run_until_idle()
        (letter,) = engine.dead_letters.list().letters
    with pytest.raises(ConfigurationError, match="has no connector 'courier'"):
        world.outsider(Job(world.clock).workflow).dead_letters.replay(letter.letter_id)


def test_an_event_that_was_given_up_and_comes_again_makes_no_second_letter(world: World) -> None:
    def handler(engine: ConnectorEngine, event: Incoming[Any]) -> None:
        raise RuntimeError("never")

    stream = Stream(world, handler, dead_letter_after_err_count=1)
    stream.add("e-1")
    first = stream.engine(sources={"courier": Forgetful(stream.source)})
    with first:
        first.run_until_idle()
    with stream.engine() as engine:
        engine.run_until_idle()
        assert len(engine.dead_letters.list().letters) == 1
        assert sample(engine, "workflow_dead_letters_count", **PROCESS) == 0
    assert stream.unacknowledged() == []


def test_a_coroutine_that_nobody_awaits_is_a_failure(memory_world: World) -> None:
    async def later() -> None:
        """Never runs."""

    stream = Stream(memory_world)
    source = MemoryConnectorSource([stream.event("e-1")])
    stream.orders.connector("odd", source=source, dead_letter_after_err_count=1)(lambda engine, event: later())
    with stream.engine() as engine:
        engine.run_until_idle()
        (letter,) = engine.dead_letters.list().letters
        assert "returned a coroutine" in letter.error
