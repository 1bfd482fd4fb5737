"""A shop with everything that a workflow can declare.

Its pages are what the tests read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta
from pydantic import BaseModel

from flowdsl import Retry, Run, Workflow
from flowdsl.model.schedule import IfRunning


class Status(StrEnum):
    CREATED = "created"
    """The customer has pressed the button."""
    PAID = "paid"
    AWAITING_PICKUP = "awaiting_pickup"
    SHIPPED = "shipped"
    CANCELLED = "cancelled"
    BEFORE_2020 = "before_2020"


@dataclass
class Address:
    street: str
    city: str


@dataclass
class Order:
    """What was ordered, and where it goes."""

    total: Annotated[int, Meta(ge=1, description="In cents.")]
    address: Address | None = None


class Signature(BaseModel):
    name: str
    at_door: bool = False


class Refusal(BaseModel):
    """Why the courier did not take it."""

    reason: str
    address: dict[str, str] = {}


orders = Workflow(
    "orders",
    object_type=Order,
    status_type=Status,
    allow_cycles=True,
    retired=[Status.BEFORE_2020],
    keep_completed=timedelta(days=90),
)


@orders.step(
    from_=Status.CREATED,
    to=[Status.PAID, Status.CANCELLED],
    retry=Retry(cap=timedelta(minutes=5)),
    time_limit=timedelta(seconds=30),
)
def charge(run: Run[Order, Status]) -> Status:
    """Take the money, by `run.idempotency_key`.

    The provider is asked once:

    - under one key,
    - with one amount; it answers
      within a second.

        provider.charge(key, cents)

    1) A & B <are> *not* markup | here.
    """
    return Status.PAID if run.object.total else Status.CANCELLED


@orders.step(from_=Status.PAID, to=Status.AWAITING_PICKUP, parallel_count=2, consume_lag=timedelta(minutes=1))
async def book_courier(run: Run[Order, Status]) -> None:
    """Ask a courier."""


@orders.callback(from_=Status.AWAITING_PICKUP, to=Status.SHIPPED, keep_for=timedelta(hours=1))
def picked_up(run: Run[Order, Status], payload: Signature) -> None:
    """The courier has it."""


@orders.callback(from_=Status.AWAITING_PICKUP, to=Status.PAID, name="refused at the door", on_early="refuse")
def refused(run: Run[Order, Status], payload: Refusal) -> None: ...


@orders.callback(from_=Status.AWAITING_PICKUP, to=Status.CANCELLED)
def called_off(run: Run[Order, Status]) -> None: ...


@orders.callback(from_=Status.CREATED, to=Status.PAID)
def paid_in_cash(run: Run[Order, Status], payload: bytes) -> None: ...


@orders.timeout(from_=Status.AWAITING_PICKUP, to=Status.CANCELLED, after=timedelta(days=3))
def nobody_came(run: Run[Order, Status]) -> None:
    """Give up."""


def deadline(run: Run[Order, Status], now: datetime) -> datetime | None:
    return None


@orders.timeout(from_=Status.CREATED, to=Status.CANCELLED, at=deadline)
def too_late(run: Run[Order, Status]) -> None: ...


@orders.schedule(
    "0 9 * * 1-5", foreign_id="breakfast", timezone="Europe/London", start_status=Status.PAID, if_running=IfRunning.WAIT
)
def breakfast(slot: datetime) -> Order | None:
    """Something for the office."""
    return Order(100)


@orders.connector("courier-events", event_type=Signature, parallel_count=2)
def on_courier_event(engine: Any, event: Any) -> None:
    """What the courier's devices tell."""


@orders.on_pause
def tell_the_team(run: Run[Order, Status]) -> None:
    """Write to the channel."""


@orders.on_complete(concurrency=3)
async def thank(run: Run[Order, Status]) -> None: ...


@orders.migrate(from_="in_the_van", to=Status.AWAITING_PICKUP)
def from_the_van(stored: dict[str, Any]) -> None:
    """The van is gone; couriers come."""
    stored.pop("van", None)


orders.migrate(from_="on_hold", to=Status.CREATED)


@orders.on_delete
def scrub(run: Run[Order, Status]) -> None:
    """Leave the total."""
    run.object.address = None
