"""What every process of the fleet loads: the workflow, and an engine as the environment describes it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from flowdsl import Engine, Run, Workflow

STORE, STREAMER = "FLEET_STORE", "FLEET_STREAMER"
STEP_MS, CONCURRENCY = "FLEET_STEP_MS", "FLEET_CONCURRENCY"


class ParcelStatus(StrEnum):
    ANNOUNCED = "announced"
    LABELLED = "labelled"
    LOADED = "loaded"
    DELIVERED = "delivered"


@dataclass
class Parcel:
    weight_g: int
    label: str | None = None


parcels = Workflow(
    "parcels",
    object_type=Parcel,
    status_type=ParcelStatus,
    defaults={"concurrency": int(os.environ.get(CONCURRENCY, "10"))},
)


def work() -> None:
    """Stands for the call of another service."""
    time.sleep(float(os.environ.get(STEP_MS, "20")) / 1000)


@parcels.step(from_=ParcelStatus.ANNOUNCED, to=ParcelStatus.LABELLED)
def label(run: Run[Parcel, ParcelStatus]) -> None:
    """Print the label."""
    work()
    run.object.label = f"L-{run.foreign_id}"


@parcels.step(from_=ParcelStatus.LABELLED, to=ParcelStatus.LOADED)
def load(run: Run[Parcel, ParcelStatus]) -> None:
    """Put it on a van."""
    work()


@parcels.step(from_=ParcelStatus.LOADED, to=ParcelStatus.DELIVERED)
def deliver(run: Run[Parcel, ParcelStatus]) -> None:
    """Hand it over."""
    work()


def engine() -> Engine:
    """A worker's engine. A machine that dies is noticed within ten seconds; the default is thirty."""
    return Engine.from_url(
        parcels,
        store=os.environ.get(STORE, "sqlite:///fleet.db"),
        streamer=os.environ.get(STREAMER) or None,
        beat=timedelta(seconds=3),
        lapse=timedelta(seconds=10),
    )


def client() -> Engine:
    """For processes that only start runs and ask about them."""
    return Engine.client(parcels, store=os.environ.get(STORE, "sqlite:///fleet.db"), streamer=os.environ.get(STREAMER) or None)
