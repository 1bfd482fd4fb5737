"""Callbacks: what moves a run from outside, now."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import pytest

from flowdsl.errors import (
    ConfigurationError,
    DefinitionError,
    PayloadError,
)
from flowdsl.model.callback_result import CallbackOutcome
from flowdsl.model.history import Cause
from flowdsl.model.run_state import RunState
from tests.behaviour.parcels import Parcel, ParcelRun, PickUp, Stage, bare, collected, parcels, waiting
from tests.behaviour.world import World

C, S = CallbackOutcome, RunState


def test_a_callback_is_given_foreign_id_status_and_payload_and_answers_once_what_follows_is_stored(world: World) -> None:
    workflow = parcels(Stage.RETURNED)
    threads: list[int] = []

    @workflow.callback(from_=Stage.WAITING, to=Stage.COLLECTED)
    def pick_up(run: ParcelRun, payload: PickUp) -> None:
        threads.append(threading.get_ident())
        run.object.driver = payload.driver

    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)

        result = engine.callback(workflow, "parcel-1", Stage.WAITING, b'{"driver": "Ada"}', actor="courier")

        assert (result.outcome, result.run_id, result.accepted) == (C.APPLIED, handle.run_id, True)
        run = handle.run()
        assert (run.status, run.state, run.object.driver) == (Stage.COLLECTED, S.COMPLETED, "Ada")
        assert threads == [threading.get_ident()], "a `def` runs in the caller's thread"
        row = handle.history()[-1]
        assert (row.cause, row.actor, row.from_status, row.to_status) == (Cause.CALLBACK, "courier", "waiting", "collected")
        assert row.name.endswith("pick_up")


def test_what_a_callback_brings_about_is_worked_on(world: World) -> None:
    workflow = bare(Stage.RETURNED)

    @workflow.callback(from_=Stage.PACKED, to=Stage.WAITING)
    def arrived(run: ParcelRun) -> None:
        run.object.notes.append("callback")

    @workflow.step(from_=Stage.WAITING, to=Stage.COLLECTED)
    def collect(run: ParcelRun) -> None:
        run.object.notes.append("step")

    with world.engine(workflow) as engine:
        handle = engine.trigger(workflow, "parcel-1", Parcel())
        engine.run_until_idle()
        assert engine.callback(workflow, "parcel-1", Stage.PACKED).outcome is C.APPLIED
        engine.run_until_idle()

        assert handle.run().object.notes == ["callback", "step"]
        assert handle.record().state is S.COMPLETED


def test_a_callback_acts_on_the_latest_run_of_its_foreign_id(world: World) -> None:
    workflow = collected()
    with world.engine(workflow) as engine:
        first = waiting(engine, workflow)
        first.cancel("lost")
        second = waiting(engine, workflow)

        result = engine.callback(workflow, "parcel-1", Stage.WAITING, PickUp("Ada"))

        assert (result.outcome, result.run_id) == (C.APPLIED, second.run_id)
        assert first.record().state is S.CANCELLED


def test_a_callback_for_one_run_is_not_applied_to_a_later_one(world: World) -> None:
    workflow = collected()
    with world.engine(workflow) as engine:
        first = waiting(engine, workflow)
        first.cancel("lost")
        second = waiting(engine, workflow)

        late = first.callback(Stage.WAITING, PickUp("Eve"))
        timely = second.callback(Stage.WAITING, PickUp("Ada"), actor="courier")

        assert (late.outcome, late.run_id) == (C.STOPPED, first.run_id)
        assert (timely.outcome, second.run().object.driver, second.history()[-1].actor) == (C.APPLIED, "Ada", "courier")


def test_a_foreign_id_without_a_run_is_said(world: World) -> None:
    workflow = collected()

    result = world.outsider(workflow).callback(workflow, "nobody", Stage.WAITING, PickUp("Ada"))

    assert (result.outcome, result.run_id, result.accepted) == (C.UNKNOWN_RUN, None, False)
    assert "nobody" in result.detail


def test_a_status_that_lies_behind_the_run_is_said(world: World) -> None:
    workflow = bare()

    @workflow.callback(from_=Stage.PACKED, to=Stage.WAITING)
    def arrived(run: ParcelRun) -> None:
        pass

    @workflow.callback(from_=Stage.WAITING, to=[Stage.COLLECTED, Stage.RETURNED])
    def pick_up(run: ParcelRun) -> Stage:
        return Stage.COLLECTED

    engine = world.outsider(workflow)
    handle = engine.trigger(workflow, "parcel-1", Parcel(), start_status=Stage.WAITING)

    result = engine.callback(workflow, "parcel-1", Stage.PACKED)

    assert (result.outcome, result.accepted) == (C.NOT_IN_STATUS, False)
    assert "'waiting'" in result.detail
    assert handle.record().version == 1


def test_an_early_callback_is_refused_where_the_declaration_says_so(world: World) -> None:
    workflow = parcels(Stage.RETURNED)

    @workflow.callback(from_=Stage.WAITING, to=Stage.COLLECTED, on_early="refuse")
    def pick_up(run: ParcelRun) -> None:
        pass

    with world.engine(workflow) as engine:
        handle = engine.trigger(workflow, "parcel-1", Parcel())
        early = engine.callback(workflow, "parcel-1", Stage.WAITING)
        engine.run_until_idle()
        handle.pause("lunch")
        paused = engine.callback(workflow, "parcel-1", Stage.WAITING)

        assert (early.outcome, early.accepted) == (C.NOT_IN_STATUS, False)
        assert (paused.outcome, paused.accepted) == (C.STOPPED, False)
        assert "paused" in paused.detail
        handle.resume()
        engine.run_until_idle()
        assert handle.record().status == Stage.WAITING, "nothing was kept"


@pytest.mark.parametrize("verb", ["cancel", "complete", "delete"])
def test_a_run_that_has_ended_is_said(world: World, verb: str) -> None:
    workflow = collected()
    with world.engine(workflow) as engine:
        handle = waiting(engine, workflow)
        if verb == "complete":
            engine.callback(workflow, "parcel-1", Stage.WAITING, PickUp("Ada"))
        else:
            handle.cancel("lost")
        if verb == "delete":
            handle.delete_data("asked to")
            engine.run_until_idle()
        before = handle.record()

        result = engine.callback(workflow, "parcel-1", Stage.WAITING, PickUp("Eve"))

        assert (result.outcome, result.accepted) == (C.STOPPED, False)
        assert before.state.label.lower() in result.detail
        assert handle.record() == before


def test_a_status_without_a_callback_is_an_error_of_the_caller(memory_world: World) -> None:
    workflow = collected()
    engine = memory_world.outsider(workflow)
    handle = engine.trigger(workflow, "parcel-1", Parcel())

    with pytest.raises(DefinitionError, match=r"'packed' of 'parcels' has no callback.*@workflow.callback"):
        engine.callback(workflow, "parcel-1", Stage.PACKED)

    assert handle.record().version == 1


def test_a_workflow_that_the_engine_has_not_is_an_error_of_the_caller(memory_world: World) -> None:
    workflow = collected()

    with pytest.raises(ConfigurationError, match="not one of this engine's"):
        memory_world.outsider().callback(workflow, "parcel-1", Stage.WAITING)


def test_an_option_that_there_is_not_is_an_error_of_the_caller(memory_world: World) -> None:
    workflow = collected()
    wrong: Any = {"idempotency": "k"}

    with pytest.raises(ConfigurationError, match="Did you mean 'idempotency_key'"):
        memory_world.outsider(workflow).callback(workflow, "parcel-1", Stage.WAITING, **wrong)


# -- payloads -----------------------------------------------------------------------------------------------------------------


class Signature(msgspec.Struct):
    name: str
    at: float = 0.0


@pytest.mark.parametrize(
    ("kind", "sent", "given"),
    [
        (PickUp, b'{"driver": "Ada"}', PickUp("Ada")),
        (PickUp, PickUp("Ada"), PickUp("Ada")),
        (PickUp, {"driver": "Ada"}, PickUp("Ada")),
        (Signature, b'{"name": "Ada", "at": 2}', Signature("Ada", 2.0)),
        (dict[str, int], b'{"a": 1}', {"a": 1}),
        (list[int], [1, 2], [1, 2]),
        (str, b'"text"', "text"),
        (str, "text", "text"),
        (int, 7, 7),
        (bytes, b"\x00 as it came", b"\x00 as it came"),
        (bytes, b"", b""),
        (PickUp | None, b"", None),
        (PickUp | None, None, None),
        (PickUp | None, b'{"driver": "Ada"}', PickUp("Ada")),
    ],
)
def test_a_payload_is_what_the_function_asks_for(memory_world: World, kind: Any, sent: object, given: object) -> None:
    workflow = bare(Stage.COLLECTED, Stage.RETURNED)
    got: list[object] = []

    @workflow.callback(from_=Stage.PACKED, to=Stage.WAITING, payload_type=kind)
    def arrived(run: ParcelRun, payload: Any) -> None:
        got.append(payload)

    engine = memory_world.outsider(workflow)
    engine.trigger(workflow, "parcel-1", Parcel())

    assert engine.callback(workflow, "parcel-1", Stage.PACKED, sent).outcome is C.APPLIED
    assert got == [given]
    assert type(got[0]) is type(given)


def test_a_callback_may_come_without_a_payload(world: World) -> None:
    workflow = bare(Stage.RETURNED)
    got: list[object] = []

    @workflow.callback(from_=Stage.PACKED, to=Stage.WAITING)
    def arrived(run: ParcelRun, payload: bytes) -> None:
        got.append(payload)

    @workflow.callback(from_=Stage.WAITING, to=Stage.COLLECTED)
    def pick_up(run: ParcelRun) -> None:
        got.append("nothing is asked for")

    engine = world.outsider(workflow)
    engine.trigger(workflow, "parcel-1", Parcel())

    assert engine.callback(workflow, "parcel-1", Stage.PACKED).outcome is C.APPLIED
    assert engine.callback(workflow, "parcel-1", Stage.WAITING).outcome is C.APPLIED
    assert got == [b"", "nothing is asked for"]


@pytest.mark.parametrize("sent", [b'{"drver": "Ada"}', b"", b"not JSON", b'{"driver": 7}', b"null", b"\xff", ["Ada"]])
def test_a_payload_that_does_not_fit_is_refused_without_its_content_and_the_function_not_called(
    world: World, sent: object
) -> None:
    workflow = bare(Stage.COLLECTED, Stage.RETURNED)

    @workflow.callback(from_=Stage.PACKED, to=Stage.WAITING)
    def arrived(run: ParcelRun, payload: PickUp) -> None:
        raise AssertionError("called with a payload that does not fit")

    engine = world.outsider(workflow)
    handle = engine.trigger(workflow, "parcel-1", Parcel())

    result = engine.callback(workflow, "parcel-1", Stage.PACKED, sent, idempotency_key="k")

    assert (result.outcome, result.run_id, result.accepted) == (C.REFUSED_PAYLOAD, handle.run_id, False)
    assert "PickUp" in result.detail
    assert handle.record().version == 1
    again = engine.callback(workflow, "parcel-1", Stage.PACKED, sent, idempotency_key="k")
    assert again.outcome is C.REFUSED_PAYLOAD, "a key is not used up by what was refused"


def test_a_payload_that_is_too_large_or_has_no_form_in_json_is_an_error_of_the_caller(memory_world: World) -> None:
    workflow = collected()
    engine = memory_world.outsider(workflow)
    engine.trigger(workflow, "parcel-1", Parcel())

    with pytest.raises(PayloadError, match="the limit is"):
        engine.callback(workflow, "parcel-1", Stage.WAITING, b"x" * (1024 * 1024 + 1))
    with pytest.raises(PayloadError, match="no form in JSON"):
        engine.callback(workflow, "parcel-1", Stage.WAITING, object())
