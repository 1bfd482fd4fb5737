"""A pause or cancel while a timeout or a kept callback is being executed, or about to be: it waits, as for a step."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Any

import pytest

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.handle import RunHandle
from flowdsl.errors import IllegalMoveError
from flowdsl.model.change import Change, CommitResult
from flowdsl.model.explanation import Because
from flowdsl.model.instance import Instance
from flowdsl.model.pending import TopicQuota
from flowdsl.model.run_state import RunState
from flowdsl.naming import timeout_topic
from flowdsl.testing.stepped import SteppedEngine
from tests.behaviour.world import HOUR, MINUTE, SECOND, World


class At(StrEnum):
    NEW = "new"
    WAITING = "waiting"
    GONE = "gone"
    DONE = "done"


Kind = str
kinds = pytest.mark.parametrize("kind", ["timeout", "callback"])
verbs = pytest.mark.parametrize(("verb", "state"), [("pause", RunState.PAUSED), ("cancel", RunState.CANCELLED)])


def waiting_workflow() -> Workflow[Any, At]:
    """Into WAITING, which something else has to lead out of, and from GONE to DONE."""
    workflow = Workflow("parcels", object_type=dict, status_type=At)
    workflow.step(from_=At.NEW, to=At.WAITING)(_store)
    workflow.step(from_=At.GONE, to=At.DONE)(_finish)
    return workflow


class Parcels:
    """Runs that wait for a timeout, or have a callback that came early; `body` is what either does (None: to GONE)."""

    def __init__(self, world: World, kind: Kind, body: Any = None) -> None:
        self.world, self.kind, self.body = world, kind, body
        self.called = 0
        self.workflow = waiting_workflow()
        if kind == "timeout":
            self.workflow.timeout(from_=At.WAITING, to=At.GONE, after=HOUR, name="late", err_backoff=MINUTE)(self.attempt)
        else:
            self.workflow.callback(from_=At.WAITING, to=At.GONE, name="late", err_backoff=MINUTE)(self.attempt)

    def attempt(self, run: Run[Any, At], payload: bytes = b"") -> Any:
        self.called += 1
        run.object["called"] = self.called
        return None if self.body is None else self.body(run)

    def start(self, engine: Any) -> RunHandle[Any, At]:
        """A run in WAITING whose timeout or callback is due, and in nobody's hands."""
        handle: RunHandle[Any, At] = engine.trigger(self.workflow, "p", {})
        if self.kind == "callback":
            engine.callback(self.workflow, "p", At.WAITING, b"")
        return handle


def _store(run: Run[Any, At]) -> None:
    """To WAITING."""


def _finish(run: Run[Any, At]) -> None:
    """To DONE."""


def take(world: World, engine: SteppedEngine, timeout: str) -> None:
    """Let the engine claim this timeout alone."""
    owner = engine.worker._core.owner
    claimed = world.store.claim("default", owner, [TopicQuota(timeout_topic("parcels", "waiting", timeout), 1)])
    engine.worker.dispatcher._intake.take(owner, claimed)


def execute(engine: SteppedEngine) -> None:
    """Let it execute and commit what it has claimed, and claim nothing."""
    executor: Any = engine.worker.executor
    while executor.step() or engine.worker._core.committer.step():
        pass


@kinds
@verbs
def test_it_waits_for_the_commit_and_keeps_what_was_done(world: World, kind: Kind, verb: str, state: RunState) -> None:
    handles: list[RunHandle[Any, At]] = []

    def body(run: Run[Any, At]) -> None:
        after = getattr(handles[0], verb)("stop it", actor="Ada")
        assert after.requested is not None
        (reason,) = [reason for reason in handles[0].explain().reasons if reason.because is Because.REQUESTED]
        assert reason.sentence == f"A {verb} by Ada waits for the commit of what is being executed: stop it."

    parcels = Parcels(world, kind, body)
    with world.engine(parcels.workflow) as engine:
        handles.append(parcels.start(engine))
        engine.advance(2 * HOUR)
        record = handles[0].record()
        assert (record.status, record.state, record.reason, record.actor) == ("gone", state, "stop it", "Ada")
        assert record.requested is None
        assert handles[0].run().object == {"called": 1}
        if verb == "pause":
            handles[0].resume()
            engine.run_until_idle()
            assert handles[0].record().state is RunState.COMPLETED
    assert parcels.called == 1


@kinds
@verbs
@pytest.mark.parametrize("end", ["raises", "skips"])
def test_it_is_applied_when_nothing_comes_of_it(world: World, kind: Kind, verb: str, state: RunState, end: str) -> None:
    handles: list[RunHandle[Any, At]] = []

    def body(run: Run[Any, At]) -> Any:
        getattr(handles[0], verb)("stop it")
        if end == "raises":
            raise ValueError("and it broke")
        return run.skip()

    parcels = Parcels(world, kind, body)
    with world.engine(parcels.workflow) as engine:
        handles.append(parcels.start(engine))
        engine.advance(HOUR + SECOND)
        record = handles[0].record()
        assert (record.status, record.state, record.reason, record.requested) == ("waiting", state, "stop it", None)
        engine.advance(24 * HOUR)
        assert parcels.called == 1
        if state is RunState.PAUSED:
            handles[0].resume()
            engine.advance(24 * HOUR)
            assert (parcels.called > 1) == (end == "raises"), "what skipped is not asked again"


@pytest.mark.parametrize("kind", ["timeout", "callback", "step"])
@verbs
def test_a_process_may_die_at_any_time_when_nothing_comes_of_it(
    world: World, kind: Kind, verb: str, state: RunState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as the request waits there is a row that somebody holds or will take."""
    handles: list[RunHandle[Any, At]] = []
    commit = world.store.commit
    waited: list[bool] = []

    def body(run: Run[Any, At]) -> Any:
        getattr(handles[0], verb)("stop it")
        return run.skip()

    def watched(changes: Sequence[Change]) -> Sequence[CommitResult]:
        results = commit(changes)
        for run_id in [handle.run_id for handle in handles]:
            if world.store.lookup([run_id])[run_id].requested is not None:
                waited.append(any(row.owner or row.due_at for row in world.store.rows([run_id])))
        return results

    parcels = Parcels(world, "timeout" if kind == "step" else kind, body)
    if kind == "step":
        parcels.workflow = Workflow("parcels", object_type=dict, status_type=At, retired=[At.WAITING, At.GONE])
        parcels.workflow.step(from_=At.NEW, to=At.DONE)(body)
    with world.engine(parcels.workflow) as engine:
        monkeypatch.setattr(world.store, "commit", watched)
        handles.append(parcels.start(engine))
        engine.advance(HOUR + SECOND)
        assert (handles[0].record().state, handles[0].record().requested) == (state, None)
    assert waited
    assert all(waited)


@verbs
@pytest.mark.parametrize("second", ["timeout", "step"])
def test_what_is_claimed_meanwhile_does_not_stop_the_run_under_the_function_that_is_waited_for(
    world: World, verb: str, state: RunState, second: str
) -> None:
    workflow = waiting_workflow()
    handles: list[RunHandle[Any, At]] = []
    called: list[str] = []

    def first(run: Run[Any, At]) -> None:
        after = getattr(handles[0], verb)("stop it")
        assert after.requested is not None
        beside.run_until_idle()
        record = handles[0].record()
        assert (record.state, record.requested is not None) == (RunState.RUNNING, True)
        called.append("first")

    def other(run: Run[Any, At]) -> None:
        called.append("other")

    workflow.timeout(from_=At.WAITING, to=At.GONE, after=10 * SECOND, name="first")(first)
    if second == "timeout":
        workflow.timeout(from_=At.WAITING, to=At.DONE, after=10 * SECOND, name="second")(other)
    else:
        workflow.step(from_=At.WAITING, to=At.DONE, consume_lag=10 * SECOND)(other)
    with world.engine(workflow) as engine, world.engine(workflow) as beside:
        handles.append(engine.trigger(workflow, "p", {}))
        engine.run_until_idle()
        world.clock.advance(10 * SECOND)
        take(world, engine, "first")
        execute(engine)
        record = handles[0].record()
        assert (record.status, record.state, called) == ("gone", state, ["first"])


@verbs
def test_a_function_that_skips_does_not_stop_the_run_under_another_that_is_waited_for(
    world: World, verb: str, state: RunState
) -> None:
    workflow = waiting_workflow()
    handles: list[RunHandle[Any, At]] = []
    called: list[str] = []

    def first(run: Run[Any, At]) -> None:
        take(world, beside, "second")
        assert getattr(handles[0], verb)("stop it").requested is not None
        execute(beside)
        record = handles[0].record()
        assert (record.state, record.requested is not None) == (RunState.RUNNING, True)
        called.append("first")

    def second(run: Run[Any, At]) -> Any:
        called.append("second")
        return run.skip()

    workflow.timeout(from_=At.WAITING, to=At.GONE, after=10 * SECOND, name="first")(first)
    workflow.timeout(from_=At.WAITING, to=At.DONE, after=10 * SECOND, name="second")(second)
    with world.engine(workflow) as engine, world.engine(workflow) as beside:
        handles.append(engine.trigger(workflow, "p", {}))
        engine.run_until_idle()
        world.clock.advance(10 * SECOND)
        take(world, engine, "first")
        execute(engine)
        record = handles[0].record()
        assert (record.status, record.state, called) == ("gone", state, ["second", "first"])


@kinds
def test_a_forced_cancel_does_not_wait(world: World, kind: Kind) -> None:
    handles: list[RunHandle[Any, At]] = []

    def body(run: Run[Any, At]) -> None:
        assert handles[0].cancel("now", force=True).state is RunState.CANCELLED

    parcels = Parcels(world, kind, body)
    with world.engine(parcels.workflow) as engine:
        handles.append(parcels.start(engine))
        engine.advance(2 * HOUR)
        assert (handles[0].record().status, handles[0].record().state) == ("waiting", RunState.CANCELLED)


@verbs
def test_when_the_worker_is_lost_the_next_one_stops_the_run_and_calls_nothing(world: World, verb: str, state: RunState) -> None:
    parcels, store = Parcels(world, "timeout"), world.store
    with world.engine(parcels.workflow) as engine:
        handle = parcels.start(engine)
        engine.run_until_idle()
        world.clock.advance(HOUR)
        assert store.beat("default", Instance(owner="lost"), timedelta(seconds=30))
        (claimed,) = store.claim("default", "lost", [TopicQuota(timeout_topic("parcels", "waiting", "late"), 1)])
        assert claimed.row.run_id == handle.run_id
        after = getattr(handle, verb)("stop it")
        assert (after.state, after.requested is not None) == (RunState.RUNNING, True)
        engine.advance(MINUTE)
        assert handle.record().state is state
    assert parcels.called == 0


@verbs
def test_those_that_have_come_to_stop_the_run_do_not_wait_for_each_other(world: World, verb: str, state: RunState) -> None:
    parcels, store = Parcels(world, "timeout"), world.store
    for name in ("more", "most"):
        parcels.workflow.timeout(from_=At.WAITING, to=At.GONE, after=HOUR, name=name)(parcels.attempt)
    with world.engine(parcels.workflow) as engine:
        handle = parcels.start(engine)
        engine.run_until_idle()
        world.clock.advance(HOUR)
        assert store.beat("default", Instance(owner="lost"), timedelta(seconds=30))
        topics = [TopicQuota(timeout_topic("parcels", "waiting", name), 1) for name in ("late", "more", "most")]
        assert len(store.claim("default", "lost", topics)) == 3
        assert getattr(handle, verb)("stop it").requested is not None
        engine.advance(MINUTE)
        engine.advance(SECOND)
        assert handle.record().state is state
    assert parcels.called == 0


@verbs
def test_who_has_come_to_stop_a_run_that_is_busy_for_long_is_not_in_the_way_of_others(
    world: World, verb: str, state: RunState
) -> None:
    parcels, store = Parcels(world, "timeout"), world.store
    workflow = waiting_workflow()
    workflow.timeout(from_=At.WAITING, to=At.GONE, after=10 * SECOND, name="late", concurrency=1)(parcels.attempt)
    workflow.timeout(from_=At.WAITING, to=At.GONE, after=10 * SECOND, name="long")(lambda run: run.skip())
    with world.engine(workflow) as engine:
        busy = engine.trigger(workflow, "busy", {})
        engine.run_until_idle()
        world.clock.advance(10 * SECOND)
        assert store.beat("default", Instance(owner="other"), HOUR)
        assert len(store.claim("default", "other", [TopicQuota(timeout_topic("parcels", "waiting", "long"), 1)])) == 1
        assert getattr(busy, verb)("stop it").requested is not None
        free = engine.trigger(workflow, "free", {})
        for _ in range(16):
            engine.advance(SECOND)
        assert free.record().state is RunState.COMPLETED
        assert (busy.record().state, busy.record().requested is not None) == (RunState.RUNNING, True)


@verbs
def test_of_two_that_skip_at_once_one_applies_what_waits(world: World, verb: str, state: RunState) -> None:
    workflow = waiting_workflow()
    handles: list[RunHandle[Any, At]] = []

    def body(run: Run[Any, At]) -> Any:
        getattr(handles[0], verb)("stop it")
        return run.skip()

    for name in ("first", "second"):
        workflow.timeout(from_=At.WAITING, to=At.GONE, after=10 * SECOND, name=name)(body)
    with world.engine(workflow) as engine:
        handles.append(engine.trigger(workflow, "p", {}))
        engine.run_until_idle()
        world.clock.advance(10 * SECOND)
        take(world, engine, "first")
        take(world, engine, "second")
        engine.run_until_idle()
        engine.advance(SECOND)
        record = handles[0].record()
        assert (record.state, record.requested, record.reason) == (state, None, "stop it")


@kinds
def test_a_move_by_hand_does_not_come_between_either(world: World, kind: Kind) -> None:
    handles: list[RunHandle[Any, At]] = []

    def body(run: Run[Any, At]) -> None:
        with pytest.raises(IllegalMoveError, match="a timeout or a kept callback is being executed right now"):
            handles[0].move(At.DONE, "I know better")

    parcels = Parcels(world, kind, body)
    with world.engine(parcels.workflow) as engine:
        handles.append(parcels.start(engine))
        engine.advance(2 * HOUR)
        assert handles[0].record().state is RunState.COMPLETED
    assert parcels.called == 1
