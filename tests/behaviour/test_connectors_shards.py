"""However many consumers a connector has, and whichever of them come and go: no event is lost, none starts anything twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from flowdsl.dsl.incoming import Incoming
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.connector_engine import ConnectorEngine
from flowdsl.memory.connector_source import MemoryConnectorSource
from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.memory.role_scheduler import MemoryRoleScheduler
from flowdsl.model.event import ConnectorEvent
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.stepped import SteppedEngine
from tests.behaviour.world import SECOND, Status, Thing, World

Act = tuple[str, int]
KEYS = 4


class Fleet:
    """Engines on one store that start, stop and die, each with its own idea of how many consumers there are."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        store = MemoryRecordStore(self.clock)
        self.world = World("memory", self.clock, store, MemoryRoleScheduler(self.clock), lambda: store)
        self.source = MemoryConnectorSource()
        self.engines: list[SteppedEngine] = []
        self.sent = 0
        self.handled: list[str] = []
        self.by_key: dict[str, list[str]] = {}

    def workflow(self, consumers: int) -> Workflow[Thing, Status]:
        workflow = Workflow("jobs", object_type=Thing, status_type=Status)

        @workflow.step(from_=Status.NEW, to=Status.DONE)
        def work(run: Any) -> Status:
            return Status.DONE

        @workflow.connector("courier", source=self.source, parallel_count=consumers, concurrency=3)
        def on_event(engine: ConnectorEngine, event: Incoming[bytes]) -> None:
            self.handled.append(event.event_id)
            self.by_key.setdefault(event.foreign_id, []).append(event.event_id)
            engine.trigger(workflow, event.event_id, Thing())

        return workflow

    def act(self, verb: str, number: int) -> None:
        engine = self.engines[number % len(self.engines)] if self.engines else None
        if verb == "send":
            for _ in range(number // 3 + 1):
                now = self.clock.now()
                event = ConnectorEvent(event_id=f"e-{self.sent:04}", foreign_id=f"k-{self.sent % KEYS}", created_at=now)
                self.source.add(event)
                self.sent += 1
        elif verb == "start":
            started = self.world.engine(self.workflow(number % 5 + 1))
            started._start(None)
            self.engines.append(started)
        elif verb == "wait":
            self.clock.advance(timedelta(seconds=number * 7))
        elif engine is not None and verb == "step":
            for _ in range(number % 4 + 1):
                engine.step()
        elif engine is not None and verb in ("stop", "crash"):
            self.engines.remove(engine)
            if verb == "crash":
                engine.crash()
            else:
                engine._stop(None)

    def live(self, acts: Sequence[Act], consumers: int = 2) -> list[str]:
        """Do all that, let what is left finish, and say which runs there are."""
        for act in acts:
            self.act(*act)
        for engine in self.engines:
            engine._stop(None)
        self.clock.advance(100 * SECOND)  # whatever the dead held is free
        with self.world.engine(self.workflow(consumers)) as last:
            last.run_until_idle()
            last.advance(100 * SECOND)
            runs: list[str] = []
            after = None
            while True:
                page = last.runs("jobs", limit=500, after=after)
                runs += [run.foreign_id for run in page.runs]
                after = page.next
                if after is None:
                    return runs


PEACEFUL = ["send", "start", "step", "step", "step", "stop", "wait"]


def acts(verbs: Sequence[str]) -> st.SearchStrategy[list[Act]]:
    return st.lists(st.tuples(st.sampled_from(verbs), st.integers(0, 30)), max_size=25)


@settings(max_examples=50)
@given(acts([*PEACEFUL, "crash"]))
@example([("start", 1), ("send", 20), ("step", 0), ("crash", 0), ("start", 2), ("step", 3)])
@example([("start", 1), ("start", 2), ("send", 30), ("step", 0), ("step", 1), ("stop", 0), ("send", 5), ("step", 3)])
def test_every_event_starts_one_run_whatever_comes_and_goes(plan: list[Act]) -> None:
    fleet = Fleet()

    runs = fleet.live(plan)

    assert Counter(runs) == {f"e-{number:04}": 1 for number in range(fleet.sent)}


@settings(max_examples=50)
@given(acts(PEACEFUL))
def test_no_event_is_handled_twice_while_nobody_dies(plan: list[Act]) -> None:
    fleet = Fleet()

    fleet.live(plan)

    assert Counter(fleet.handled) == {f"e-{number:04}": 1 for number in range(fleet.sent)}


@settings(max_examples=50)
@given(acts(["send", "step", "step", "step", "stop", "one", "crash", "wait"]))
def test_one_consumer_keeps_the_order_of_each_thing(plan: list[Act]) -> None:
    fleet = Fleet()

    fleet.live([("start", 0) if verb == "one" else (verb, number) for verb, number in plan], consumers=1)

    for ids in fleet.by_key.values():
        assert list(dict.fromkeys(ids)) == sorted(set(ids)), "first tries come in the order of the stream"
