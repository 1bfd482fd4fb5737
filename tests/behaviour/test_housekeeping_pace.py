"""What looks for runs to mend goes no faster than its changes are committed: those of everybody else wait in the same queue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine import migration_pass, sweeper
from flowdsl.model.run_state import RunState
from flowdsl.testing.stepped import SteppedEngine
from tests.behaviour.test_migrations import new_code, started
from tests.behaviour.world import World
from tests.unit.engine.script import Order, Script, Status


def most_queued(engine: SteppedEngine, step: Callable[[], object]) -> int:
    """Changes that wait at most, when somebody steps as in production, where another thread commits."""
    core = engine._the_core()
    soon, core.commit_soon = core.commit_soon, lambda: None
    most = 0
    for _ in range(10):
        step()
        most = max(most, len(core.committer._queue))
    core.commit_soon = soon
    return most


def test_a_migration_of_many_runs(memory_world: World) -> None:
    handles = started(memory_world, [], count=3 * migration_pass.BATCH)
    with memory_world.engine(new_code([])) as engine:
        assert most_queued(engine, engine.worker.migrator.step) == migration_pass.BATCH
        engine.run_until_idle()
        assert {handle.record().state for handle in handles} == {RunState.COMPLETED}


def test_a_step_that_a_deployment_has_added_for_many_runs(memory_world: World) -> None:
    older: Workflow[Order, Status] = Workflow("orders", object_type=Order, status_type=Status)

    @older.step(from_=Status.CREATED, to=Status.PAID)
    def charge(run: Run[Order, Status]) -> None: ...

    @older.callback(from_=Status.PAID, to=Status.SHIPPED)
    def ship(run: Run[Order, Status], payload: Any) -> None: ...

    with memory_world.engine(older) as engine:
        engine.trigger_many(older, [(f"o-{number}", Order(1)) for number in range(3 * sweeper.BATCH)])
        engine.run_until_idle()
    newer = Script().workflow
    with memory_world.engine(newer) as engine:
        assert most_queued(engine, engine.worker.sweeper.step) == sweeper.BATCH
        engine.run_until_idle()
        assert not engine.runs(newer, statuses=[Status.PAID]).runs
