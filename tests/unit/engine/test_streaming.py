"""An engine with a streamer: events bring the rows, and nothing depends on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.executor import InlineExecutor
from flowdsl.engine.lane import OVERLOOK
from flowdsl.engine.stream_reader import LONG, SHORT
from flowdsl.errors import StreamerError
from flowdsl.memory.event_streamer import MemoryEventStreamer
from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.memory.role_scheduler import MemoryRoleScheduler
from flowdsl.model.event import Event
from flowdsl.model.instance import Lease
from flowdsl.model.outcome import Outcome
from flowdsl.model.pending import ClaimedRow, TopicQuota
from flowdsl.model.run_state import RunState
from flowdsl.ports.event_streamer import EventReceiver
from flowdsl.ports.role_scheduler import RoleScheduler
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.stepped import SteppedEngine
from tests.unit.engine.script import Order, Script, Status

SECOND = timedelta(seconds=1)


class Recording(MemoryEventStreamer):
    """Remembers what was published, and can be told to fail, to lose or to double."""

    def __init__(self) -> None:
        super().__init__()
        self.published: list[Event] = []
        self.copies = 1
        self.away = False
        self.error: Exception = StreamerError("the broker is away.")
        self.tried: list[datetime] = []
        self.clock: ManualClock | None = None

    def publish(self, events: Sequence[Event]) -> Sequence[bool]:
        if self.clock is not None:
            self.tried.append(self.clock.now())
        if self.away:
            raise self.error
        self.published += events
        return super().publish([event for event in events for _ in range(self.copies)])[: len(events)] or [True] * len(events)


class Fleet:
    """Instances that share a store and a streamer."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.clock = ManualClock()
        self.store = MemoryRecordStore(self.clock)
        self.roles: RoleScheduler = MemoryRoleScheduler(self.clock)
        self.streamer = Recording()
        self.streamer.clock = self.clock

    def instance(self, **settings: object) -> SteppedEngine:
        return self.script.engine(
            clock=self.clock, store=self.store, roles=self.roles, streamer=self.streamer, seed=id(settings) % 1000, **settings
        )


@pytest.fixture
def fleet() -> Fleet:
    return Fleet(Script())


def test_each_transition_that_is_not_handed_over_is_announced_once(fleet: Fleet) -> None:
    with fleet.instance(handoff=False) as engine:
        handle = engine.trigger(fleet.script.workflow, "o-1", Order(1))
        engine.run_until_idle()
        assert handle.record().state is RunState.COMPLETED
    assert [(event.topic, event.row_id, event.version) for event in fleet.streamer.published] == [
        ("default/orders/created", handle.run_id, 1),
        ("default/orders/paid", handle.run_id, 2),
    ]
    assert all(event.body == b"" and event.foreign_id == "o-1" for event in fleet.streamer.published)


def test_what_stays_in_the_process_is_not_announced(fleet: Fleet) -> None:
    with fleet.instance() as engine:
        handle = engine.trigger(fleet.script.workflow, "o-1", Order(1))
        engine.run_until_idle()
        assert handle.record().state is RunState.COMPLETED
    assert fleet.streamer.published == []


@pytest.mark.parametrize("handoff", [True, False])
def test_handoff_changes_speed_and_nothing_else(fleet: Fleet, handoff: bool) -> None:
    with fleet.instance(handoff=handoff) as engine:
        handles = engine.trigger_many(fleet.script.workflow, [(f"o-{number}", Order(number)) for number in range(50)])
        engine.run_until_idle()
        rows = [[(row.version, row.from_status, row.to_status) for row in handle.history()] for handle in handles]
    assert rows == [[(1, None, "created"), (2, "created", "paid"), (3, "paid", "shipped")]] * 50
    assert len(fleet.script.keys) == 50


def test_an_event_brings_a_client_s_run_to_a_worker_without_a_look_at_the_store(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fleet.instance() as worker:
        worker.run_until_idle()
        client = fleet.instance(works=False)
        handle = client.trigger(fleet.script.workflow, "o-1", Order(1))
        monkeypatch.setattr(fleet.store, "claim", lambda *_: pytest.fail("the store was asked"))
        for _ in range(5):
            worker.step()
        assert handle.record().state is RunState.COMPLETED


@pytest.mark.parametrize("verb", ["resume", "retry", "move", "resume many", "callback"])
def test_what_people_set_going_from_a_client_is_announced_like_what_they_trigger(verb: str) -> None:
    fleet = Fleet(Script(RuntimeError("no luck"), pause_after_err_count=1))
    workflow = fleet.script.workflow
    add_callback(workflow)
    client = fleet.instance(works=False)
    handle = client.trigger(workflow, "o-1", Order(1))
    if verb == "retry":
        with fleet.instance() as worker:
            worker.run_until_idle()
    elif "resume" in verb:
        handle.pause("lunch")
    before = len(fleet.streamer.published)

    match verb:
        case "resume":
            handle.resume()
        case "retry":
            handle.retry()
        case "move":
            handle.move(Status.PAID, "by hand")
        case "resume many":
            client.bulk.resume("workflow=orders", reason="lunch is over", rate=None)
        case _:
            client.callback(workflow, "o-1", Status.CREATED, b"")

    assert [event.row_id for event in fleet.streamer.published[before:]] == [handle.run_id]


def add_callback(workflow: Workflow[Order, Status]) -> None:
    @workflow.callback(from_=Status.CREATED, to=Status.PAID)
    def paid_elsewhere(run: Run[Order, Status], payload: bytes) -> Status:
        return Status.PAID


def test_a_child_that_a_step_starts_is_published_though_nothing_else_is_committed_afterwards() -> None:
    def charge(run: Run[Order, Status]) -> Outcome:
        run.trigger(script.workflow, "child", Order(1))
        return run.pause("until the child is done")

    script = Script(charge)
    fleet = Fleet(script)
    with fleet.instance() as engine:
        core, told = engine._the_core(), list[bool]()
        engine.trigger(script.workflow, "parent", Order(1))
        core.committer.grouped = lambda: told.append(core.publisher is not None and core.publisher.waiting)
        engine.step()

    assert told == [True]


def test_an_event_that_comes_twice_runs_nothing_twice(fleet: Fleet) -> None:
    fleet.streamer.copies = 3
    with fleet.instance(handoff=False) as engine:
        engine.trigger(fleet.script.workflow, "o-1", Order(1))
        engine.run_until_idle()
        assert len(fleet.script.keys) == 1
        assert engine.metrics.registry.get_sample_value("workflow_stale_events_count") or 0 >= 2


def test_an_event_that_is_lost_costs_one_poll(fleet: Fleet) -> None:
    fleet.streamer.copies = 0
    with fleet.instance(handoff=False) as engine:
        handle = engine.trigger(fleet.script.workflow, "o-1", Order(1))
        engine.advance(2 * SECOND)
        assert handle.record().state is RunState.COMPLETED


@pytest.mark.parametrize("error", [StreamerError("the broker is away."), ZeroDivisionError("a fault of the adapter")], ids=repr)
def test_a_broker_that_is_away_holds_nothing_up_and_gets_its_events_when_it_is_back(fleet: Fleet, error: Exception) -> None:
    fleet.streamer.away, fleet.streamer.error = True, error
    with fleet.instance(handoff=False) as engine:
        handle = engine.trigger(fleet.script.workflow, "o-1", Order(1))
        engine.advance(3 * SECOND)
        assert handle.record().state is RunState.COMPLETED
        fleet.streamer.away = False
        engine.advance(4 * SECOND)
        assert [event.version for event in fleet.streamer.published] == [1, 2]


def test_the_longer_a_broker_is_away_the_less_often_a_caller_waits_for_it(fleet: Fleet) -> None:
    client = fleet.instance(works=False)

    def tries(seconds: int) -> list[int]:
        """The seconds, of so many, in which a trigger tried to publish."""
        before = fleet.clock.now()
        fleet.streamer.tried.clear()
        for second in range(seconds):
            client.trigger(fleet.script.workflow, f"o-{before}-{second}", Order(1))
            fleet.clock.advance(SECOND)
        return [round((moment - before).total_seconds()) for moment in fleet.streamer.tried]

    fleet.streamer.away = True
    assert tries(62) == [0, 1, 3, 7, 15, 30, 45, 60]

    fleet.streamer.away = False
    assert len(tries(20)) == 20 - 13, "the next try empties the queue; from then on each trigger publishes"
    assert len(fleet.streamer.published) == 82

    fleet.streamer.away = True
    assert tries(5) == [0, 1, 3]


def test_events_are_counted_as_they_are_published(fleet: Fleet) -> None:
    def counted(name: str) -> float | None:
        return engine.metrics.registry.get_sample_value(f"workflow_{name}_events_count")

    with fleet.instance(handoff=False) as engine:
        engine.trigger(fleet.script.workflow, "o-1", Order(1))
        engine.run_until_idle()
        assert (counted("published"), counted("unpublished")) == (2, 0)

        fleet.streamer.away = True
        engine.trigger(fleet.script.workflow, "o-2", Order(1))
        engine.advance(3 * SECOND)
        assert counted("published") == 2

        fleet.streamer.away = False
        engine.advance(4 * SECOND)
        assert (counted("published"), counted("unpublished")) == (4, 0)


def test_an_instance_without_the_role_fetches_nothing_ahead() -> None:
    fleet = Fleet(Script(parallel_count=1))
    with fleet.instance() as first, fleet.instance() as second:
        for engine in (first, second):
            engine.run_until_idle()
        idle = [engine for engine in (first, second) if not any(lane.slots for lane in engine._the_core().lanes.values())]
        for engine in idle:
            reader = engine.worker.reader
            assert reader is not None
            assert not reader._read
        client = fleet.instance(works=False)
        handles = client.trigger_many(fleet.script.workflow, [(f"o-{number}", Order(number)) for number in range(20)])
        for _ in range(200):
            first.step()
            second.step()
        assert {handle.record().state for handle in handles} == {RunState.COMPLETED}


def test_the_store_is_left_alone_while_the_stream_has_more_than_can_be_taken(fleet: Fleet) -> None:
    with fleet.instance(handoff=False) as engine:
        engine.run_until_idle()
        client = fleet.instance(works=False)
        client.trigger_many(fleet.script.workflow, [(f"o-{number}", Order(number)) for number in range(25)])
        looks: list[float] = []
        claim = fleet.store.claim
        dispatcher, reader = engine.worker.dispatcher, engine.worker.reader
        assert reader is not None

        def counted(namespace: str, owner: str, quotas: Sequence[TopicQuota]) -> Sequence[ClaimedRow]:
            if "orders/created" in [quota.topic for quota in quotas]:
                looks.append(fleet.clock.monotonic())
            return claim(namespace, owner, quotas)

        fleet.store.claim = counted  # type: ignore[method-assign]

        def work_a_while(duration: timedelta) -> bool:
            """Bodies and commits, and the dispatcher; whether it looked into the store."""
            engine.worker.membership.cover(duration)
            fleet.clock.advance(duration)
            while engine.worker.executor.step() or engine._the_core().committer.step():  # type: ignore[attr-defined]
                pass
            before = len(looks)
            dispatcher.step()
            return len(looks) > before

        assert reader.step()
        assert not work_a_while(SECOND), "ten came, and ten are a place's worth: there are more where they came from"
        assert work_a_while(timedelta(seconds=OVERLOOK)), "an event may have been lost"
        while reader.step():
            work_a_while(timedelta(0))
        assert work_a_while(SECOND), "the stream is empty"


class Nobody(RoleScheduler):
    """Lets nobody hold a role."""

    def campaign(self, member: str, roles: Sequence[str], ttl: timedelta) -> Sequence[Lease]:
        return []

    def resign(self, member: str) -> None: ...

    def close(self) -> None: ...


@pytest.mark.parametrize("handoff", [True, False])
def test_a_backlog_that_is_left_for_hours_is_announced_once_and_no_more(handoff: bool) -> None:
    fleet, backlog = Fleet(Script(parallel_count=1)), 300
    client = fleet.instance(works=False)
    handles = client.trigger_many(fleet.script.workflow, [(f"o-{number}", Order(number)) for number in range(backlog)])
    able, fleet.roles = fleet.roles, Nobody()
    with fleet.instance() as first, fleet.instance() as second:
        for _ in range(3 * 60):  # they beat, sweep and poll, and may not work
            for engine in (first, second):
                engine.advance(SECOND * 30)
    assert len(fleet.streamer.published) == backlog
    fleet.roles = able
    with fleet.instance(handoff=handoff) as engine:
        engine.run_until_idle()
        assert {handle.record().state for handle in handles} == {RunState.COMPLETED}
    copies = Counter((event.row_id, event.version) for event in fleet.streamer.published)
    assert copies.total() <= 1.1 * len(copies)


def test_rows_given_back_by_a_drain_are_announced_to_the_others(fleet: Fleet) -> None:
    first = fleet.instance(handoff=False)
    first.start()
    client = fleet.instance(works=False)
    client.trigger_many(fleet.script.workflow, [(f"o-{number}", Order(number)) for number in range(5)])
    reader = first.worker.reader
    assert reader is not None
    assert reader.step()
    before = len(fleet.streamer.published)
    first.stop()
    assert len(fleet.streamer.published) == before + 5


def test_a_stale_event_takes_no_row_that_only_newer_code_knows(fleet: Fleet) -> None:
    """During a deployment that adds a step to a status in which runs of the older code ended."""
    older = Workflow("orders", object_type=Order, status_type=Status, retired=[Status.SHIPPED])
    older.step(from_=Status.CREATED, to=Status.PAID)(lambda run: Status.PAID)
    with SteppedEngine(older, clock=fleet.clock, store=fleet.store, roles=fleet.roles, streamer=fleet.streamer, seed=1) as old:
        old.run_until_idle()
        handle = fleet.instance(works=False).trigger(fleet.script.workflow, "o-1", Order(1))
        with fleet.instance(handoff=False) as new:
            assert new.worker.dispatcher.step(), "it finds the row in the store, and the event stays where it is"
            executor = new.worker.executor
            assert isinstance(executor, InlineExecutor)
            assert executor.step()
            assert new._the_core().committer.step()
            assert handle.record().status == Status.PAID

            assert old.step()

            assert [row.owner for row in handle.pending()] == [None], "the older code holds what it cannot do"
            new.run_until_idle()
            assert handle.record().state is RunState.COMPLETED


def test_a_stream_of_which_it_is_not_known_that_it_is_empty_is_not_waited_for(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it may have more, what waits in the store is left alone: a broker that has lost all of it is found out at once."""
    waits: list[timedelta] = []

    class Deaf(EventReceiver):
        def receive(self, quotas: Sequence[TopicQuota], timeout: timedelta) -> Sequence[Event]:
            waits.append(timeout)
            return []

        def acknowledge(self, events: Sequence[Event]) -> None: ...

        def close(self) -> None: ...

    monkeypatch.setattr(fleet.streamer, "receiver", lambda *_: Deaf())
    with fleet.instance() as engine:
        reader = engine.worker.reader
        assert reader is not None
        lane = next(lane for lane in engine._the_core().lanes.values() if lane.slots)
        lane.more = True  # it was full a moment ago
        reader.step(SECOND)
        assert not lane.more
        reader.step(SECOND)
    assert waits[-2:] == [SHORT, LONG]
