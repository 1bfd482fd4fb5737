"""Hooks that fail, what a hook may not do, and its options."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from flowdsl.dsl.workflow import Workflow
from flowdsl.errors import OptionError, StoreUnavailableError
from flowdsl.model.pending import RowKind
from flowdsl.model.run_state import RunState
from tests.behaviour.parcels import Parcel, ParcelRun, Stage, collected, listened, rows, waiting
from tests.behaviour.world import HOUR, MINUTE, Doctored, World

S = RunState


# -- what it cannot -----------------------------------------------------------------------------------------------------------


def test_a_hook_whose_object_cannot_be_read_fails_like_any_other(world: World) -> None:
    def declare(object_type: Any) -> Any:
        workflow = Workflow("parcels", object_type=object_type, status_type=Stage, retired=[Stage.COLLECTED, Stage.RETURNED])

        @workflow.step(from_=Stage.PACKED, to=Stage.WAITING)
        def pack(run: Any) -> None:
            pass

        @workflow.on_cancel
        def tell(run: Any) -> None:
            raise AssertionError("it cannot be read")

        return workflow

    text = declare(str)
    handle = world.outsider(text).trigger(text, "parcel-1", "not a parcel")
    handle.cancel("lost")
    with world.engine(declare(Parcel)) as engine:
        engine.run_until_idle()

        (row,) = rows(handle, RowKind.HOOK)
        assert row.attempts == 1
        assert "PayloadError: a stored object is not a Parcel" in (row.last_error or "")


def test_a_hook_whose_run_cannot_be_looked_up_is_tried_again(world: World) -> None:
    workflow = collected()
    told = listened(workflow)
    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
    handle.pause("lunch")
    handle.resume()
    failures = iter(range(2))

    def history(run_id: str) -> Any:
        if next(failures, None) is not None:
            raise StoreUnavailableError("the database is away.")
        return world.store.history(run_id)

    store: Any = Doctored(world.store, history=history)
    with world.engine(workflow, store=store) as engine:
        engine.run_until_idle()
        assert told == []
        engine.advance(MINUTE)

        assert [entry[:3] for entry in told] == [("pause", "parcel-1", S.PAUSED)]


@pytest.mark.parametrize("verb", ["pause", "cancel", "skip", "save_and_repeat", "trigger", "in_transaction"])
def test_a_hook_that_tries_to_move_its_run_is_told_how_that_is_done(world: World, verb: str) -> None:
    workflow = collected()
    arguments: dict[str, tuple[Any, ...]] = {"trigger": (workflow, "x", Parcel()), "in_transaction": (print,)}

    @workflow.on_pause
    def tell(run: ParcelRun) -> None:
        getattr(run, verb)(*arguments.get(verb, () if verb in ("skip", "save_and_repeat") else ("why",)))

    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
        handle.pause("lunch")
        engine.run_until_idle()

        (row,) = rows(handle, RowKind.HOOK)
        assert f"called run.{verb}(), which does nothing there" in (row.last_error or "")
        assert handle.record().state is S.PAUSED


# -- processes and options ----------------------------------------------------------------------------------------------------


def test_hooks_have_a_process_name_of_their_own_and_take_the_options_of_their_workflow(memory_world: World) -> None:
    workflow = collected(defaults={"concurrency": 3, "parallel_count": 2, "consume_lag": HOUR, "lag_alert": MINUTE})

    @workflow.on_pause
    def one(run: ParcelRun) -> None:
        pass

    @workflow.on_pause(name="two", concurrency=7)
    def other(run: ParcelRun) -> None:
        pass

    with memory_world.engine(workflow) as engine:
        assert {"parcels/pause-hook-one-consumer", "parcels/pause-hook-two-consumer"} <= set(engine.states())
        lanes = {lane.name: lane for lane in engine.worker._core.side_lanes}
        first, second = lanes["pause-hook-one-consumer"].options, lanes["pause-hook-two-consumer"].options
        assert (first.concurrency, second.concurrency) == (3, 7)
        assert (first.consume_lag, first.lag_alert, first.parallel_count) == (timedelta(0), MINUTE, None)


def test_options_that_a_hook_has_not_are_refused() -> None:
    workflow = collected()
    wrong: Any = {"parallel_count": 2}
    with pytest.raises(OptionError, match="unknown option 'parallel_count'"):
        workflow.on_pause(**wrong)


def test_two_hooks_of_one_name_and_event_are_found_when_the_workflow_is_checked() -> None:
    workflow = collected()

    @workflow.on_pause
    @workflow.on_cancel
    def tell(run: ParcelRun) -> None:
        pass

    assert workflow.check() == []

    @workflow.on_pause(name="tell")
    def another(run: ParcelRun) -> None:
        pass

    assert [found.code for found in workflow.check()] == ["duplicate-hook"]
