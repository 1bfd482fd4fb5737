"""Hooks that fail, what a hook may not do, and its options."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Any

import pytest

from flowdsl.dsl.workflow import Workflow
from flowdsl.errors import OptionError, ReplayFailedError, StoreUnavailableError
from flowdsl.model.pending import RowKind
from flowdsl.model.run_state import RunState
from tests.behaviour.parcels import Parcel, ParcelRun, Stage, bare, collected, listened, rows, waiting
from tests.behaviour.world import HOUR, MINUTE, Doctored, World, sample

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


class Fewer(StrEnum):
    PACKED = "packed"
    COLLECTED = "collected"


def without_a_status(told: list[Any], status_type: Any = Fewer) -> Any:
    """Later code: nobody waits any more."""
    workflow = Workflow("parcels", object_type=Parcel, status_type=status_type)

    @workflow.step(from_=status_type.PACKED, to=status_type.COLLECTED)
    def pack(run: Any) -> None:
        pass

    @workflow.on_cancel
    def cancelled(run: Any) -> None:
        told.append((run.status, run.idempotency_key))

    @workflow.on_error
    def failed(run: Any) -> None:
        told.append((run.status, run.failure, run.idempotency_key))

    return workflow


def test_a_hook_that_its_own_code_tries_for_long_is_not_given_up_by_one_claim_of_older_code(world: World) -> None:
    known = collected()

    @known.on_cancel
    def cancelled(run: ParcelRun) -> None:
        raise RuntimeError("the mail server is away")

    with world.engine(known) as engine:
        handle = engine.trigger(known, "parcel-1", Parcel(), start_status=Stage.WAITING)
        handle.cancel("lost")
        engine.advance(12 * HOUR)
        (row,) = rows(handle, RowKind.HOOK)
        assert row.attempts > 10
    with world.engine(without_a_status([])) as engine:
        for _ in range(100):
            engine.advance(MINUTE)
            (row,) = rows(handle, RowKind.HOOK)
            if "is unknown to this code" in (row.last_error or ""):
                break
        assert "is unknown to this code" in (row.last_error or "")
        assert engine.dead_letters.list().letters == []


def test_older_code_that_comes_first_each_time_leaves_a_hook_to_newer_code_for_an_hour(world: World) -> None:
    known, told = collected(), list[Any]()

    @known.on_cancel
    def cancelled(run: ParcelRun) -> None:
        told.append(run.status)

    old = without_a_status([])
    hasty = Workflow(
        "parcels", object_type=Parcel, status_type=Fewer, defaults={"err_backoff": MINUTE, "pause_after_err_count": 2}
    )
    hasty.step(from_=Fewer.PACKED, to=Fewer.COLLECTED)(lambda run: None)
    hasty.on_cancel(name="cancelled")(lambda run: None)
    handle = world.outsider(known).trigger(known, "parcel-1", Parcel(), start_status=Stage.WAITING)
    handle.cancel("lost")
    for workflow in (hasty, old):
        with world.engine(workflow) as engine:
            engine.advance(29 * MINUTE)
            (row,) = rows(handle, RowKind.HOOK)
            assert row.attempts > 2
            assert engine.dead_letters.list().letters == []
    with world.engine(known) as engine:
        engine.advance(HOUR)
        assert told == [Stage.WAITING]
    with world.engine(hasty) as engine:
        assert engine.dead_letters.list().letters == []


def test_what_happened_in_a_status_that_is_gone_from_the_code_becomes_a_dead_letter(world: World) -> None:
    before = bare(Stage.COLLECTED)
    told: list[Any] = []

    @before.step(from_=Stage.PACKED, to=Stage.WAITING)
    def pack(run: ParcelRun) -> None:
        pass

    @before.step(from_=Stage.WAITING, to=Stage.RETURNED, err_backoff=HOUR)
    def look(run: ParcelRun) -> None:
        raise RuntimeError("no luck")

    @before.on_cancel
    def cancelled(run: ParcelRun) -> None:
        raise RuntimeError("not now")

    @before.on_error
    def failed(run: ParcelRun) -> None:
        raise RuntimeError("not now")

    with world.engine(before) as engine:
        handle = engine.trigger(before, "parcel-1", Parcel())
        engine.run_until_idle()
        handle.cancel("lost")
    young = without_a_status(told)
    with world.engine(young) as engine:
        engine.advance(2 * MINUTE)
        assert {row.attempts for row in rows(handle, RowKind.HOOK)} <= set(range(1, 10)), "a deployment may still be under way"
        assert any("'waiting' of workflow 'parcels' is unknown" in (row.last_error or "") for row in handle.pending())
        assert engine.dead_letters.list().letters == []
        sentences = [reason.sentence for reason in handle.explain().reasons]
        assert any("hook 'cancelled'" in text and "unknown to this code" in text for text in sentences), sentences

        engine.advance(3 * HOUR)
        assert handle.pending() == []
        letters = engine.dead_letters.list(origin="hook").letters
        assert {(letter.name, letter.type, letter.attempts >= 10, letter.happened_at is None) for letter in letters} == {
            ("cancelled", "cancel", True, False),
            ("failed", "error", True, False),
        }
        assert {letter.error for letter in letters} == {
            "status 'waiting' of workflow 'parcels' is unknown to this code. Deploy the version that knows it."
        }
        with pytest.raises(ReplayFailedError, match="unknown to this code"):
            engine.dead_letters.replay(letters[0].letter_id)
        for process in ("cancel-hook-cancelled-consumer", "error-hook-failed-consumer"):
            assert sample(engine, "workflow_dead_letters_count", workflow_name="parcels", process_name=process) == 1

    old = collected(Stage.RETURNED)

    @old.on_cancel(name="cancelled")
    @old.on_error(name="failed")
    def tell(run: ParcelRun) -> None:
        told.append((run.status, run.failure and run.failure.error, run.idempotency_key.count(":")))

    engine = world.outsider(old)
    for letter in letters:
        engine.dead_letters.replay(letter.letter_id)
    assert sorted(told, key=str) == [(Stage.WAITING, "RuntimeError: no luck", 4), (Stage.WAITING, None, 3)]
    assert engine.dead_letters.list().letters == []


def test_a_hook_that_is_never_to_be_given_up_waits_for_code_that_knows_the_status(world: World) -> None:
    before = collected()

    @before.on_cancel
    def cancelled(run: ParcelRun) -> None:
        raise RuntimeError("not now")

    handle = world.outsider(before).trigger(before, "parcel-1", Parcel(), start_status=Stage.WAITING)
    handle.cancel("lost")
    young = Workflow("parcels", object_type=Parcel, status_type=Fewer, defaults={"pause_after_err_count": 0})

    @young.step(from_=Fewer.PACKED, to=Fewer.COLLECTED)
    def pack(run: Any) -> None:
        pass

    young.on_cancel(name="cancelled")(lambda run: None)
    with world.engine(young) as engine:
        engine.advance(5 * HOUR)

        (row,) = rows(handle, RowKind.HOOK)
        assert row.attempts > 10


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
