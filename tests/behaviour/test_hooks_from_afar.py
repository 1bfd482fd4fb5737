"""Hooks of runs that somebody else changes: a process without the workflow's code, older code, a store that is away."""

from __future__ import annotations

from typing import Any

import pytest

from flowdsl.dsl.workflow import Workflow
from flowdsl.errors import StoreUnavailableError
from flowdsl.model.item import ItemKind
from flowdsl.model.pending import RowKind
from flowdsl.model.run_state import RunState
from tests.behaviour.parcels import Parcel, ParcelRun, Parcels, Stage, collected, parcels, rows, waiting
from tests.behaviour.world import HOUR, MINUTE, SECOND, Doctored, World

S = RunState


def telling(told: list[str]) -> Parcels:
    workflow = collected()

    @workflow.on_pause
    def paused(run: ParcelRun) -> None:
        told.append(f"paused {run.foreign_id}: {run.record.reason}")

    @workflow.on_cancel(name="a/b, c")
    def cancelled(run: ParcelRun) -> None:
        told.append(f"cancelled {run.foreign_id}")

    return workflow


@pytest.mark.parametrize("working", [True, False])
def test_a_pause_by_a_process_without_the_code_is_told_to_the_hooks_of_the_code(world: World, working: bool) -> None:
    told: list[str] = []
    workflow = telling(told)
    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
        stranger = world.engine(store=world.open_store())
        if working:
            stranger.handle(handle.run_id).pause("from afar")
            engine.advance(MINUTE)
    if not working:
        stranger.handle(handle.run_id).pause("from afar")
    stranger.handle(handle.run_id).cancel("for good")

    with world.engine(workflow) as engine:
        engine.advance(MINUTE)
        assert told == ["paused parcel-1: from afar", "cancelled parcel-1"]
        assert handle.pending() == []


def test_an_operation_on_many_runs_by_a_process_without_the_code_is_told(world: World) -> None:
    told: list[str] = []
    workflow = telling(told)
    with world.engine(workflow) as engine:
        for number in range(3):
            waiting(engine, workflow, f"parcel-{number}")
        world.engine(store=world.open_store()).bulk.pause("workflow=parcels", reason="stop", rate=None)
        engine.advance(MINUTE)

        assert sorted(told) == [f"paused parcel-{number}: stop" for number in range(3)]


def test_a_workflow_whose_name_begins_like_another_s_is_not_told_of_its_runs(world: World) -> None:
    told: list[str] = []

    def flow(name: str) -> Any:
        workflow = Workflow(name, object_type=Parcel, status_type=Stage, retired=[Stage.COLLECTED, Stage.RETURNED])

        @workflow.step(from_=Stage.PACKED, to=Stage.WAITING, consume_lag=HOUR)
        def pack(run: ParcelRun) -> None:
            pass

        @workflow.on_pause
        def paused(run: ParcelRun) -> None:
            told.append(run.workflow)

        return workflow

    flows = [flow(name) for name in ("a", "a%2Fb", "a b", "A", "ab")]
    with world.engine(*flows) as engine:
        handles = [engine.trigger(workflow, "x", Parcel()) for workflow in flows]
        stranger = world.engine(store=world.open_store())
        stranger.handle(handles[0].run_id).pause("stop")
        stranger.handle(handles[1].run_id).pause("stop")
        engine.advance(MINUTE)

        assert sorted(told) == ["a", "a%2Fb"]


def test_a_control_that_cannot_know_the_hooks_stores_nothing(world: World) -> None:
    told: list[str] = []
    workflow = telling(told)
    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
        away = [True]

        def items(namespace: str, kind: str, after: str = "", limit: int = 100) -> Any:
            if away and kind == ItemKind.HOOK:
                raise StoreUnavailableError("the database is away.")
            return world.store.items(namespace, kind, after, limit)

        store: Any = Doctored(world.store, items=items)
        stranger = world.engine(store=store)
        with pytest.raises(StoreUnavailableError):
            stranger.handle(handle.run_id).pause("from afar")
        assert handle.record().state is S.RUNNING
        away.clear()
        stranger.handle(handle.run_id).pause("from afar")
        engine.advance(MINUTE)

        assert told == ["paused parcel-1: from afar"]


def test_a_process_without_the_code_learns_of_a_new_hook_within_half_a_minute(world: World) -> None:
    told: list[str] = []
    before = collected()
    with world.engine(before) as engine:
        first, second = waiting(engine, before, "parcel-1"), waiting(engine, before, "parcel-2")
    stranger = world.engine(store=world.open_store())
    stranger.handle(first.run_id).pause("before the hook")
    workflow = telling(told)
    with world.engine(workflow) as engine:
        engine.advance(31 * SECOND)
        stranger.handle(second.run_id).pause("after it")
        engine.advance(MINUTE)

        assert told == ["paused parcel-2: after it"]


def test_a_new_hook_is_told_of_nothing_that_happened_before_it_was_deployed(world: World) -> None:
    before = collected()
    with world.engine(before) as engine:
        for number in range(5):
            waiting(engine, before, f"parcel-{number}").cancel("lost")
        engine.run_until_idle()
    told: list[str] = []
    workflow = telling(told)
    with world.engine(workflow) as engine:
        engine.advance(HOUR)
        assert told == []
        waiting(engine, workflow, "parcel-5").cancel("lost")
        engine.run_until_idle()

        assert told == ["cancelled parcel-5"]


def test_the_resumption_of_a_run_whose_code_is_not_at_hand_is_told_by_whoever_has_it(world: World) -> None:
    """The auto-resumer looks after every run of its namespace."""
    told: list[str] = []
    workflow = parcels(Stage.RETURNED)
    fails = [True]

    @workflow.step(from_=Stage.WAITING, to=Stage.COLLECTED, pause_after_err_count=1)
    def collect(run: ParcelRun) -> None:
        if fails:
            raise RuntimeError("no luck")

    @workflow.on_complete
    def completed(run: ParcelRun) -> None:
        told.append(run.foreign_id)

    other = Workflow("other", object_type=Parcel, status_type=Stage, retired=[Stage.COLLECTED, Stage.RETURNED])

    @other.step(from_=Stage.PACKED, to=Stage.WAITING)
    def pack(run: ParcelRun) -> None:
        pass

    with world.engine(workflow) as engine:
        handle = engine.trigger(workflow, "parcel-1", Parcel())
        engine.run_until_idle()
        assert handle.record().state is S.PAUSED
    away = [True]

    def items(namespace: str, kind: str, after: str = "", limit: int = 100) -> Any:
        if away and kind == ItemKind.HOOK:
            away.clear()
            raise StoreUnavailableError("the database is away.")
        return world.store.items(namespace, kind, after, limit)

    store: Any = Doctored(world.store, items=items)
    with world.engine(other, store=store) as engine:
        engine.advance(HOUR + MINUTE)
        assert handle.record().state is S.RUNNING
    fails.clear()
    with world.engine(workflow) as engine:
        engine.advance(MINUTE)
        assert (handle.record().state, told) == (S.COMPLETED, ["parcel-1"])


def test_a_hook_that_is_gone_from_the_code_leaves_rows_that_harm_nobody(world: World) -> None:
    told: list[str] = []
    with world.engine(telling(told)) as engine:
        handle = waiting(engine, engine.workflows[0])
    stranger = world.engine(store=world.open_store())
    workflow = collected()
    with world.engine(workflow) as engine:
        stranger.handle(handle.run_id).pause("from afar")
        stranger.handle(handle.run_id).resume()
        engine.advance(HOUR)

        assert told == []
        assert len(rows(handle, RowKind.HOOK)) == 1
        assert handle.record().status == Stage.WAITING
