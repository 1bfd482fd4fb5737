"""Runs that are triggered in the transaction of the caller's own session: announced when that has committed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.errors import BlockingCallError, ConfigurationError, SchemaError, StreamerError, WorkflowInProgressError
from flowdsl.memory.event_streamer import MemoryEventStreamer
from flowdsl.memory.role_scheduler import MemoryRoleScheduler
from flowdsl.model.event import Event
from flowdsl.model.run_state import RunState
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.stepped import SteppedEngine
from flowdsl_sql.record_store import SqlRecordStore, open_store
from tests.services import SQL_DATABASES, sql_database

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

ASYNC_DRIVERS = {"psycopg": "postgresql+psycopg", "asyncpg": "postgresql+asyncpg", "aiosqlite": "sqlite+aiosqlite"}


class Status(StrEnum):
    NEW = "new"
    PAID = "paid"
    DONE = "done"


@dataclass
class Thing:
    note: str = ""


def of_things() -> Workflow[Thing, Status]:
    """Its first status has a timeout, and its object a quote, a backslash and no ASCII: all of it is written."""
    workflow = Workflow("things", object_type=Thing, status_type=Status)

    @workflow.step(from_=Status.NEW, to=Status.PAID)
    def pay(run: Run[Thing, Status]) -> None:
        """Nothing more."""

    @workflow.step(from_=Status.PAID, to=Status.DONE)
    def ship(run: Run[Thing, Status]) -> None:
        """Nothing more."""

    @workflow.timeout(from_=Status.NEW, to=Status.DONE, after=timedelta(days=1))
    def late(run: Run[Thing, Status]) -> Status:
        return Status.DONE

    return workflow


class Broker(MemoryEventStreamer):
    """Remembers what was published, whether its row was there then, and by which thread. Can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.published: list[Event] = []
        self.unknown: list[Event] = []
        self.threads: set[str] = set()
        self.away = False
        self.store: SqlRecordStore

    def publish(self, events: Sequence[Event]) -> Sequence[bool]:
        if self.away:
            raise StreamerError("the broker is away.")
        known = self.store.lookup([event.row_id for event in events])
        self.unknown += [event for event in events if event.row_id not in known]
        self.published += events
        self.threads.add(threading.current_thread().name)
        return super().publish(events)


class Shop:
    """A database with flowdsl's tables, and engines on it that share a broker."""

    def __init__(self, kind: str, folder: Path, stack: ExitStack) -> None:
        self.url = stack.enter_context(sql_database(kind, folder))
        self.workflow = of_things()
        self.broker = Broker()
        self.store = self.broker.store = open_store(self.url, migrate=True)
        stack.callback(self.store.close)
        self.clock = ManualClock(self.store.now())
        self.own = sa.create_engine(self.url)
        stack.callback(self.own.dispose)
        self._engines_store = open_store(self.url, clock=self.clock)
        stack.callback(self._engines_store.close)
        self.client = self.engine(works=False)

    def engine(self, **settings: Any) -> SteppedEngine:
        return SteppedEngine(
            self.workflow,
            store=self._engines_store,
            roles=MemoryRoleScheduler(self.clock),
            clock=self.clock,
            streamer=self.broker,
            **settings,
        )

    def listen(self, wake: Callable[[Sequence[str]], None]) -> Callable[[], None]:
        return self._engines_store.listen("default", wake)

    def announced(self) -> list[str]:
        assert self.broker.unknown == []
        return [event.foreign_id for event in self.broker.published]


@pytest.fixture(params=SQL_DATABASES)
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    with ExitStack() as stack:
        yield Shop(request.param, tmp_path, stack)


@pytest.fixture
def postgresql(tmp_path: Path) -> Iterator[Shop]:
    with ExitStack() as stack:
        yield Shop("postgresql", tmp_path, stack)


def test_a_client_s_run_is_announced_when_the_session_has_committed(shop: Shop) -> None:
    client = shop.client
    with Session(shop.own) as session:
        client.trigger(shop.workflow, "undone", Thing(), session=session)
        session.rollback()
        client.trigger(shop.workflow, "first", Thing(), session=session)
        client.trigger(shop.workflow, "second", Thing(), session=session)
        assert shop.announced() == []
        session.commit()
        assert shop.announced() == ["first", "second"]
        client.trigger(shop.workflow, "third", Thing(), session=session)
        session.close()
    with Session(shop.own) as session, session.begin():
        client.trigger(shop.workflow, "last", Thing(), session=session)

    assert shop.announced() == ["first", "second", "last"]


def test_an_engine_s_run_is_announced_by_its_next_step_and_counted(shop: Shop) -> None:
    with shop.engine() as engine:
        with Session(shop.own) as session:
            handle = engine.trigger(shop.workflow, "a", Thing(), session=session)
            session.commit()
        engine.run_until_idle()

        assert shop.announced()[0] == "a"
        assert handle.record().state is RunState.COMPLETED


def test_a_broker_that_is_away_neither_fails_the_commit_nor_loses_the_announcement(shop: Shop) -> None:
    shop.broker.away = True
    client = shop.client
    for name in ("a", "b"):
        with Session(shop.own) as session, session.begin():
            client.trigger(shop.workflow, name, Thing(), session=session)
    assert sorted(run.foreign_id for run in client.runs(shop.workflow).runs) == ["a", "b"]

    shop.broker.away = False
    shop.clock.advance(timedelta(minutes=1))
    with Session(shop.own) as session, session.begin():
        client.trigger(shop.workflow, "c", Thing(), session=session)

    assert shop.announced() == ["a", "b", "c"]


def test_listeners_of_this_process_are_woken_when_the_session_has_committed(shop: Shop) -> None:
    woken: list[str] = []
    client = shop.client
    with Session(shop.own) as session:
        end = shop.listen(woken.extend)
        client.trigger(shop.workflow, "undone", Thing(), session=session)
        session.rollback()
        client.trigger(shop.workflow, "a", Thing(), session=session)
        with session.begin_nested():
            session.execute(sa.text("SELECT 1"))
        assert woken == []
        session.commit()
        assert sorted(woken) == ["things/new", "things/new/timeout/late"]
        end()


def test_many_runs_at_once_are_not_started_beside_a_session_that_is_passed(shop: Shop) -> None:
    many: Any = shop.client.trigger_many
    with Session(shop.own) as session, pytest.raises(ConfigurationError, match="trigger_many has transactions of its own"):
        many(shop.workflow, [("a", Thing())], session=session)

    assert list(shop.client.runs().runs) == []


def test_a_scoped_session_is_one(shop: Shop) -> None:
    scoped = scoped_session(sessionmaker(shop.own))
    client = shop.client
    client.trigger(shop.workflow, "a", Thing(), session=scoped)
    scoped.commit()
    scoped.remove()

    assert shop.announced() == ["a"]


def test_a_session_may_use_another_driver_than_the_store(postgresql: Shop) -> None:
    pytest.importorskip("psycopg2")
    shop, own = postgresql, sa.create_engine(sa.make_url(postgresql.url).set(drivername="postgresql+psycopg2"))
    with Session(own) as session:
        handle = shop.client.trigger(shop.workflow, "a", Thing("ü"), session=session, idempotency_key="k", tags=["x"])
        with pytest.raises(WorkflowInProgressError):
            shop.client.trigger(shop.workflow, "a", Thing(), session=session)
        session.commit()
        session.execute(sa.text("ALTER TABLE flowdsl_run RENAME TO flowdsl_walk"))
        with pytest.raises(SchemaError, match="does not see flowdsl's tables"):
            shop.client.trigger(shop.workflow, "b", Thing(), session=session)
    own.dispose()

    assert shop.announced() == ["a"]
    assert handle.run().object == Thing("ü")


def test_a_session_over_a_driver_that_flowdsl_does_not_know_is_refused(postgresql: Shop) -> None:
    url = sa.make_url(postgresql.url).set(drivername="postgresql+pg8000")
    unknown = sa.create_engine(url, module=SimpleNamespace(__version__="1.31.0", paramstyle="format"))
    with Session(unknown) as session, pytest.raises(ConfigurationError, match="does not write through pg8000") as caught:
        postgresql.client.trigger(postgresql.workflow, "a", Thing(), session=session)

    assert "Use a session over postgresql+psycopg; in place of an AsyncSession a Session, in a thread." in str(caught.value)


def test_a_session_that_does_not_see_the_tables_is_told_from_a_store_without_them(postgresql: Shop, tmp_path: Path) -> None:
    client = postgresql.client
    with sql_database("postgresql", tmp_path) as elsewhere:
        other = sa.create_engine(elsewhere)
        with Session(other) as session, pytest.raises(SchemaError) as caught:
            client.trigger(postgresql.workflow, "a", Thing(), session=session)
        other.dispose()

    assert str(caught.value).startswith(f"the session's connection, {elsewhere}, does not see flowdsl's tables: ")
    assert "has its search_path" in str(caught.value)
    assert "db upgrade" not in str(caught.value)


# -- AsyncSession ----------------------------------------------------------------------------------------------------------------


class AsyncShop:
    """The shop of one asynchronous driver."""

    def __init__(self, shop: Shop, driver: str) -> None:
        self.shop = shop
        self._url = sa.make_url(shop.url).set(drivername=ASYNC_DRIVERS[driver])
        self._arguments: dict[str, Any] = {}
        if driver == "asyncpg":  # it does not read `options`
            path = str(self._url.query["options"]).partition("search_path=")[2]
            self._url = self._url.difference_update_query(["options"])
            self._arguments = {"server_settings": {"search_path": path}}

    @asynccontextmanager
    async def sessions(self) -> AsyncIterator[Callable[[], AsyncSession]]:
        from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine  # asks for greenlet

        engine = create_async_engine(self._url, connect_args=self._arguments)
        try:
            yield lambda: AsyncSession(engine)
        finally:
            await engine.dispose()


@pytest.fixture(params=ASYNC_DRIVERS)
def driven(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AsyncShop]:
    pytest.importorskip("greenlet")
    pytest.importorskip(request.param)
    with ExitStack() as stack:
        yield AsyncShop(Shop("sqlite" if request.param == "aiosqlite" else "postgresql", tmp_path, stack), request.param)


def test_an_async_session_starts_runs_with_its_commit_or_not_at_all(driven: AsyncShop) -> None:
    shop = driven.shop
    thing = Thing('say "ü" \\ {}')

    async def main() -> None:
        async with driven.sessions() as new:
            async with new() as session:
                await client.aio.trigger(shop.workflow, "undone", Thing(), session=session)
                await session.rollback()
                handle = await client.aio.trigger(
                    shop.workflow, "a", thing, session=session, idempotency_key="k", tags=["x"], metadata={"y": "z"}, priority=3
                )
                again = await client.aio.trigger(shop.workflow, "b", Thing(), session=session, idempotency_key="k")
                assert (again.run_id, again.created) == (handle.run_id, False)
                with pytest.raises(WorkflowInProgressError):
                    await client.aio.trigger(shop.workflow, "a", Thing(), session=session)
                assert shop.store.lookup([handle.run_id]) == {}
                await session.commit()
            async with new() as session, session.begin(), session.begin_nested():
                await client.aio.trigger(shop.workflow, "c", Thing(), session=session)

    client = shop.client
    asyncio.run(main())  # which waits for the threads that publish

    assert shop.announced() == ["a", "c"]
    assert "MainThread" not in shop.broker.threads  # the loop's
    with shop.engine() as engine:
        handle = engine.latest(shop.workflow, "a")
        record = handle.record()
        assert (handle.run().object, record.tags, record.metadata, record.priority) == (thing, ("x",), {"y": "z"}, 3)
        engine.run_until_idle()
        assert handle.record().state is RunState.COMPLETED


def test_what_an_async_session_is_told_about_when_it_is_passed_wrongly(driven: AsyncShop) -> None:
    shop = driven.shop
    said: list[str] = []

    async def main() -> None:
        async with driven.sessions() as new, new() as session:
            wrong: Any = session
            with pytest.raises(BlockingCallError) as blocking:
                await session.run_sync(lambda inner: client.trigger(shop.workflow, "a", Thing(), session=inner))
            with pytest.raises(ConfigurationError) as inner:
                await client.aio.trigger(shop.workflow, "a", Thing(), session=session.sync_session)
            with pytest.raises(ConfigurationError) as outside:
                await asyncio.to_thread(client.trigger, shop.workflow, "a", Thing(), session=wrong)
            said.extend(str(caught.value) for caught in (blocking, inner, outside))

    client = shop.client
    asyncio.run(main())

    assert [text.partition("Write ")[2] for text in said] == ["`await engine.aio.trigger(..., session=async_session)`."] * 3


def test_an_async_session_that_does_not_see_the_tables_is_told_so(driven: AsyncShop, tmp_path: Path) -> None:
    shop = driven.shop

    async def main() -> None:
        async with driven.sessions() as new, new() as session:
            await session.execute(sa.text("ALTER TABLE flowdsl_run RENAME TO flowdsl_walk"))
            await client.aio.trigger(shop.workflow, "a", Thing(), session=session)

    client = shop.client
    client.runs()  # the store is open
    with pytest.raises(SchemaError, match="does not see flowdsl's tables"):
        asyncio.run(main())
