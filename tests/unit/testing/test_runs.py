"""A single step is tested like any function."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum

from flowdsl import Outcome, Run, Workflow
from flowdsl.testing.runs import make_run


class Status(StrEnum):
    CREATED = "created"
    PAID = "paid"
    SHIPPED = "shipped"


@dataclass
class Order:
    total: float
    payment_id: str | None = None


orders = Workflow("orders", object_type=Order, status_type=Status)


@orders.step(from_=Status.CREATED, to=Status.PAID)
def charge(run: Run[Order, Status]) -> Status | Outcome:
    if run.object.total <= 0:
        return run.cancel("nothing to pay")
    run.object.payment_id = f"{run.idempotency_key}/{run.attempt}"
    return Status.PAID


@orders.step(from_=Status.PAID, to=Status.SHIPPED)
async def ship(run: Run[Order, Status]) -> Status:
    return Status.SHIPPED


def test_a_step_is_called_with_a_run_made_for_it() -> None:
    run = make_run(orders, Order(5.0), attempt=3)
    assert charge(run) is Status.PAID
    assert run.object.payment_id == "run-1:1/3"
    assert (run.status, run.workflow, run.foreign_id) == (Status.CREATED, "orders", "foreign-1")


def test_an_outcome_can_be_looked_at() -> None:
    run = make_run(orders, Order(0.0))
    assert charge(run) == run.made


def test_an_async_step_is_awaited() -> None:
    assert asyncio.run(_awaited()) is Status.SHIPPED


async def _awaited() -> object:
    return await ship(make_run(orders, Order(1.0), status=Status.PAID, metadata={"tenant": "a"}))
