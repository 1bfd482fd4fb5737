"""Starting runs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from flowdsl.clock import Uuid7Source
from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.engine import Engine
from flowdsl.errors import BadDataError, ConfigurationError, DefinitionError, StoreUnavailableError, WorkflowInProgressError
from flowdsl.model.history import Cause
from flowdsl.model.run_state import RunState
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.stepped import SteppedEngine
from tests.behaviour.world import SECOND, TICK, Answer, Job, Status, Thing, World, failing, trigger


def test_a_run_may_be_triggered_before_anybody_works_on_it(world: World) -> None:
    job = Job(world.clock)
    outsider = world.outsider(job.workflow)

    (handle,) = trigger(outsider, job)

    assert handle.record().state is RunState.INITIATED
    with world.engine(job.workflow) as engine:
        engine.run_until_idle()
        assert handle.record().state is RunState.COMPLETED


def test_a_new_run_is_version_1_initiated_and_of_the_clocks_time(world: World) -> None:
    job = Job(world.clock)
    record = trigger(world.outsider(job.workflow), job)[0].record()

    assert (record.version, record.state, record.status) == (1, RunState.INITIATED, "new")
    assert record.created_at == record.updated_at == world.clock.now()


def test_run_ids_are_different_uuids_and_those_of_a_later_millisecond_sort_later() -> None:
    clock = ManualClock()
    ids = Uuid7Source(clock)
    earlier = [ids() for _ in range(1000)]
    clock.advance(TICK)
    later = [ids() for _ in range(1000)]

    assert {UUID(one).version for one in earlier + later} == {7}
    assert len({*earlier, *later}) == 2000
    assert max(earlier) < min(later)


def test_changes_to_the_callers_object_after_the_trigger_do_not_reach_the_run(world: World) -> None:
    job = Job(world.clock)
    thing = Thing("as triggered")
    handle = world.outsider(job.workflow).trigger(job.workflow, "thing", thing)

    thing.note = "changed later"

    assert handle.run().object == Thing("as triggered")


@pytest.mark.parametrize("ending", ["completed", "cancelled"])
def test_a_finished_run_frees_its_foreign_id(world: World, ending: str) -> None:
    job = Job(world.clock)
    with world.engine(job.workflow) as engine:
        (first,) = trigger(engine, job)
        if ending == "cancelled":
            first.cancel("not needed")
        engine.run_until_idle()
        world.clock.advance(SECOND)

        (second,) = trigger(engine, job)

        assert second.run_id != first.run_id
        assert engine.latest(job.workflow, "thing-0").run_id == second.run_id


@pytest.mark.parametrize("state", [RunState.INITIATED, RunState.RUNNING, RunState.PAUSED])
def test_an_unfinished_run_holds_its_foreign_id_and_is_named(world: World, state: RunState) -> None:
    job = Job(world.clock, lambda run: run.skip() if run.version > 1 else run.save_and_repeat())
    with world.engine(job.workflow) as engine:
        (first,) = trigger(engine, job)
        if state is not RunState.INITIATED:
            engine.run_until_idle()
        if state is RunState.PAUSED:
            first.pause("lunch")
        assert first.record().state is state

        with pytest.raises(WorkflowInProgressError) as refused:
            trigger(engine, job)

        assert refused.value.run_id == first.run_id


def test_the_history_says_who_triggered(world: World) -> None:
    job = Job(world.clock)
    engine = world.outsider(job.workflow)
    handle = engine.trigger(job.workflow, "thing", Thing(), actor="Ada")

    (row,) = handle.history()

    assert (row.cause, row.actor, row.from_status, row.to_status) == (Cause.TRIGGER, "Ada", None, "new")


def test_a_step_may_trigger_another_workflow(world: World) -> None:
    child = Job(world.clock)
    parent = Workflow("parents", object_type=Thing, status_type=Status)

    @parent.step(from_=Status.NEW, to=Status.DONE)
    def start_child(run: Run[Thing, Status]) -> Answer:
        engine.trigger(child.workflow, run.foreign_id, Thing("child"), parent_run_id=run.run_id)
        return Status.DONE

    engine = world.engine(parent, child.workflow)
    with engine:
        handle = engine.trigger(parent, "thing", Thing())
        engine.run_until_idle()

        born = engine.latest(child.workflow, "thing").record()
        assert born.state is RunState.COMPLETED
        assert born.parent_run_id == handle.run_id


def test_a_trigger_that_the_store_cannot_take_raises_and_leaves_nothing(
    memory_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(memory_world.clock)
    engine = memory_world.engine(job.workflow)

    def away(changes: object) -> object:
        raise StoreUnavailableError("the store is away.")

    with monkeypatch.context() as broken:
        broken.setattr(memory_world.store, "commit", away)
        with pytest.raises(StoreUnavailableError):
            trigger(engine, job)

    assert not engine.runs(job.workflow).runs
    assert trigger(engine, job)[0].created


@pytest.mark.parametrize("foreign_id", ["", None, 7])
def test_a_foreign_id_is_a_text_that_is_not_empty(memory_world: World, foreign_id: object) -> None:
    job = Job(memory_world.clock)

    with pytest.raises(BadDataError):
        memory_world.engine(job.workflow).trigger(job.workflow, foreign_id, Thing())  # type: ignore[arg-type]


def test_a_run_cannot_start_where_nothing_leads_on(memory_world: World) -> None:
    job = Job(memory_world.clock)

    with pytest.raises(DefinitionError, match="nothing leaves it"):
        memory_world.engine(job.workflow).trigger(job.workflow, "thing", Thing(), start_status=Status.DONE)


def test_a_failing_run_holds_up_no_trigger(world: World) -> None:
    job = Job(world.clock, failing, own={"err_backoff": timedelta(hours=1)})
    with world.engine(job.workflow) as engine:
        trigger(engine, job)
        engine.run_until_idle()

        handle = engine.trigger(job.workflow, "another", Thing())
        engine.run_until_idle()

        assert len(job.begun) == 2
        assert handle.record().state is RunState.INITIATED


def test_an_option_that_there_is_not_is_refused_and_the_near_one_named(world: World) -> None:
    job = Job(world.clock)
    with world.engine(job.workflow) as engine:
        with pytest.raises(ConfigurationError, match=r"no option 'idempotancy_key'\. Did you mean 'idempotency_key'\?"):
            engine.trigger(job.workflow, "o", Thing(), idempotancy_key="k")  # type: ignore[call-arg]
        with pytest.raises(ConfigurationError, match="tags= is one text"):
            engine.trigger(job.workflow, "o", Thing(), tags="urgent")


@pytest.mark.parametrize("name", ["drain", "beat", "lapse", "lease"])
def test_a_setting_that_is_no_duration_is_refused_at_once(name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{name}=5 is not a duration\. Write {name}=timedelta\(seconds=5\)"):
        Engine.from_url(store="memory://", **{name: 5})  # type: ignore[arg-type]


def test_a_name_in_place_of_a_workflow_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'orders' is no Workflow"):
        Engine.from_url("orders", store="memory://")  # type: ignore[arg-type]
    job = Job(ManualClock())
    with pytest.raises(ConfigurationError, match="Pass several one after the other"):
        Engine.from_url([job.workflow], store="memory://")  # type: ignore[arg-type]
    engine = SteppedEngine(job.workflow)
    with pytest.raises(ConfigurationError, match=r"'jobs' is no Workflow\. Pass the Workflow itself"):
        engine.trigger("jobs", "o", Thing())  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"'jobs' is no Workflow\. Pass the Workflow itself"):
        engine.callback("jobs", "o", Status.NEW)  # type: ignore[arg-type]


def test_an_idempotency_key_is_a_text(memory_world: World) -> None:
    job = Job(memory_world.clock)
    engine = memory_world.engine(job.workflow)
    key: Any = 4
    with pytest.raises(BadDataError, match=r"idempotency_key 4 is not a text\. Pass it as str\."):
        engine.trigger(job.workflow, "o", Thing(), idempotency_key=key)
    with pytest.raises(BadDataError, match=r"idempotency_key 4 is not a text\."):
        engine.callback(job.workflow, "o", Status.NEW, idempotency_key=key)
