"""What it costs to do nothing, little, or to be refused: how often the store and the roles are asked."""

from __future__ import annotations

from collections import Counter
from typing import Any

from flowdsl.errors import RoleSchedulerError
from flowdsl.model.pending import TopicQuota
from flowdsl.model.run_state import RunState
from flowdsl.options import DEFAULT_POLLING_FREQUENCY
from flowdsl.ports.record_store import RecordStore
from flowdsl.testing.stepped import SteppedEngine
from tests.behaviour.world import SECOND, Doctored, Job, World
from tests.unit.engine.script import Order, Script


class Counted:
    """A store that counts how often each of its methods was called."""

    def __init__(self, store: RecordStore) -> None:
        self._store = store
        self.calls: Counter[str] = Counter()
        self.quotas: list[list[TopicQuota]] = []

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        if not callable(method):
            return method

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            if name == "claim":
                self.quotas.append(list(args[2]))
            return method(*args, **kwargs)

        return counted


def settle(engine: SteppedEngine) -> None:
    """As run_until_idle, without telling the engine to look again."""
    while engine.step():
        pass


def test_a_run_of_two_steps_costs_a_transaction_for_each_version_and_no_look_at_the_store(memory_world: World) -> None:
    store: Any = Counted(memory_world.store)
    script = Script()
    with memory_world.engine(script.workflow, store=store) as engine:
        settle(engine)
        store.calls.clear()

        handle = engine.trigger(script.workflow, "o", Order(1))
        settle(engine)

        assert (store.calls["commit"], store.calls["claim"], store.calls["lookup"]) == (3, 0, 0)
        assert handle.record().state is RunState.COMPLETED


def test_finished_steps_are_committed_together(memory_world: World) -> None:
    store: Any = Counted(memory_world.store)
    script = Script()
    outsider = memory_world.outsider(script.workflow)
    handles = outsider.trigger_many(script.workflow, [(f"o-{number}", Order(1)) for number in range(10)])
    with memory_world.engine(script.workflow, store=store) as engine:
        settle(engine)

        assert {handle.record().state for handle in handles} == {RunState.COMPLETED}
        assert store.calls["commit"] <= 4, "ten runs of two steps"


def test_an_idle_instance_makes_one_claim_for_all_its_steps_at_each_poll(memory_world: World) -> None:
    store: Any = Counted(memory_world.store)
    script = Script()
    job = Job(memory_world.clock)
    with memory_world.engine(script.workflow, job.workflow, store=store) as engine:
        settle(engine)
        memory_world.clock.advance(DEFAULT_POLLING_FREQUENCY * 0.6)
        engine.worker.dispatcher.wake(["jobs/new"])  # out of step with the others from now on, unless it waits for them
        settle(engine)
        store.calls.clear()
        store.quotas.clear()

        for _ in range(200):
            memory_world.clock.advance(DEFAULT_POLLING_FREQUENCY * 0.1)
            settle(engine)

        assert store.calls["claim"] == 20
        assert {tuple(sorted(quota.topic for quota in asked)) for asked in store.quotas} == {
            ("jobs//deletion", "jobs/new", "orders//deletion", "orders/created", "orders/paid")
        }
        assert store.calls["commit"] == 1, "what it consumes is said once"


def test_a_role_scheduler_that_is_away_is_asked_once_a_second(memory_world: World) -> None:
    asked: list[Any] = []

    def campaign(*args: Any) -> Any:
        asked.append(memory_world.clock.now())
        raise RoleSchedulerError("the role scheduler is away.")

    job = Job(memory_world.clock, own={"parallel_count": 1})
    scheduler: Any = memory_world.roles
    roles: Any = Doctored(scheduler, campaign=campaign)
    with memory_world.engine(job.workflow, roles=roles) as engine:
        for _ in range(600):
            memory_world.clock.advance(SECOND / 10)
            settle(engine)

    assert 50 <= len(asked) <= 70, "in a minute of looking ten times a second"
