"""Read by the type checkers, never run: each line that ends with `# refused` is an error, and no other line is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy.ext.asyncio import AsyncSession

from flowdsl import ConnectorEngine, Engine, Incoming, Run, Workflow


class Status(StrEnum):
    CREATED = "created"
    PAID = "paid"


class Other(StrEnum):
    CREATED = "created"


@dataclass
class Order:
    total: float


orders = Workflow("orders", object_type=Order, status_type=Status)
wrong_type = Workflow("orders", object_type=Order, status_type=str)  # refused


orders.step(from_=Other.CREATED, to=Status.PAID)  # refused
orders.step(from_=Status.CREATED, to=Other.CREATED)  # refused
orders.step(from_=Status.CREATED, to=Status.PAID, parallel_count="two")  # refused
orders.step(from_=Status.CREATED, to=Status.PAID, parallelism=2)  # refused
orders.step(from_=Status.CREATED, to=Status.PAID, consume_lag=5)  # refused
orders.step(Status.CREATED, Status.PAID)  # refused


def wrong_object(run: Run[str, Status]) -> Status:
    return Status.PAID


def wrong_status(run: Run[Order, Other]) -> Status:
    return Status.PAID


def wrong_answer(run: Run[Order, Status]) -> int:
    return 1


def wrong_enum(run: Run[Order, Status]) -> Other:
    return Other.CREATED


async def wrong_async(run: Run[Order, Status]) -> Other:
    return Other.CREATED


def two_parameters(run: Run[Order, Status], more: int) -> Status:
    return Status.PAID


declare = orders.step(from_=Status.CREATED, to=Status.PAID)
declare(wrong_object)  # refused
declare(wrong_status)  # refused
declare(wrong_answer)  # refused
declare(wrong_enum)  # refused
declare(wrong_async)  # refused
declare(two_parameters)  # refused


def payload_first(payload: bytes, run: Run[Order, Status]) -> Status:
    return Status.PAID


def no_run() -> Status:
    return Status.PAID


orders.callback(from_=Other.CREATED, to=Status.PAID)  # refused
orders.callback(from_=Status.CREATED, to=Status.PAID, on_early="later")  # refused
orders.callback(from_=Status.CREATED, to=Status.PAID, keep_for=5)  # refused
orders.callback(from_=Status.CREATED, to=Status.PAID, parallel_count=1)  # refused
call_back = orders.callback(from_=Status.CREATED, to=Status.PAID)
call_back(wrong_object)  # refused
call_back(wrong_answer)  # refused
call_back(wrong_async)  # refused
call_back(payload_first)  # refused
call_back(no_run)  # refused

orders.timeout(from_=Status.CREATED, to=Other.CREATED, after=timedelta(1))  # refused
orders.timeout(from_=Status.CREATED, to=Status.PAID, after=5)  # refused
orders.timeout(from_=Status.CREATED, to=Status.PAID, at=lambda run, now: "tomorrow")  # refused
orders.timeout(from_=Status.CREATED, to=Status.PAID, at=lambda run: None)  # refused
orders.timeout(from_=Status.CREATED, to=Status.PAID, after=timedelta(1), consume_lag=timedelta(1))  # refused
time_out = orders.timeout(from_=Status.CREATED, to=Status.PAID, after=timedelta(1))
time_out(wrong_enum)  # refused
time_out(two_parameters)  # refused

orders.on_pause(wrong_object)  # refused
orders.on_cancel(two_parameters)  # refused
orders.on_complete(name=5)  # refused
orders.on_error(concurency=5)  # refused
orders.on_transition(name="x")(wrong_status)  # refused
orders.on_delete(wrong_object)  # refused

Workflow("orders", object_type=Order, status_type=Status, keep_completed=30)  # refused


def call_back_wrongly(engine: Engine) -> None:
    engine.callback(orders, "order-1", Other.CREATED)  # refused
    engine.callback(orders, 7, Status.PAID)  # refused
    engine.callback(orders, "order-1", Status.PAID, b"", key="k")  # refused
    engine.latest(orders, "order-1").callback(Other.CREATED)  # refused
    engine.latest(orders, "order-1").delete_data()  # refused


orders.schedule("@daily")  # refused
orders.schedule("@daily", foreign_id=7)  # refused
orders.schedule("@daily", foreign_id="d", misfire="sometimes")  # refused
orders.schedule("@daily", foreign_id="d", misfire_grace=5)  # refused
orders.schedule("@daily", foreign_id="d", start_status=Other.CREATED)  # refused
orders.schedule("@daily", foreign_id="d", time_zone="UTC")  # refused


def wrong_made(fire_time: datetime) -> str:
    return ""


def wrong_given(run: Run[Order, Status]) -> Order:
    return Order(1.0)


calendar = orders.schedule("@daily", foreign_id="d")
calendar(wrong_made)  # refused
calendar(wrong_given)  # refused
orders.connector("web", pause_after_err_count=3)  # refused
orders.on_complete(pause_on=KeyError)  # refused
orders.connector("web", consume_lag=5)  # refused
orders.connector("web", source="amqp://host")  # refused


def one_parameter(engine: ConnectorEngine) -> None: ...


def an_order(engine: ConnectorEngine, event: Incoming[Order]) -> None:
    event.payload.nothing  # refused
    engine.trigger(orders, event.foreign_id, "not an order")  # refused


connect = orders.connector("web")
connect(one_parameter)  # refused


Engine.from_url(orders, store="memory://", drian=timedelta(1))  # refused
Engine.from_url(orders, store="memory://", drain=5)  # refused
Engine.client(orders, store="memory://", drian=timedelta(1))  # refused


def use(engine: Engine) -> None:
    engine.schedules.create(orders, "acme", "@daily", "not an order")  # refused
    engine.schedules.create(orders, "acme", "@daily", Order(1.0), start_status=Other.CREATED)  # refused
    engine.trigger(orders, "order-1", "not an order")  # refused
    engine.trigger(orders, 7, Order(1.0))  # refused
    engine.trigger(orders, "order-1", Order(1.0), start_status=Other.CREATED)  # refused
    engine.trigger(orders, "order-1", Order(1.0), idempotency=True)  # refused
    engine.trigger(orders, "order-1", Order(1.0), session=AsyncSession())  # refused
    handle = engine.trigger(orders, "order-1", Order(1.0))
    handle.wait(Other.CREATED)  # refused
    handle.wait(Status.PAID, timeout=5)  # refused
    handle.wait(Status.PAID, timeout=timedelta(seconds=5)).object.nothing  # refused
    handle.move(Other.CREATED, "by hand")  # refused
    handle.move(Status.PAID)  # refused
    handle.restart(Other.CREATED)  # refused
    handle.restart(Status.PAID, "not an order")  # refused
    engine.bulk.retry("state=paused")  # refused
    engine.bulk.retry("state=paused", reason="x", force=True)  # refused


def wrong_upcast(order: str) -> str:
    return order


orders.upcast(from_version=1)(wrong_upcast)  # refused
orders.migrate(from_="former", to=Other.CREATED)  # refused
orders.migrate(from_="former", to=Status.PAID)(wrong_upcast)  # refused


async def use_async(engine: Engine) -> None:
    await engine.aio.callback(orders, "order-1", Status.PAID, b"", key="k")  # refused
