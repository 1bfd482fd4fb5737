"""The workflow, and the connector that feeds it. Where events come from is the engine's affair: see `stream.py`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from msgspec import Struct

from flowdsl import ConnectorEngine, Incoming, Run, Workflow


class Status(StrEnum):
    ANNOUNCED = "announced"
    READY = "ready"
    SHIPPED = "shipped"


@dataclass
class Parcel:
    weight_g: int
    label: str | None = None
    driver: str | None = None


class Announced(Struct, tag_field="kind", tag="announced"):
    """The warehouse has packed a parcel."""

    id: str
    parcel: str
    weight_g: int


class PickedUp(Struct, tag_field="kind", tag="picked_up"):
    """A courier has taken it."""

    id: str
    parcel: str
    driver: str


class NotExpectedError(Exception):
    """An event that the parcel has no use for, now or ever."""


parcels = Workflow("shipments", object_type=Parcel, status_type=Status)


@parcels.step(from_=Status.ANNOUNCED, to=Status.READY)
def print_label(run: Run[Parcel, Status]) -> None:
    run.object.label = f"{run.foreign_id}/{run.object.weight_g} g"


@parcels.callback(from_=Status.READY, to=Status.SHIPPED)
def picked_up(run: Run[Parcel, Status], payload: PickedUp) -> None:
    run.object.driver = payload.driver


@parcels.connector("warehouse", err_backoff=timedelta(milliseconds=50), dead_letter_after_err_count=3)
def on_event(engine: ConnectorEngine, event: Incoming[Announced | PickedUp]) -> None:
    """Both calls carry a key made of the event: an event that comes twice does nothing twice."""
    match event.payload:
        case Announced(weight_g=weight_g):
            engine.trigger(parcels, event.foreign_id, Parcel(weight_g))
        case PickedUp():
            result = engine.callback(parcels, event.foreign_id, Status.READY, event.body)
            if not result.accepted:  # what is raised is tried again, and in the end put among the dead letters
                raise NotExpectedError(f"{event.foreign_id} was picked up: {result.outcome}")
