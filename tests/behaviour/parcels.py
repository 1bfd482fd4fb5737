"""A workflow of parcels that wait to be collected: what tests of callbacks, timeouts, hooks and deletion declare theirs on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.engine.handle import RunHandle
from flowdsl.model.callback_result import CallbackOutcome
from flowdsl.model.pending import PendingRow, RowKind
from flowdsl.testing.stepped import SteppedEngine

DAY = timedelta(days=1)
ADA = b'{"driver": "Ada"}'


class Stage(StrEnum):
    PACKED = "packed"
    WAITING = "waiting"
    COLLECTED = "collected"
    RETURNED = "returned"


@dataclass
class Parcel:
    driver: str | None = None
    deadline: datetime | None = None
    notes: list[str] = field(default_factory=list)


@dataclass
class PickUp:
    driver: str


Parcels = Workflow[Parcel, Stage]
ParcelRun = Run[Parcel, Stage]
Handle = RunHandle[Parcel, Stage]


def bare(*unused: Stage, **settings: Any) -> Parcels:
    """Nothing but the statuses. In: those that the test does not mention."""
    return Workflow("parcels", object_type=Parcel, status_type=Stage, retired=unused, **settings)


def parcels(*unused: Stage, **settings: Any) -> Parcels:
    """A first step takes each parcel to WAITING; what follows is the test's to declare."""
    workflow = bare(*unused, **settings)

    @workflow.step(from_=Stage.PACKED, to=Stage.WAITING)
    def pack(run: ParcelRun) -> None:
        pass

    return workflow


def collected(*unused: Stage, **settings: Any) -> Parcels:
    """The same with a callback that collects the parcel."""
    workflow = parcels(*(unused or (Stage.RETURNED,)), **settings)

    @workflow.callback(from_=Stage.WAITING, to=Stage.COLLECTED)
    def pick_up(run: ParcelRun, payload: PickUp) -> None:
        run.object.driver = payload.driver

    return workflow


def timed(*, after: timedelta = DAY, **options: Any) -> Parcels:
    """Parcels that are sent back when nobody collects them."""
    workflow = parcels(Stage.COLLECTED)

    @workflow.timeout(from_=Stage.WAITING, to=Stage.RETURNED, after=after, **options)
    def nobody_came(run: ParcelRun) -> None:
        run.object.notes.append("sent back")

    return workflow


def waiting(engine: SteppedEngine, workflow: Parcels, foreign_id: str = "parcel-1", obj: Parcel | None = None) -> Handle:
    """A parcel that has arrived in WAITING, and nothing is left to do for it now."""
    handle = engine.trigger(workflow, foreign_id, obj or Parcel())
    engine.run_until_idle()
    assert handle.record().status == Stage.WAITING
    return handle


def early(engine: SteppedEngine, workflow: Any, foreign_id: str = "parcel-1", **options: Any) -> None:
    """A callback that comes before its run has arrived."""
    result = engine.callback(workflow, foreign_id, Stage.WAITING, ADA, **options)
    assert (result.outcome, result.accepted) == (CallbackOutcome.KEPT, True)


def rows(handle: RunHandle[Any, Any], kind: RowKind) -> list[PendingRow]:
    """What waits for a run, of one kind."""
    return [row for row in handle.pending() if row.kind is kind]


def way(handle: RunHandle[Any, Any]) -> Sequence[tuple[str, str]]:
    """Where a run went, and what made it."""
    return [(row.cause.value, row.to_status) for row in handle.history()]


def listened(workflow: Parcels) -> list[tuple[Any, ...]]:
    """What the three hooks of a run's state are told."""
    told: list[tuple[Any, ...]] = []

    def note(event: str, run: ParcelRun) -> None:
        told.append((event, run.foreign_id, run.state, run.status, run.record.reason, run.record.actor))

    @workflow.on_pause
    def paused(run: ParcelRun) -> None:
        note("pause", run)

    @workflow.on_cancel
    def cancelled(run: ParcelRun) -> None:
        note("cancel", run)

    @workflow.on_complete
    def completed(run: ParcelRun) -> None:
        note("complete", run)

    return told
