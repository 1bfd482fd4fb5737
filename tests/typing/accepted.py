"""Read by the type checkers, never run: what users write is understood without help."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, StrEnum
from typing import Any, TypedDict, assert_type

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from flowdsl import (
    CallbackOutcome,
    CallbackResult,
    ConnectorEngine,
    Engine,
    Failure,
    Gap,
    IfRunning,
    Incoming,
    Misfire,
    OnEarly,
    Outcome,
    OverlapHour,
    Retry,
    Run,
    RunHandle,
    Workflow,
)
from flowdsl.engine.receipt import Receipt
from flowdsl.model.record import RunRecord


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
parcels = Workflow(
    "parcels", object_type=Parcel, status_type=Number, defaults={"pause_after_err_count": 3, "pause_on": (KeyError, OSError)}
)
letters = Workflow("letters", object_type=Letter, status_type=Status)
anything = Workflow("anything", object_type=dict[str, Any], status_type=Status)
assert_type(orders, Workflow[Order, Status])
assert_type(parcels, Workflow[Parcel, Number])
assert_type(letters, Workflow[Letter, Status])
assert_type(anything, Workflow[dict[str, Any], Status])


@orders.step(
    from_=Status.CREATED, to=[Status.PAID, Status.SHIPPED], parallel_count=2, retry=Retry(), lag_alert=None, pause_on=KeyError
)
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


@dataclass
class PickUp:
    driver: str


@orders.callback(from_=Status.PAID, to=Status.SHIPPED, name="picked-up", on_early=OnEarly.REFUSE, keep_for=timedelta(days=1))
def picked_up(run: Run[Order, Status], payload: PickUp) -> None:
    assert_type(run.object, Order)


@orders.callback(from_=Status.PAID, to=[Status.SHIPPED, Status.CREATED], on_early="keep", time_limit=timedelta(seconds=5))
async def confirmed(run: Run[Order, Status], payload: bytes) -> Status | Outcome:
    return Status.SHIPPED if payload else run.skip()


@parcels.callback(from_=Number.ONE, to=Number.TWO)
def arrived(run: Run[Parcel, Number]) -> None: ...


@orders.timeout(from_=Status.PAID, to=Status.CREATED, after=timedelta(days=3), err_backoff=timedelta(minutes=1))
def nobody_came(run: Run[Order, Status]) -> Outcome:
    return run.pause("nobody came")


def deadline(run: Run[Order, Status], now: datetime) -> datetime | None:
    return now + timedelta(hours=1) if run.object.total else None


async def slow_deadline(run: Run[Order, Status], now: datetime) -> datetime:
    return now


orders.timeout(from_=Status.PAID, to=Status.CREATED, at=deadline)(nobody_came)
orders.timeout(from_=Status.PAID, to=Status.CREATED, at=slow_deadline, name="slow")
orders.timeout(from_=Status.PAID, to=Status.CREATED, at=lambda run, now: now if run.object.total else None, name="lambda")


@orders.on_pause
def tell(run: Run[Order, Status]) -> None:
    assert_type(run.status, Status)


@orders.on_cancel(name="mail", concurrency=3)
async def mail(run: Run[Order, Status]) -> str:
    return run.foreign_id


@orders.on_error
@orders.on_transition(retry=Retry())
def log(run: Run[Order, Status]) -> None:
    assert_type(run.failure, Failure | None)


@orders.on_complete
def celebrate(run: Run[Order, Status]) -> int:
    return 1


@orders.on_delete
def scrub(run: Run[Order, Status]) -> None:
    run.object.total = 0.0


def call_hooks(run: Run[Order, Status]) -> None:
    tell(run)
    scrub(run)
    picked_up(run, PickUp("Ada"))


@orders.schedule("0 9 * * 1-5", foreign_id="daily", timezone="Europe/London", gap=Gap.SKIP, overlap_hour=OverlapHour.ONCE)
def morning(fire_time: datetime) -> Order | None:
    return Order(1.0) if fire_time.hour == 9 else None


@orders.schedule("@hourly", foreign_id="hourly", misfire=Misfire.ALL, max_catch_up=3, if_running=IfRunning.WAIT, name="h")
async def hourly(fire_time: datetime) -> Order:
    return Order(1.0)


assert_type(morning(datetime(2030, 1, 7, tzinfo=UTC)), Order | None)


@orders.step(from_=Status.PAID, to=Status.SHIPPED)
def post(run: Run[Order, Status]) -> Status:
    return Status.SHIPPED


@orders.timeout(from_=Status.PAID, to=Status.SHIPPED, after=timedelta(days=1))
async def give_up(run: Run[Order, Status]) -> Status:
    return Status.SHIPPED


@orders.callback(from_=Status.PAID, to=Status.SHIPPED)
async def handed_over(run: Run[Order, Status], payload: PickUp) -> Status | None:
    return Status.SHIPPED


@orders.callback(from_=Status.PAID, to=Status.SHIPPED)
def collected(run: Run[Order, Status]) -> Outcome | None:
    return None


async def call_decorated(run: Run[Order, Status]) -> Status | Outcome:
    """The decorated function answers what the function answers."""
    assert_type(charge(run), Status | Outcome)
    assert_type(post(run), Status)
    assert_type(nobody_came(run), Outcome)
    assert_type(await give_up(run), Status)
    assert_type(await handed_over(run, PickUp("Ada")), Status | None)
    assert_type(await confirmed(run, b""), Status | Outcome)
    assert_type(collected(run), Outcome | None)
    assert_type(celebrate(run), int)
    assert_type(await mail(run), str)
    assert_type(await hourly(datetime(2030, 1, 7, tzinfo=UTC)), Order)
    await ship(run)
    return post(run)


def use(engine: Engine) -> None:
    handle = engine.trigger(orders, "order-1", Order(1.0), start_status=Status.PAID, idempotency_key="k")
    engine.trigger(orders, "order-1", Order(1.0), session=Session())
    engine.trigger(orders, "order-1", Order(1.0), session=scoped_session(sessionmaker()))
    assert_type(handle, RunHandle[Order, Status])
    run = handle.wait(Status.PAID, timeout=timedelta(seconds=1))
    assert_type(run, Run[Order, Status])
    assert_type(run.object, Order)
    assert_type(engine.trigger_many(orders, [("a", Order(1.0))]), list[RunHandle[Order, Status]])
    assert_type(engine.latest(orders, "order-1"), RunHandle[Order, Status])
    engine.schedules.create(orders, "acme", "@daily", Order(1.0), timezone="Europe/London", start_status=Status.PAID)
    assert_type(engine.schedules.preview(orders, "acme", 3), list[datetime])


def call_back(engine: Engine, handle: RunHandle[Order, Status]) -> None:
    result = engine.callback(orders, "order-1", Status.PAID, b"{}", name="picked-up", idempotency_key="k", actor="courier")
    assert_type(result, CallbackResult)
    assert_type(result.outcome, CallbackOutcome)
    assert_type(result.accepted, bool)
    assert_type(handle.callback(Status.PAID, PickUp("Ada")), CallbackResult)
    assert_type(handle.delete_data("asked to"), RunRecord)
    assert_type(handle.receipt(), Receipt | None)


async def use_async(engine: Engine) -> None:
    assert_type(await engine.aio.callback(orders, "order-1", Status.PAID, idempotency_key="k"), CallbackResult)
    handle = await engine.aio.trigger(orders, "order-1", Order(1.0), priority=3)
    await engine.aio.trigger(orders, "order-1", Order(1.0), session=AsyncSession())
    await engine.aio.trigger(orders, "order-1", Order(1.0), session=Session())
    run = await handle.wait(Status.SHIPPED)
    assert_type(run, Run[Order, Status])
    assert_type(await handle.callback(Status.PAID, PickUp("Ada"), actor="courier"), CallbackResult)
    assert_type(await handle.receipt(), Receipt | None)


kept = Workflow("kept", object_type=Order, status_type=Status, keep_completed=timedelta(days=30), keep_cancelled=None)


@orders.migrate(from_="former", to=Status.PAID)
def rename(order: dict[str, Any]) -> None:
    order["total"] = 0.0


@orders.migrate(from_=Status.SHIPPED, to=Status.PAID)
def replace_whole(order: dict[str, Any]) -> dict[str, Any]:
    return {**order, "total": 0.0}


orders.migrate(from_="older", to=Status.PAID)


@orders.upcast(from_version=1)
def up(order: dict[str, Any]) -> dict[str, Any]:
    return order


def mend(engine: Engine) -> None:
    handle = engine.latest(orders, "order-1")
    handle.retry("now")
    handle.move(Status.PAID, "by hand", force=True)
    assert_type(handle.restart(Status.CREATED, Order(1.0)), RunHandle[Order, Status])
    assert_type(str(handle.explain()), str)
    report = engine.bulk.move("workflow=orders", to=Status.PAID, reason="by hand", force=True, rate=None, dry_run=True)
    assert_type(report.done, int)
    engine.bulk.retry("state=paused", reason="why not", limit=5, actor="Ada", progress=lambda so_far: print(so_far.turns))


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
