"""What a step stores beside its answer: other runs, events, the user's own rows; with the transition or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.errors import ConfigurationError, RunNotFoundError, WorkflowInProgressError
from flowdsl.memory.event_streamer import MemoryEventStreamer
from flowdsl.memory.role_scheduler import MemoryRoleScheduler
from flowdsl.model.outcome import Outcome
from flowdsl.model.run_state import RunState
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.stepped import SteppedEngine
from flowdsl_sql.record_store import open_store
from tests.behaviour.world import MINUTE, World
from tests.services import sql_database


class Status(StrEnum):
    NEW = "new"
    PAID = "paid"
    DONE = "done"


@dataclass
class Thing:
    note: str = ""


Answer = Status | Outcome | None
Body = Callable[[Run[Thing, Status]], Answer]


def pair(body: Body, *, is_async: bool = False) -> tuple[Workflow[Thing, Status], Workflow[Thing, Status]]:
    """A workflow whose first step does `body`, and another that it may start runs of."""
    first = Workflow("first", object_type=Thing, status_type=Status)
    other = Workflow("other", object_type=Thing, status_type=Status, retired=[Status.PAID])
    if is_async:

        @first.step(from_=Status.NEW, to=Status.PAID)
        async def pay_async(run: Run[Thing, Status]) -> Answer:
            return body(run)
    else:

        @first.step(from_=Status.NEW, to=Status.PAID)
        def pay(run: Run[Thing, Status]) -> Answer:
            return body(run)

    @first.step(from_=Status.PAID, to=Status.DONE)
    def ship(run: Run[Thing, Status]) -> None:
        """Nothing more."""

    @other.step(from_=Status.NEW, to=Status.DONE)
    def work(run: Run[Thing, Status]) -> Answer:
        return run.pause("in the way") if run.object.note == "in the way" else None

    return first, other


def fails_once(run: Run[Thing, Status]) -> None:
    if run.attempt == 1:
        raise RuntimeError("no luck")


# -- runs ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_async", [False, True], ids=["def", "async def"])
def test_a_run_that_a_step_starts_begins_with_its_transition_and_knows_its_parent(world: World, is_async: bool) -> None:
    def body(run: Run[Thing, Status]) -> None:
        run.trigger(other, f"{run.foreign_id}-child", Thing("of a parent"))
        fails_once(run)

    first, other = pair(body, is_async=is_async)
    with world.engine(first, other) as engine:
        parent = engine.trigger(first, "a", Thing())
        engine.run_until_idle()
        with pytest.raises(RunNotFoundError):
            engine.latest(other, "a-child")

        engine.advance(MINUTE)

        child = engine.latest(other, "a-child")
        assert (child.record().state, child.record().parent_run_id) == (RunState.COMPLETED, parent.run_id)
        assert parent.record().status == "done"
        assert [row.name.rpartition(".")[2] for row in parent.history()][1:] == ["pay_async" if is_async else "pay", "ship"]


def test_where_the_other_run_cannot_start_the_step_has_failed_and_nothing_is_stored(world: World) -> None:
    def body(run: Run[Thing, Status]) -> None:
        run.object.note = "changed"
        run.trigger(other, "taken", Thing())

    first, other = pair(body)
    with world.engine(first, other) as engine:
        blocker = engine.trigger(other, "taken", Thing("in the way"))
        parent = engine.trigger(first, "a", Thing())
        engine.run_until_idle()

        (row,) = parent.pending()
        assert row.attempts == 1
        assert "has an unfinished run" in (row.last_error or "")
        assert (parent.record().status, parent.run().object.note) == ("new", "")

        blocker.cancel("enough")
        engine.advance(MINUTE)
        assert parent.record().state is RunState.COMPLETED


def test_a_start_with_an_idempotency_key_that_was_used_is_no_hindrance(world: World) -> None:
    first, other = pair(lambda run: run.trigger(other, "b", Thing(), idempotency_key="k"))
    with world.engine(first, other) as engine:
        engine.trigger(other, "b", Thing(), idempotency_key="k")
        parent = engine.trigger(first, "a", Thing())

        engine.run_until_idle()

        assert parent.record().state is RunState.COMPLETED
        assert len(engine.runs(other).runs) == 1


def test_what_a_skip_or_a_cancelled_step_asked_for_is_stored_as_the_answer_says(world: World) -> None:
    def body(run: Run[Thing, Status]) -> Answer:
        run.trigger(other, f"{run.foreign_id}-child", Thing())
        return run.skip() if run.foreign_id == "skips" else run.cancel("enough")

    first, other = pair(body)
    with world.engine(first, other) as engine:
        engine.trigger(first, "skips", Thing())
        engine.trigger(first, "cancels", Thing())
        engine.run_until_idle()

        assert [run.foreign_id for run in engine.runs(other).runs] == ["cancels-child"]


def test_a_worker_that_dies_before_the_commit_has_started_nothing(world: World) -> None:
    first, other = pair(lambda run: run.trigger(other, "child", Thing()))
    with world.engine(first, other) as engine:
        parent = engine.trigger(first, "a", Thing())
        engine.worker.dispatcher.wake_all()
        engine.worker.dispatcher.step()
        engine.crash()
    with world.engine(first, other) as heir:
        assert heir.runs(other).runs == []
        heir.advance(MINUTE)

        assert parent.record().state is RunState.COMPLETED
        assert [run.state for run in heir.runs(other).runs] == [RunState.COMPLETED]


# -- events ----------------------------------------------------------------------------------------------------------------------


def streaming(world: World, streamer: MemoryEventStreamer, *workflows: Workflow[Any, Any]) -> SteppedEngine:
    return world.engine(*workflows, streamer=streamer)


def test_an_event_is_published_once_the_transition_is_stored(world: World) -> None:
    def body(run: Run[Thing, Status]) -> None:
        run.publish("paid things", {"id": run.foreign_id, "attempt": run.attempt}, headers={"kind": "test"})
        fails_once(run)

    first, other = pair(body)
    streamer = MemoryEventStreamer(world.clock)
    with streaming(world, streamer, first, other) as engine, engine.subscribe("reader", ["paid things"]) as events:
        run = engine.trigger(first, "a", Thing())
        engine.run_until_idle()
        assert events.receive(timeout=timedelta(0)) == []

        engine.advance(MINUTE)

        (event,) = events.receive(timeout=timedelta(0))
        assert (event.topic, event.body, event.headers) == ("paid things", b'{"id":"a","attempt":2}', {"kind": "test"})
        assert (event.run_id, event.foreign_id, event.workflow) == (run.run_id, "a", "first")
        assert run.pending() == []
        events.acknowledge([event])
        assert events.receive(timeout=timedelta(0)) == []


def test_without_a_streamer_publishing_says_so(world: World) -> None:
    first, other = pair(lambda run: run.publish("x", b""))
    with world.engine(first, other) as engine:
        run = engine.trigger(first, "a", Thing())
        engine.run_until_idle()

        assert "no streamer" in (run.pending()[0].last_error or "")
        with pytest.raises(ConfigurationError, match="no streamer"):
            engine.subscribe("reader", ["x"])


# -- the user's own rows ---------------------------------------------------------------------------------------------------------

OWN = sa.MetaData()
NOTES = sa.Table("my_notes", OWN, sa.Column("id", sa.String(50), primary_key=True), sa.Column("text", sa.String(50)))


@dataclass
class Sql:
    """A store in a database that has a table of the user's, too."""

    url: str
    own: sa.Engine
    engine: Callable[..., SteppedEngine]

    @property
    def lives(self) -> bool:
        """Whether a session can be open while a step runs."""
        return not self.url.startswith("sqlite")

    def notes(self) -> list[tuple[str, str]]:
        with self.own.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.select(NOTES).order_by(NOTES.c.id))]


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def sql(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Sql]:
    with sql_database(request.param, tmp_path) as url:
        store = open_store(url, migrate=True)
        own = sa.create_engine(url)
        OWN.create_all(own)
        clock = ManualClock(store.now())
        stores = [open_store(url, clock=clock)]
        yield Sql(url, own, lambda *flows: SteppedEngine(*flows, store=stores[0], roles=MemoryRoleScheduler(clock), clock=clock))
        own.dispose()
        store.close()
        stores[0].close()


def note(name: str, text: str = "") -> Callable[[Any], Any]:
    return lambda session: session.execute(NOTES.insert().values(id=name, text=text))


@pytest.mark.parametrize("is_async", [False, True], ids=["def", "async def"])
def test_what_is_written_in_the_transaction_is_there_with_the_transition_and_only_then(sql: Sql, is_async: bool) -> None:
    def body(run: Run[Thing, Status]) -> None:
        run.in_transaction(note(run.foreign_id, f"attempt {run.attempt}"))
        fails_once(run)

    first, other = pair(body, is_async=is_async)
    with sql.engine(first, other) as engine:
        run = engine.trigger(first, "a", Thing())
        engine.run_until_idle()
        assert sql.notes() == []

        engine.advance(MINUTE)

        assert sql.notes() == [("a", "attempt 2")]
        assert run.record().state is RunState.COMPLETED


def test_a_write_that_fails_fails_the_attempt_and_stores_nothing(sql: Sql) -> None:
    def body(run: Run[Thing, Status]) -> None:
        run.object.note = "changed"
        run.in_transaction(note(f"{run.foreign_id}-{run.attempt}"))
        run.in_transaction(note("taken"))

    first, other = pair(body)
    with sql.own.begin() as connection:
        connection.execute(NOTES.insert().values(id="taken", text=""))
    with sql.engine(first, other) as engine:
        run = engine.trigger(first, "a", Thing())
        engine.run_until_idle()

        assert "IntegrityError" in (run.pending()[0].last_error or "")
        assert (run.record().version, run.run().object.note) == (1, "")
        assert sql.notes() == [("taken", "")]


def test_a_session_writes_with_the_transition_and_is_undone_with_a_failure(sql: Sql) -> None:
    def body(run: Run[Thing, Status]) -> None:
        run.session.execute(NOTES.insert().values(id=run.foreign_id, text=f"attempt {run.attempt}"))
        assert run.session.scalar(sa.select(sa.func.count()).select_from(NOTES)) == 1
        run.trigger(other, "child", Thing())
        fails_once(run)

    first, other = pair(body)
    with sql.engine(first, other) as engine:
        run = engine.trigger(first, "a", Thing())
        engine.run_until_idle()
        if not sql.lives:
            assert "run.in_transaction" in (run.pending()[0].last_error or "")
            return
        assert sql.notes() == []

        engine.advance(MINUTE)

        assert sql.notes() == [("a", "attempt 2")]
        assert run.record().state is RunState.COMPLETED
        assert engine.latest(other, "child").record().state is RunState.COMPLETED


def test_a_session_does_not_end_its_transaction_itself(sql: Sql) -> None:
    said: list[str] = []

    def body(run: Run[Thing, Status]) -> None:
        def write(session: Any) -> None:
            for end in (session.commit, session.rollback):
                with pytest.raises(ConfigurationError) as caught:
                    end()
                said.append(str(caught.value))

        run.in_transaction(write)

    first, other = pair(body)
    with sql.engine(first, other) as engine:
        engine.trigger(first, "a", Thing())
        engine.run_until_idle()

    assert [text.partition(".")[0] for text in said] == [
        "this session commits with the transition of its run",
        "this session is undone when the step fails",
    ]


def test_a_session_that_a_step_skips_with_is_undone(sql: Sql) -> None:
    if not sql.lives:
        pytest.skip("SQLite has no session while a step runs")

    def body(run: Run[Thing, Status]) -> Answer:
        run.session.execute(NOTES.insert().values(id="x", text=""))
        return run.skip()

    first, other = pair(body)
    with sql.engine(first, other) as engine:
        engine.trigger(first, "a", Thing())
        engine.run_until_idle()

    assert sql.notes() == []


def test_a_store_without_sessions_says_so(memory_world: World) -> None:
    first, other = pair(lambda run: run.in_transaction(note("x")))
    with memory_world.engine(first, other) as engine:
        run = engine.trigger(first, "a", Thing())
        engine.run_until_idle()

        assert "Use PostgreSQL or MariaDB; SQLite has run.in_transaction(fn)." in (run.pending()[0].last_error or "")


def test_a_run_is_started_in_the_callers_own_transaction_or_not_at_all(sql: Sql) -> None:
    first, other = pair(lambda run: None)
    with sql.engine(first, other) as engine:
        with Session(sql.own) as session:
            engine.trigger(first, "undone", Thing(), session=session)
            session.execute(NOTES.insert().values(id="undone", text=""))
            session.rollback()
        with Session(sql.own) as session:
            handle = engine.trigger(first, "done", Thing(), session=session)
            session.execute(NOTES.insert().values(id="done", text=""))
            session.commit()
        engine.run_until_idle()

        assert handle.record().state is RunState.COMPLETED
        assert [run.foreign_id for run in engine.runs(first).runs] == ["done"]
        assert [name for name, _ in sql.notes()] == ["done"]


def test_a_start_that_is_refused_leaves_the_callers_transaction_whole(sql: Sql) -> None:
    first, other = pair(lambda run: run.pause("wait"))
    with sql.engine(first, other) as engine:
        engine.trigger(first, "a", Thing())
        engine.run_until_idle()
        with Session(sql.own) as session:
            session.execute(NOTES.insert().values(id="kept", text=""))
            with pytest.raises(WorkflowInProgressError):
                engine.trigger(first, "a", Thing(), session=session)
            session.commit()

    assert [name for name, _ in sql.notes()] == ["kept"]


def test_a_session_of_another_kind_of_database_is_refused(sql: Sql, tmp_path: Any) -> None:
    first, other = pair(lambda run: None)
    anything: Any = object()
    foreign = sa.create_engine("sqlite://" if sql.lives else "sqlite:///other.db")
    with sql.engine(first, other) as engine:
        with pytest.raises(ConfigurationError, match="not an SQLAlchemy Session"):
            engine.trigger(first, "a", Thing(), session=anything)
        if sql.lives:
            with Session(foreign) as session, pytest.raises(ConfigurationError, match="the session is on sqlite"):
                engine.trigger(first, "a", Thing(), session=session)
    foreign.dispose()
