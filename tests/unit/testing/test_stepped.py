"""The engine without threads, as tests use it."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy.orm import Session

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.errors import ConfigurationError, EngineClosedError, FlowError, StoreError, WaitTimeoutError
from flowdsl.memory.record_store import MemoryRecordStore
from flowdsl.memory.role_scheduler import MemoryRoleScheduler
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.stepped import NotIdleError, SteppedEngine
from tests.behaviour.world import SECOND, Job, World, trigger


@pytest.fixture
def world() -> World:
    clock = ManualClock()
    store = MemoryRecordStore(clock)
    return World("memory", clock, store, MemoryRoleScheduler(clock), lambda: store)


def test_a_step_that_repeats_without_an_end_is_an_error_and_no_endless_test(world: World) -> None:
    job = Job(world.clock, lambda run: run.save_and_repeat())
    with world.engine(job.workflow) as engine:
        trigger(engine, job)

        with pytest.raises(NotIdleError, match="not idle after 50 rounds"):
            engine.run_until_idle(50)


def test_nothing_happens_before_the_test_says_so(world: World) -> None:
    job = Job(world.clock, own={"consume_lag": SECOND})
    with world.engine(job.workflow) as engine:
        trigger(engine, job)
        world.clock.advance(SECOND)
        assert job.begun == []

        engine.run_until_idle()

        assert len(job.begun) == 1


def test_the_worker_of_an_engine_that_was_not_started_is_an_error(world: World) -> None:
    with pytest.raises(FlowError, match="is not started"):
        _ = world.engine(Job(world.clock).workflow).worker


def test_to_advance_takes_a_duration(world: World) -> None:
    five: Any = 5
    with world.engine(Job(world.clock).workflow) as engine, pytest.raises(ConfigurationError, match=r"timedelta\(seconds=5\)\.$"):
        engine.advance(five)


def test_a_wait_that_ends_in_vain_says_that_nothing_happens_by_itself(world: World) -> None:
    job = Job(world.clock)
    with world.engine(job.workflow) as engine:
        (handle,) = trigger(engine, job)
        with pytest.raises(WaitTimeoutError, match=r"call engine\.run_until_idle\(\) first"):
            handle.wait(timeout=timedelta(0))


class Stage(StrEnum):
    NEW = "new"
    READY = "ready"
    LATE = "late"


def timed() -> Workflow[dict[str, int], Stage]:
    workflow = Workflow("timed", object_type=dict[str, int], status_type=Stage)

    @workflow.step(from_=Stage.NEW, to=Stage.READY)
    def prepare(run: Run[dict[str, int], Stage]) -> None: ...

    @workflow.timeout(from_=Stage.READY, to=Stage.LATE, after=timedelta(days=3))
    def nobody(run: Run[dict[str, int], Stage]) -> None: ...

    return workflow


def test_at_a_url_a_run_of_the_callers_session_lives_in_the_time_of_the_test(tmp_path: Path) -> None:
    url, workflow = f"sqlite:///{tmp_path / 'test.db'}", timed()
    users = sqlalchemy.create_engine(url)
    with SteppedEngine.from_url(workflow, store=url) as engine:
        with Session(users) as session, session.begin():
            handle = engine.trigger(workflow, "a", {}, session=session)
        engine.run_until_idle()
        assert handle.run().status is Stage.READY
        assert handle.record().created_at == engine.clock.now()

        engine.advance(timedelta(days=3, seconds=-1))
        assert handle.run().status is Stage.READY
        engine.advance(timedelta(seconds=1))
        assert handle.run().status is Stage.LATE
    users.dispose()

    with pytest.raises(EngineClosedError):
        engine.runs()


def test_a_client_at_a_url_works_on_nothing(tmp_path: Path) -> None:
    workflow = timed()
    with SteppedEngine.client(workflow, store=f"sqlite:///{tmp_path / 'test.db'}") as engine:
        engine.trigger(workflow, "a", {})
        with pytest.raises(FlowError, match="is not started"):
            engine.run_until_idle()


def test_engines_at_one_url_share_a_clock_and_a_streamer_serves_them(tmp_path: Path) -> None:
    url, workflow, clock = f"sqlite:///{tmp_path / 'test.db'}", timed(), ManualClock()
    with (
        SteppedEngine.from_url(workflow, store=url, streamer=url, clock=clock) as one,
        SteppedEngine.from_url(workflow, store=url, streamer=url, clock=clock, seed=1) as other,
    ):
        handle = one.trigger(workflow, "a", {})
        one.run_until_idle()
        other.advance(timedelta(days=3))
        assert handle.run().status is Stage.LATE


def test_a_store_with_a_time_of_its_own_is_refused_and_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = MemoryRecordStore()
    monkeypatch.setattr("flowdsl.testing.stepped.open_store", lambda url, clock: theirs)

    with pytest.raises(ConfigurationError, match=r"^the other store does not take its time from this engine's clock") as caught:
        SteppedEngine.from_url(timed(), store="other://user:secret@host")

    assert "secret" not in str(caught.value)
    with pytest.raises(StoreError, match="closed"):
        theirs.lookup(["a"])
