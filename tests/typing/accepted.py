"""Read by the type checkers, never run: what users write is understood without help."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, StrEnum
from typing import Any, TypedDict, assert_type

import msgspec

from flowdsl import ConnectorEngine, Engine, Incoming, Outcome, Retry, Run, RunHandle, Workflow


class Status(StrEnum):
    CREATED = "created"
    PAID = "paid"
    SHIPPED = "shipped"


class Number(Enum):
    ONE = 1
    TWO = 2


@dataclass
class Order:
    total: float


class Parcel(msgspec.Struct):
    weight: int


class Letter(TypedDict):
    text: str


orders = Workflow("orders", object_type=Order, status_type=Status)
parcels = Workflow("parcels", object_type=Parcel, status_type=Number, defaults={"pause_after_err_count": 3})
letters = Workflow("letters", object_type=Letter, status_type=Status)
anything = Workflow("anything", object_type=dict[str, Any], status_type=Status)
assert_type(orders, Workflow[Order, Status])
assert_type(parcels, Workflow[Parcel, Number])
assert_type(letters, Workflow[Letter, Status])
assert_type(anything, Workflow[dict[str, Any], Status])


@orders.step(from_=Status.CREATED, to=[Status.PAID, Status.SHIPPED], parallel_count=2, retry=Retry(), lag_alert=None)
def charge(run: Run[Order, Status]) -> Status | Outcome:
    assert_type(run.object, Order)
    assert_type(run.status, Status)
    assert_type(run.idempotency_key, str)
    if run.object.total < 0:
        return run.cancel("nothing to pay")
    return Status.PAID


@orders.step(from_=Status.PAID, to=Status.SHIPPED, time_limit=timedelta(seconds=5))
async def ship(run: Run[Order, Status]) -> None:
    assert_type(run.object.total, float)


@parcels.step(from_=Number.ONE, to=Number.TWO)
def weigh(run: Run[Parcel, Number]) -> Number:
    return Number.TWO


def call_steps(run: Run[Order, Status]) -> Status | Outcome | None:
    return charge(run)


async def await_steps(run: Run[Order, Status]) -> Status | Outcome | None:
    return await ship(run)


def use(engine: Engine) -> None:
    handle = engine.trigger(orders, "order-1", Order(1.0), start_status=Status.PAID, idempotency_key="k")
    assert_type(handle, RunHandle[Order, Status])
    run = handle.wait(Status.PAID, timeout=timedelta(seconds=1))
    assert_type(run, Run[Order, Status])
    assert_type(run.object, Order)
    assert_type(engine.trigger_many(orders, [("a", Order(1.0))]), list[RunHandle[Order, Status]])
    assert_type(engine.latest(orders, "order-1"), RunHandle[Order, Status])


async def use_async(engine: Engine) -> None:
    handle = await engine.aio.trigger(orders, "order-1", Order(1.0), priority=3)
    run = await handle.wait(Status.SHIPPED)
    assert_type(run, Run[Order, Status])


@orders.connector("web", parallel_count=2, dead_letter_after_err_count=None)
def on_order(engine: ConnectorEngine, event: Incoming[Order]) -> None:
    assert_type(event.payload, Order)
    assert_type(event.foreign_id, str)
    assert_type(engine.trigger(orders, event.foreign_id, event.payload), RunHandle[Order, Status])
    assert_type(engine.trigger_many(orders, [("a", event.payload)]), list[RunHandle[Order, Status]])


@orders.connector("mail", err_backoff=timedelta(seconds=1))
async def on_mail(engine: ConnectorEngine, event: Incoming[bytes]) -> None:
    handle = await engine.aio.trigger(orders, event.foreign_id, Order(1.0))
    assert_type(await handle.run(), Run[Order, Status])


def call_connectors(engine: ConnectorEngine, event: Incoming[Order]) -> None:
    assert_type(on_order(engine, event), None)
