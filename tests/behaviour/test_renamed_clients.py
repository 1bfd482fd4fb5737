"""What clients see while a status gets another name: docs/upgrading.md says it, these hold it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Literal

import pytest

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.handle import RunHandle
from flowdsl.errors import UnknownStatusError, WaitTimeoutError
from flowdsl.model.callback_result import CallbackOutcome
from flowdsl.model.run_state import RunState
from flowdsl.testing.stepped import SteppedEngine
from tests.behaviour.world import World

NOW = timedelta(0)


class Before(StrEnum):
    NEW = "new"
    SHELVED = "shelved"
    RETURNED = "returned"


class After(StrEnum):
    NEW = "new"
    STORED = "stored"
    RETURNED = "returned"


class Both(StrEnum):
    NEW = "new"
    SHELVED = "shelved"
    STORED = "stored"
    RETURNED = "returned"


@dataclass
class Parcel:
    driver: str = ""


def nothing(run: Run[Parcel, Any]) -> None: ...


def fetched(run: Run[Parcel, Any], payload: bytes) -> None:
    run.object.driver = payload.decode()


def declared(
    statuses: Any, place: Any, *, on_early: Literal["keep", "refuse"] = "keep", **settings: Any
) -> Workflow[Parcel, Any]:
    flow: Workflow[Parcel, Any] = Workflow("post", object_type=Parcel, status_type=statuses, **settings)
    flow.step(from_=statuses.NEW, to=place)(nothing)
    flow.callback(from_=place, to=statuses.RETURNED, name="fetched", on_early=on_early)(fetched)
    return flow


def old_code() -> Workflow[Parcel, Any]:
    return declared(Before, Before.SHELVED)


def new_code(**settings: Any) -> Workflow[Parcel, Any]:
    flow = declared(After, After.STORED, **settings)
    flow.migrate(from_="shelved", to=After.STORED)
    return flow


def both_names() -> Workflow[Parcel, Any]:
    """The new code, which keeps the old name until no old process is left."""
    flow = declared(Both, Both.STORED, retired=[Both.SHELVED])
    flow.migrate(from_=Both.SHELVED, to=Both.STORED)
    return flow


def worked(world: World, flow: Workflow[Parcel, Any]) -> None:
    """Workers of this code do what there is to do."""
    with world.engine(flow) as engine:
        engine.run_until_idle()


def triggered(world: World) -> RunHandle[Any, Any]:
    """A run in the old status."""
    old = old_code()
    handle = world.outsider(old).trigger(old, "p", Parcel())
    worked(world, old)
    assert handle.record().status == "shelved"
    return handle


def seen(engine: SteppedEngine, flow: Workflow[Parcel, Any]) -> RunHandle[Any, Any]:
    return engine.latest(flow, "p")


# -- new clients beside old workers ---------------------------------------------------------------------------------------------


def test_a_callback_under_the_new_name_is_kept_until_the_run_is_migrated_and_then_applied(world: World) -> None:
    triggered(world)
    flow = new_code()
    client = world.outsider(flow)
    result = client.callback(flow, "p", After.STORED, b"Ada")
    assert (result.outcome, result.accepted) == (CallbackOutcome.KEPT, True)
    worked(world, old_code())
    assert seen(client, flow).record().status == "shelved"
    worked(world, flow)

    run = seen(client, flow).run()
    assert (run.status, run.object.driver) == (After.RETURNED, "Ada")


def test_one_that_is_not_to_be_kept_is_refused(world: World) -> None:
    triggered(world)
    flow = new_code(on_early="refuse")
    result = world.outsider(flow).callback(flow, "p", After.STORED, b"Ada")

    assert (result.outcome, result.accepted) == (CallbackOutcome.NOT_IN_STATUS, False)


def test_a_new_client_waits_for_the_new_name(world: World) -> None:
    triggered(world)
    flow = new_code()
    handle = seen(world.outsider(flow), flow)
    with pytest.raises(WaitTimeoutError):
        handle.wait(After.STORED, timeout=NOW)
    with pytest.raises(WaitTimeoutError):
        handle.wait(timeout=NOW)
    worked(world, flow)

    assert handle.wait(After.STORED, timeout=NOW).status == After.STORED


# -- old clients beside new workers -------------------------------------------------------------------------------------------


def migrated(world: World) -> RunHandle[Any, Any]:
    """The run in the new status, as an old client has it."""
    triggered(world)
    worked(world, new_code())
    old = old_code()
    handle = seen(world.outsider(old), old)
    assert handle.record().status == "stored"
    return handle


def test_a_callback_under_the_old_name_is_refused_and_its_key_stays_free(world: World) -> None:
    handle = migrated(world)
    result = handle.callback(Before.SHELVED, b"Ada", idempotency_key="event-7")
    assert (result.outcome, result.accepted) == (CallbackOutcome.NOT_IN_STATUS, False)
    flow = new_code()
    again = world.outsider(flow).callback(flow, "p", After.STORED, b"Ada", idempotency_key="event-7")

    assert again.outcome is CallbackOutcome.APPLIED
    assert handle.run().status == Before.RETURNED, "where it ends is a status of both"


def test_an_old_client_does_not_see_the_new_name_come(world: World) -> None:
    handle = migrated(world)
    with pytest.raises(UnknownStatusError):
        handle.wait(Before.SHELVED, timeout=NOW)
    with pytest.raises(WaitTimeoutError):
        handle.wait(timeout=NOW)
    flow = new_code()
    world.outsider(flow).callback(flow, "p", After.STORED, b"Ada")

    assert handle.wait(timeout=NOW).status == Before.RETURNED


def test_what_an_old_client_starts_is_worked_on_by_new_workers(world: World) -> None:
    old = old_code()
    handle = world.outsider(old).trigger(old, "p", Parcel())
    worked(world, new_code())

    assert handle.record().status == "stored"


def test_an_old_client_is_refused_the_end_that_it_does_not_know(world: World) -> None:
    handle = migrated(world)

    class Ended(StrEnum):
        NEW = "new"
        STORED = "stored"
        RETURNED = "given back"

    flow = declared(Ended, Ended.STORED)
    assert world.outsider(flow).callback(flow, "p", Ended.STORED, b"Ada").outcome is CallbackOutcome.APPLIED
    assert handle.record().state is RunState.COMPLETED

    with pytest.raises(UnknownStatusError):
        handle.wait(timeout=NOW)


@pytest.mark.parametrize(("client", "workers"), [("first", "begun"), ("begun", "first")])
def test_a_run_that_begins_under_another_name_than_the_workers_have_waits_for_them(
    world: World, client: str, workers: str
) -> None:
    """The start status is renamed from `first` to `begun`."""

    def code(start: str) -> Workflow[Parcel, Any]:
        statuses: Any = StrEnum("statuses", {"START": start, "RETURNED": "returned"})
        flow: Workflow[Parcel, Any] = Workflow("post", object_type=Parcel, status_type=statuses)
        flow.step(from_=statuses.START, to=statuses.RETURNED)(nothing)
        if start == "begun":
            flow.migrate(from_="first", to=statuses.START)
        return flow

    mine = code(client)
    with world.engine(code(workers)) as engine:
        engine.run_until_idle()
        handle = world.outsider(mine).trigger(mine, "p", Parcel())
        engine.run_until_idle()
        assert handle.record().state is RunState.INITIATED
        engine.advance(timedelta(minutes=10))
        assert handle.record().finished is (workers == "begun")
    worked(world, code("begun"))

    assert handle.record().state is RunState.COMPLETED


# -- both -----------------------------------------------------------------------------------------------------------------------


def new_client(world: World) -> RunHandle[Any, Any]:
    triggered(world)
    flow = new_code()
    return seen(world.outsider(flow), flow)


@pytest.mark.parametrize(("status", "place"), [("shelved", new_client), ("stored", migrated)])
def test_a_client_that_does_not_know_the_status_reads_all_but_the_run(
    world: World, status: str, place: Callable[[World], RunHandle[Any, Any]]
) -> None:
    handle = place(world)
    with pytest.raises(UnknownStatusError):
        handle.run()
    assert handle.record().status == status
    assert handle.history()[-1].to_status == status
    assert f"does not know status {status!r}" in str(handle.explain())

    assert handle.pause("look at this").state is RunState.PAUSED
    assert handle.resume().state is RunState.RUNNING
    assert handle.cancel("enough").state is RunState.CANCELLED


def test_code_with_both_names_reads_runs_in_either(world: World) -> None:
    triggered(world)
    flow = both_names()
    handle = seen(world.outsider(flow), flow)
    assert handle.run().status == Both.SHELVED
    worked(world, flow)

    assert handle.run().status == Both.STORED
