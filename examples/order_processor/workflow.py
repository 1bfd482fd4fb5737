"""The order workflow: validate, charge, reserve, ship - or reject, decline, refund, cancel."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from examples.order_processor.services import PaymentDeclinedError, Services
from flowdsl import Outcome, Retry, Run, StepOptions, Workflow


class OrderStatus(StrEnum):
    RECEIVED = "received"
    VALIDATED = "validated"
    PAID = "paid"
    RESERVED = "reserved"
    REFUNDING = "refunding"
    SHIPPED = "shipped"
    REJECTED = "rejected"
    DECLINED = "declined"
    REFUNDED = "refunded"


@dataclass
class Line:
    sku: str
    quantity: Annotated[int, Meta(le=1_000_000)]
    unit_cents: Annotated[int, Meta(le=1_000_000_000)]


@dataclass
class Order:
    order_id: Annotated[str, Meta(min_length=1, max_length=200)]
    customer: str
    lines: list[Line]
    cancel_requested: bool = False
    payment_id: str | None = None
    refund_id: str | None = None
    parcel_id: str | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def cents(self) -> int:
        return sum(line.quantity * line.unit_cents for line in self.lines)


HURRIED = Retry(backoff=timedelta(milliseconds=20), cap=timedelta(milliseconds=200))
"""The default of one second, doubling, suits a provider that is really out of order; here nobody wants to wait."""


def build(services: Services, workers: int | None = None) -> Workflow[Order, OrderStatus]:
    """The workflow over the services it needs: the real ones in production, a test's own in a test. `workers`: how many orders
    each step works on at once in one process; None: the library's default."""
    defaults: StepOptions = {} if workers is None else {"concurrency": workers}
    orders = Workflow("orders", object_type=Order, status_type=OrderStatus, defaults=defaults)

    @orders.step(from_=OrderStatus.RECEIVED, to=[OrderStatus.VALIDATED, OrderStatus.REJECTED])
    def validate(run: Run[Order, OrderStatus]) -> OrderStatus | Outcome:
        """Refuse what cannot be delivered."""
        order = run.object
        if order.cancel_requested:
            return run.cancel("the customer changed their mind")
        if not order.lines or any(line.quantity <= 0 or line.unit_cents < 0 for line in order.lines):
            order.notes.append("nothing that can be delivered")
            return OrderStatus.REJECTED
        return OrderStatus.VALIDATED

    @orders.step(from_=OrderStatus.VALIDATED, to=[OrderStatus.PAID, OrderStatus.DECLINED], retry=HURRIED)
    def charge(run: Run[Order, OrderStatus]) -> OrderStatus:
        """Take the money; a provider that is out of order is asked again, under the same key."""
        try:
            run.object.payment_id = services.charge(run.idempotency_key, run.foreign_id, run.object.cents, run.attempt)
        except PaymentDeclinedError as error:
            run.object.notes.append(str(error))
            return OrderStatus.DECLINED
        return OrderStatus.PAID

    @orders.step(from_=OrderStatus.PAID, to=[OrderStatus.RESERVED, OrderStatus.REFUNDING])
    def reserve(run: Run[Order, OrderStatus]) -> OrderStatus:
        """Set the goods aside."""
        missing = [line.sku for line in run.object.lines if not services.in_stock(line.sku, run.foreign_id)]
        if missing:
            run.object.notes.append(f"out of stock: {', '.join(missing)}")
            return OrderStatus.REFUNDING
        return OrderStatus.RESERVED

    @orders.step(from_=OrderStatus.REFUNDING, to=OrderStatus.REFUNDED, retry=HURRIED)
    def refund(run: Run[Order, OrderStatus]) -> None:
        """Give the money back."""
        run.object.refund_id = services.refund(run.idempotency_key, run.foreign_id, run.object.cents)

    @orders.step(from_=OrderStatus.RESERVED, to=OrderStatus.SHIPPED)
    async def ship(run: Run[Order, OrderStatus]) -> None:
        """Hand the parcel over."""
        run.object.parcel_id = await services.ship(run.foreign_id)

    return orders
