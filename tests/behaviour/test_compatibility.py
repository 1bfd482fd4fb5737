"""Whether code fits the runs that are stored, found out before it is deployed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pytest

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.handle import RunHandle
from flowdsl.model.misfit import Fit, MisfitKind
from flowdsl.model.outcome import Outcome
from flowdsl.model.query import MAX_PAGE
from tests.behaviour.world import HOUR, World

K = MisfitKind


class Deployed(StrEnum):
    NEW = "new"
    CHECKING = "checking"
    WAITING = "waiting"
    SENT = "sent"
    ARCHIVED = "archived"


@dataclass
class Parcel:
    weight: int = 1


def deployed() -> Workflow[Parcel, Deployed]:
    """Every step leaves its run where it is, so that a test can put runs anywhere."""
    flow = Workflow("post", object_type=Parcel, status_type=Deployed, allow_cycles=True)

    def stay(run: Run[Parcel, Deployed]) -> Outcome:
        return run.skip()

    flow.step(from_=Deployed.NEW, to=Deployed.CHECKING)(stay)
    flow.step(from_=Deployed.CHECKING, to=Deployed.WAITING)(stay)
    flow.step(from_=Deployed.SENT, to=Deployed.ARCHIVED)(stay)

    @flow.callback(from_=Deployed.WAITING, to=Deployed.SENT)
    def fetched(run: Run[Parcel, Deployed], payload: bytes) -> None: ...

    @flow.timeout(from_=Deployed.WAITING, to=Deployed.SENT, after=HOUR)
    def forgotten(run: Run[Parcel, Deployed]) -> None: ...

    return flow


@pytest.fixture
def stored(world: World) -> dict[str, RunHandle[Any, Any]]:
    """A run in each status of the deployed code, and a finished one."""
    flow = deployed()
    engine = world.outsider(flow)
    handles: dict[str, RunHandle[Any, Any]] = {}
    for status in ("new", "checking", "waiting", "sent"):
        handles[status] = engine.trigger(flow, status, Parcel(), start_status=Deployed(status))
    handles["checking"].pause("look at this")
    engine.trigger(flow, "done", Parcel()).cancel("no")
    engine.callback(flow, "checking", Deployed.WAITING, b"early")
    return handles


def fit_of(world: World, flow: Workflow[Any, Any], sample: int = 100) -> Fit:
    (fit,) = world.outsider(flow).migrations.fits(sample)
    return fit


def kinds(fit: Fit) -> list[tuple[MisfitKind, str, int]]:
    return [(misfit.kind, misfit.status, misfit.runs) for misfit in fit.misfits]


def test_code_fits_the_runs_that_it_brought_about(world: World, stored: dict[str, RunHandle[Any, Any]]) -> None:
    fit = fit_of(world, deployed())

    assert kinds(fit) == []
    assert (fit.runs, fit.sampled, fit.migrating) == (4, 4, 0)


class Next(StrEnum):
    NEW = "new"
    CHECKED = "checked"
    SENT = "sent"
    WAITING = "waiting"


def following() -> Workflow[Parcel, Next]:
    """checking is gone (it is checked now), sent is where runs end, waiting is retired."""
    flow = Workflow("post", object_type=Parcel, status_type=Next, retired=[Next.WAITING])
    flow.step(from_=Next.NEW, to=Next.CHECKED)(lambda run: None)
    flow.step(from_=Next.CHECKED, to=Next.SENT)(lambda run: None)
    return flow


def test_statuses_that_are_gone_lead_nowhere_or_have_become_ends_are_found(
    world: World, stored: dict[str, RunHandle[Any, Any]]
) -> None:
    fit = fit_of(world, following())

    assert kinds(fit) == [
        (K.LOST_CALLBACK, "checking", 1),
        (K.UNKNOWN_STATUS, "checking", 1),
        (K.ENDED_STATUS, "sent", 1),
        (K.LOST_TIMEOUT, "waiting", 1),
        (K.NO_WAY_ON, "waiting", 1),
    ]
    by_kind = {misfit.kind: misfit for misfit in fit.misfits}
    unknown = by_kind[K.UNKNOWN_STATUS]
    assert unknown.message == "1 unfinished run in 'checking', which this code does not have. Did it become 'checked'?"
    assert unknown.remedy == "Declare @workflow.migrate(from_='checking', to=...), or keep the status until it is empty."
    assert (unknown.example, unknown.sampled) == (stored["checking"].run_id, None)
    assert "timeout 'forgotten'" in by_kind[K.LOST_TIMEOUT].message
    assert "callback 'fetched' kept" in by_kind[K.LOST_CALLBACK].message


def test_declared_migrations_make_it_fit(world: World, stored: dict[str, RunHandle[Any, Any]]) -> None:
    flow = following()
    for status in ("checking", "waiting", "sent"):
        flow.migrate(from_=status, to=Next.CHECKED)
    fit = fit_of(world, flow)

    assert kinds(fit) == [(K.LOST_CALLBACK, "checking", 1)]
    assert (fit.runs, fit.migrating) == (4, 3)


def test_a_migration_that_fails_on_stored_objects_is_found(world: World, stored: dict[str, RunHandle[Any, Any]]) -> None:
    flow = following()
    flow.migrate(from_="checking", to=Next.CHECKED)(lambda parcel: parcel["colour"])
    fit = fit_of(world, flow)

    (misfit,) = [misfit for misfit in fit.misfits if misfit.kind is K.FAILING_MIGRATION]
    assert (misfit.runs, misfit.sampled, misfit.example) == (1, 1, stored["checking"].run_id)
    assert "1 of 1 run looked at in 'checking' make their migration fail: KeyError: 'colour'." in misfit.message


def test_objects_that_the_code_cannot_read_or_newer_code_stored_are_found(world: World) -> None:
    @dataclass
    class Heavier:
        weight: int
        colour: str

    old = deployed()
    newer = Workflow("post", object_type=Parcel, status_type=Deployed, schema_version=2)
    newer.upcast(from_version=1)(lambda parcel: parcel)
    newer.step(from_=Deployed.NEW, to=[Deployed.CHECKING, Deployed.WAITING, Deployed.SENT, Deployed.ARCHIVED])(
        lambda run: run.skip()
    )
    world.outsider(old).trigger(old, "a", Parcel())
    world.outsider(old).trigger(old, "b", Parcel())
    world.outsider(newer).trigger(newer, "c", Parcel())

    code = Workflow("post", object_type=Heavier, status_type=Deployed)
    code.step(from_=Deployed.NEW, to=[Deployed.CHECKING, Deployed.WAITING, Deployed.SENT, Deployed.ARCHIVED])(
        lambda run: run.skip()
    )
    fit = fit_of(world, code)

    assert kinds(fit) == [(K.NEWER_OBJECT, "new", 1), (K.UNREADABLE_OBJECT, "new", 2)]
    assert "missing required field `colour`" in fit.misfits[1].message
    assert "2 of 3 runs looked at in 'new'" in fit.misfits[1].message


def test_every_run_is_counted_and_only_a_sample_is_read(memory_world: World) -> None:
    flow = deployed()
    engine = memory_world.outsider(flow)
    count = 2 * MAX_PAGE + 1
    engine.trigger_many(flow, [(f"p-{number}", Parcel()) for number in range(count)])

    code = Workflow("post", object_type=Parcel, status_type=Next)
    code.step(from_=Next.CHECKED, to=[Next.NEW, Next.SENT, Next.WAITING])(lambda run: run.skip())
    fit = fit_of(memory_world, code, sample=7)

    assert (fit.runs, fit.sampled) == (count, 7)
    assert kinds(fit) == [(K.ENDED_STATUS, "new", count)]


def test_runs_of_other_workflows_and_finished_ones_do_not_matter(world: World) -> None:
    other = Workflow("others", object_type=Parcel, status_type=Deployed, allow_cycles=True)
    other.step(from_=Deployed.NEW, to=[Deployed.CHECKING, Deployed.WAITING, Deployed.SENT, Deployed.ARCHIVED])(
        lambda run: run.skip()
    )
    world.outsider(other).trigger(other, "a", Parcel())
    flow = deployed()
    world.outsider(flow).trigger(flow, "b", Parcel(), start_status=Deployed.CHECKING).cancel("no")

    assert fit_of(world, following()).runs == 0
