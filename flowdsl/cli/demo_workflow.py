"""The workflow of `flowdsl demo`: a web shop's orders, with everything that can happen to one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.model.outcome import Outcome
from flowdsl.options import Retry

SUSPICIOUS = 900
"""An amount from which a person must look."""


class OrderStatus(StrEnum):
    PLACED = "placed"
    PAID = "paid"
    IN_PARTS = "in_parts"
    PACKED = "packed"
    SHIPPED = "shipped"


@dataclass
class Order:
    amount: int
    items: int = 1
    terminal_fails: int = 0
    """How often the card terminal fails before it works."""
    packed: int = 0
    payment: str | None = None
    looked_at: bool = False


orders = Workflow(
    "orders",
    object_type=Order,
    status_type=OrderStatus,
    defaults={"retry": Retry(backoff=timedelta(milliseconds=100), jitter=False)},
)


@orders.step(from_=OrderStatus.PLACED, to=OrderStatus.PAID)
def charge(run: Run[Order, OrderStatus]) -> OrderStatus | Outcome:
    """Take the money."""
    if run.object.amount == 0:
        return run.cancel("nothing to pay")
    if run.attempt <= run.object.terminal_fails:
        raise ConnectionError("the card terminal does not answer")
    run.object.payment = f"payment-{run.foreign_id}"
    return OrderStatus.PAID


@orders.step(from_=OrderStatus.PAID, to=[OrderStatus.IN_PARTS, OrderStatus.PACKED])
async def pack(run: Run[Order, OrderStatus]) -> OrderStatus | Outcome:
    """Large orders are packed in parts."""
    if run.object.amount >= SUSPICIOUS and not run.object.looked_at:
        run.object.looked_at = True  # stored with the pause: the next attempt goes on
        return run.pause(f"a person must look at amounts from {SUSPICIOUS}")
    run.object.packed = min(run.object.items, 2)
    return OrderStatus.IN_PARTS if run.object.packed < run.object.items else OrderStatus.PACKED


@orders.step(from_=OrderStatus.IN_PARTS, to=OrderStatus.PACKED)
def pack_the_rest(run: Run[Order, OrderStatus]) -> OrderStatus | Outcome:
    """One part at a time, each stored."""
    run.object.packed += 1
    return run.save_and_repeat() if run.object.packed < run.object.items else OrderStatus.PACKED


@orders.step(from_=OrderStatus.PACKED, to=OrderStatus.SHIPPED)
def ship(run: Run[Order, OrderStatus]) -> None:
    """Hand it to the courier."""
