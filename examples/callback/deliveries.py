"""A delivery: the courier tells us by webhook when the parcel was picked up, and how the handing over ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from flowdsl import Run, Workflow


class Status(StrEnum):
    BOOKED = "booked"
    WITH_COURIER = "with_courier"
    DELIVERED = "delivered"
    RETURNED = "returned"


@dataclass
class Delivery:
    address: str
    driver: str | None = None
    signed_by: str | None = None


@dataclass
class PickUp:
    driver: str


@dataclass
class HandOver:
    signed_by: str | None


def build(thank: Callable[[str], None]) -> Workflow[Delivery, Status]:
    """In: what thanks a driver."""
    deliveries = Workflow("deliveries", object_type=Delivery, status_type=Status)

    # No timeouts: the courier's own deadlines end every booking, by webhook.
    @deliveries.callback(from_=Status.BOOKED, to=Status.WITH_COURIER)  # flowdsl: ignore[no-timeout]
    def picked_up(run: Run[Delivery, Status], pick_up: PickUp) -> None:
        run.object.driver = pick_up.driver

    @deliveries.callback(  # flowdsl: ignore[no-timeout]
        from_=Status.WITH_COURIER, to=[Status.DELIVERED, Status.RETURNED], keep_for=timedelta(days=2)
    )
    def handed_over(run: Run[Delivery, Status], hand_over: HandOver) -> Status:
        run.object.signed_by = hand_over.signed_by
        return Status.DELIVERED if hand_over.signed_by else Status.RETURNED

    @deliveries.on_complete
    def done(run: Run[Delivery, Status]) -> None:
        thank(run.object.driver or "nobody")

    return deliveries
