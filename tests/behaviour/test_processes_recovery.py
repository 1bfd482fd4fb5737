"""What a process does when something beside a step goes wrong: its loops, its heartbeat, its roles."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest

from flowdsl.engine.engine import Engine
from flowdsl.engine.metrics import ProcessState
from flowdsl.errors import RoleSchedulerError, StoreUnavailableError
from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.memory.role_scheduler import MemoryRoleScheduler
from flowdsl.model.run_state import RunState
from tests.behaviour.test_processes import LONG, engine_of, succeed, workflow_of
from tests.behaviour.world import MINUTE, SECOND, Doctored, Job, Status, Thing, World, claimed, trigger


def test_a_loop_that_fails_is_logged_and_begins_again(caplog: pytest.LogCaptureFixture) -> None:
    store, workflow = MemoryRecordStore(), workflow_of(succeed)
    broken = [True]

    def claim(*args: Any) -> Any:
        if broken and broken.pop():
            raise ZeroDivisionError("a mistake in an adapter")
        return store.claim(*args)

    with engine_of(workflow, Doctored(store, claim=claim), handoff=False) as engine:
        assert engine.trigger(workflow, "o", Thing()).wait(timeout=LONG).status is Status.DONE
    assert "the dispatch loop failed and starts again" in caplog.text


def test_a_store_that_is_away_for_claims_stops_nothing_for_good(world: World) -> None:
    job = Job(world.clock)
    away = [True, True, True]

    def claim(*args: Any) -> Any:
        if away and away.pop():
            raise StoreUnavailableError("the database is away.")
        return world.store.claim(*args)

    handles = trigger(world.outsider(job.workflow), job, count=3)
    with world.engine(job.workflow, store=Doctored(world.store, claim=claim)) as engine:
        engine.advance(10 * SECOND)
        assert [handle.record().state for handle in handles] == [RunState.COMPLETED] * 3


def test_an_instance_whose_heartbeat_lapsed_goes_on_under_another_name_and_drops_what_had_not_begun(world: World) -> None:
    job = Job(world.clock)
    (handle,) = trigger(world.outsider(job.workflow), job)
    with world.engine(job.workflow) as engine:
        engine.worker.dispatcher.step()
        (before,) = [row.owner for row in handle.pending()]
        assert before is not None
        world.clock.advance(MINUTE)  # a stopped machine, say
        with world.engine(job.workflow) as other:
            other.worker.membership.step()
            assert claimed([handle]) == 0, "the others take it over"
            engine.worker.membership.step()
            assert engine.worker.executor.withdraw() == []
            engine.run_until_idle()
            other.run_until_idle()
        assert handle.record().state is RunState.COMPLETED
        engine.trigger(job.workflow, "next", Thing())
        engine.run_until_idle()
    assert len(job.begun) == 2, "each run once"


def test_a_role_scheduler_that_is_away_costs_the_roles_and_they_come_back(world: World) -> None:
    job = Job(world.clock, own={"parallel_count": 1})
    away: list[bool] = []

    def campaign(*args: Any) -> Any:
        if away:
            raise RoleSchedulerError("the role scheduler is away.")
        return world.roles.campaign(*args)

    def state() -> ProcessState:
        return engine.states()["jobs/new-consumer-1-of-1"]

    with world.engine(job.workflow, roles=Doctored(world.roles, campaign=campaign)) as engine:  # type: ignore[arg-type]
        assert state() is ProcessState.RUNNING
        away.append(True)
        for _ in range(3):  # until two thirds of the lease of 15 seconds have passed
            assert state() is ProcessState.RUNNING
            world.clock.advance(4 * SECOND)
            engine.worker.roles.step()
        assert state() is ProcessState.IDLE
        away.clear()
        engine.advance(5 * SECOND)
        assert state() is ProcessState.RUNNING


def test_bodies_of_one_instance_overlap_up_to_its_concurrency_and_no_further() -> None:
    together = threading.Barrier(3)
    lock = threading.Lock()
    running: list[int] = [0, 0]

    def work(run: Any) -> Status:
        with lock:
            running[0] += 1
            running[1] = max(running)
        together.wait(30)  # three at once, or never
        with lock:
            running[0] -= 1
        return Status.DONE

    workflow = workflow_of(work, concurrency=3)
    with engine_of(workflow) as engine:
        handles = engine.trigger_many(workflow, [(str(number), Thing()) for number in range(12)])
        for handle in handles:
            handle.wait(timeout=LONG)
    assert running == [0, 3]


def test_a_slow_step_does_not_hold_back_another_workflow_step() -> None:
    opened = threading.Event()

    def slow(run: Any) -> Status:
        assert opened.wait(30)
        return Status.DONE

    slow_workflow = workflow_of(slow, concurrency=1)
    quick = workflow_of(succeed)
    quick.name = "quick"
    store = MemoryRecordStore()
    with Engine(slow_workflow, quick, store=store, roles=MemoryRoleScheduler(), drain=timedelta(seconds=30)) as engine:
        blocked = [engine.trigger(slow_workflow, str(number), Thing()) for number in range(3)]
        assert engine.trigger(quick, "o", Thing()).wait(timeout=LONG).status is Status.DONE
        assert all(not handle.record().state.finished for handle in blocked)
        opened.set()
        for handle in blocked:
            handle.wait(timeout=LONG)


def test_an_instance_that_waits_for_its_role_stops_at_once() -> None:
    store, roles = MemoryRecordStore(), MemoryRoleScheduler()
    kept = Doctored(store, close=lambda: None)
    workflow = workflow_of(succeed, parallel_count=1)
    with engine_of(workflow, kept, roles=roles) as holder:
        standby = engine_of(workflow, kept, roles=roles)
        standby.start()
        assert standby.states()["jobs/new-consumer-1-of-1"] is ProcessState.IDLE

        assert standby.stop(timedelta(0))

        assert holder.trigger(workflow, "o", Thing()).wait(timeout=LONG).status is Status.DONE
