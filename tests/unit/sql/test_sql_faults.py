"""What goes wrong between this process and its database."""

from __future__ import annotations

import os
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from flowdsl.errors import StoreError, StoreUnavailableError
from flowdsl.model.change import CommitOutcome, CommitResult, FailRow, MoveRun, PutItems, Refusal
from flowdsl.model.instance import Instance
from flowdsl.model.item import NewItem
from flowdsl.model.pending import NewRow, TopicQuota
from flowdsl.model.record import Payload
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.contracts.samples import NAMESPACE, World
from flowdsl_sql import database as database_module
from flowdsl_sql.connect import parse
from flowdsl_sql.database import Session
from flowdsl_sql.errors import Trouble, diagnose
from flowdsl_sql.record_store import SqlRecordStore, open_store
from tests.services import SQL_DATABASES, sql_database

APPLIED, ALREADY, LOST = CommitOutcome.APPLIED, CommitOutcome.ALREADY_APPLIED, CommitOutcome.LOST


@pytest.fixture(params=SQL_DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with sql_database(request.param, tmp_path) as found:
        if request.param == "postgresql":  # a name by which the server can tell this test's connections from others'
            found = f"{found}&application_name={uuid.uuid4().hex}"
        open_store(found, migrate=True).close()
        yield found


@pytest.fixture
def store(url: str) -> Iterator[SqlRecordStore]:
    store = open_store(url)
    yield store
    store.close()


@pytest.fixture
def world(store: SqlRecordStore) -> World:
    return World(store, ManualClock(), os.urandom(4).hex())


class Faults:
    """Makes the nth transaction from now fail at its commit: before it is sent, or after the database did it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.commits = 0
        self.raised = 0
        self._plan: dict[int, tuple[str, Callable[[Session], None]]] = {}
        monkeypatch.setattr(Session, "commit", self._faulty(Session.commit))
        monkeypatch.setattr(Session, "commit_alone", self._faulty(Session.commit_alone))

    def _faulty(self, commit: Callable[..., Any]) -> Callable[..., Any]:
        def faulty(session: Session, *arguments: Any) -> Any:
            self.commits += 1
            when, fault = self._plan.get(self.commits, ("", _nothing))
            if when == "before":
                self.raised += 1
                fault(session)
            answer = commit(session, *arguments)
            if when == "after":
                self.raised += 1
                fault(session)
            return answer

        return faulty

    def lose_answers(self, *numbers: int) -> None:
        self._plan.update({self.commits + number: ("after", break_connection) for number in numbers})

    def break_before(self, *numbers: int) -> None:
        self._plan.update({self.commits + number: ("before", break_connection) for number in numbers})

    def conflict(self, *numbers: int) -> None:
        self._plan.update({self.commits + number: ("before", deadlock) for number in numbers})


def _nothing(_: Session) -> None:
    """No fault."""


def break_connection(session: Session) -> None:
    """As if the network had: the connection is of no use, and the driver says so."""
    driver = session._driver
    if session.dialect.name == "postgresql":
        driver.close()
        driver.execute("SELECT 1")
    if session.dialect.name == "mysql":
        driver._force_close()
        driver.query("SELECT 1")
    raise OSError("the disk did not answer")


def deadlock(session: Session) -> None:
    """As if the server had chosen this transaction as a victim."""
    if session.dialect.name == "postgresql":
        session.execute("DO $$ BEGIN RAISE deadlock_detected; END $$")
    if session.dialect.name == "mysql":
        session.execute("SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213")
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    raise error


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch, world: World) -> Faults:
    return Faults(monkeypatch)


def test_a_lost_answer_to_a_commit_is_resolved_by_looking(world: World, faults: Faults) -> None:
    start = world.start("order-1")
    faults.lose_answers(1)
    assert world.commit(start).outcome is ALREADY
    record = world.run(start.run_id)

    move = world.move(record, "paid")
    faults.lose_answers(1)
    result = world.commit(move)
    assert (result.outcome, result.at, result.state) == (ALREADY, world.run(start.run_id).updated_at, move.to_state)

    owner = world.owner()
    claimed = world.claim_one(owner, "orders/paid")
    fail = FailRow(change_id="c", row_id=start.run_id, owner=owner, delivery=claimed.row.delivery, error="e", delay=timedelta(0))
    faults.lose_answers(1)
    assert world.commit(fail).outcome is ALREADY

    put = PutItems(change_id="p", namespace=NAMESPACE, items=(NewItem(kind="k", key="k"),))
    faults.lose_answers(1)
    assert world.commit(put).outcome is ALREADY

    (row,) = world.store.rows([start.run_id])
    assert (faults.raised, row.attempts, world.run(start.run_id).version) == (4, 1, 2)
    assert [entry.version for entry in world.store.history(start.run_id)] == [1, 2]


def test_a_connection_that_breaks_before_the_commit_is_replaced(world: World, faults: Faults) -> None:
    faults.break_before(1, 2)
    result = world.commit(world.start("order-1"))

    assert (faults.raised, result.outcome) == (2, APPLIED)


def test_a_database_that_stays_away_is_an_error_and_changes_nothing(world: World, faults: Faults) -> None:
    start = world.start("order-1")
    faults.break_before(*range(1, 20))
    with pytest.raises(StoreUnavailableError):
        world.commit(start)

    assert faults.raised == database_module.CONNECTION_TRIES
    assert world.store.lookup([start.run_id]) == {}


def test_an_error_amid_a_transaction_holds_nobody_up_for_as_long_as_it_is_remembered(store: SqlRecordStore, world: World) -> None:
    """A traceback keeps alive what the error came through, an open statement among it; SQLite's lock goes with the last."""
    first, second = world.start(), world.start()

    def work(session: Session) -> None:
        session.run("UPDATE flowdsl_run SET metadata = NULL WHERE run_id = ?", (first.run_id,))
        session.execute("SELECT run_id FROM flowdsl_run")
        raise ValueError("amid it")

    assert [result.outcome for result in store.commit([first, second])] == [APPLIED, APPLIED]
    with pytest.raises(ValueError, match="amid it") as remembered:
        store._database.write(work)

    assert world.commit(world.start()).outcome is APPLIED
    assert remembered.value.__traceback__ is not None


def test_a_deadlock_is_tried_again_and_nobody_hears_of_it(world: World, faults: Faults) -> None:
    faults.conflict(1, 2, 3)
    results = world.store.commit([world.start(), world.start()])

    assert [result.outcome for result in results] == [APPLIED, APPLIED]
    assert faults.commits == 4


def test_conflicts_without_end_are_an_error(world: World, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowdsl_sql.database.time.sleep", lambda _: None)
    faults.conflict(*range(1, 100))
    with pytest.raises(StoreUnavailableError, match="met a conflict 10 times"):
        world.commit(world.start())

    assert faults.commits == database_module.TRIES


def test_rows_claimed_by_a_claim_whose_answer_was_lost_are_not_forgotten(
    world: World, faults: Faults, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.started()
    world.started()
    owner = world.owner()
    if url.startswith("postgresql"):  # one statement without a transaction around it
        lose_the_next_claim(monkeypatch, "RECURSIVE")
    else:
        faults.lose_answers(1)
    claimed = world.claim(owner)

    assert len(claimed) == 2
    assert {entry.row.delivery for entry in claimed} == {1}
    assert not world.claim(owner)


def test_rows_of_a_claim_that_never_got_an_answer_come_with_the_next(
    world: World, faults: Faults, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setattr(database_module, "CONNECTION_TRIES", 1)
    first, second = world.started(), world.started()
    owner = world.owner()
    if url.startswith("postgresql"):
        lose_the_next_claim(monkeypatch, "RECURSIVE")
    else:
        faults.lose_answers(1)
    with pytest.raises(StoreUnavailableError):
        world.claim(owner, limit=1)

    claimed = world.claim(owner)

    assert {entry.row.run_id for entry in claimed} == {first.run_id, second.run_id}
    assert {entry.row.delivery for entry in claimed} == {1}
    assert not world.claim(owner)

    third = world.started()
    if url.startswith("postgresql"):
        lose_the_next_claim(monkeypatch, "FOR UPDATE OF d")
    else:
        faults.lose_answers(1)
    with pytest.raises(StoreUnavailableError):
        world.store.claim_rows(NAMESPACE, owner, [third.run_id])
    assert [entry.row.run_id for entry in world.store.claim_rows(NAMESPACE, owner, ["unknown"])] == [third.run_id]


def lose_the_next_claim(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """On PostgreSQL a claim is one statement and no transaction of ours. In: what is in it, and in no other."""
    execute = Session.execute
    left = [True]

    def faulty(session: Session, sql: str, parameters: Any = None) -> Any:
        answer = execute(session, sql, parameters)
        if left and text in sql:
            left.clear()
            break_connection(session)
        return answer

    monkeypatch.setattr(Session, "execute", faulty)


def test_data_that_the_database_refuses_is_refused_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should the library's own limits ever let pass what a database cannot hold."""
    monkeypatch.setattr("flowdsl_sql.commit.unfit", lambda change: None)
    no_text = world.start("lone \ud800 surrogate")
    no_number = world.start("priority", row=NewRow(row_id="row", topic="t", priority=2**80))
    good = [world.start() for _ in range(7)]
    changes = [good[0], no_text, *good[1:5], no_number, good[5], good[6]]
    results = dict(zip([change.run_id for change in changes], world.store.commit(changes), strict=True))

    assert {results[change.run_id].outcome for change in good} == {APPLIED}
    for change in (no_text, no_number):
        result: CommitResult = results[change.run_id]
        assert (result.outcome, result.refusal) == (CommitOutcome.REFUSED, Refusal.BAD_DATA)
        assert result.detail


def test_threads_that_move_the_same_runs_in_opposite_order_all_end(world: World, url: str) -> None:
    runs = [world.started() for _ in range(12)]
    errors: list[BaseException] = []

    def work(backwards: bool) -> None:
        store = open_store(url)
        try:
            for _ in range(15):
                found = store.lookup([run.run_id for run in runs])
                changes: list[MoveRun] = [world.move(found[run.run_id], "again") for run in runs]
                store.commit(changes[::-1] if backwards else changes)
        except BaseException as error:
            errors.append(error)
        finally:
            store.close()

    threads = [threading.Thread(target=work, args=(number % 2 == 0,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    for run in runs:
        assert len(world.store.history(run.run_id)) == world.run(run.run_id).version


def test_a_forked_child_has_connections_of_its_own(world: World, store: SqlRecordStore) -> None:
    world.started("before")
    mine = world.start("by the child")
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if world.commit(mine).outcome is APPLIED else 1)
        except BaseException:
            os._exit(2)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert store.lookup([mine.run_id])[mine.run_id].foreign_id == "by the child"
    assert world.commit(world.start("after")).outcome is APPLIED


@pytest.mark.parametrize("url", ["postgresql", "mariadb"], indirect=True)
def test_connections_that_the_server_closed_are_replaced_unseen(world: World, url: str) -> None:
    record = world.started()
    kill_connections(url)
    assert world.run(record.run_id) == record
    kill_connections(url)
    assert world.commit(world.move(record, "paid")).outcome is APPLIED
    kill_connections(url)
    assert world.store.beat(NAMESPACE, Instance(owner="o"), timedelta(seconds=9))
    kill_connections(url)
    assert len(world.store.claim(NAMESPACE, "o", [TopicQuota("orders/paid", 5)])) == 1


def kill_connections(url: str) -> None:
    """End every connection that the store has to the server."""
    engine = sqlalchemy.create_engine(parse(url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        if url.startswith("postgresql"):
            name = parse(url).query["application_name"]
            mine = sqlalchemy.text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = :name AND pid <> pg_backend_pid()"
            )
            connection.execute(mine, {"name": name})
        else:
            query = "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
            for (number,) in connection.exec_driver_sql(query).all():
                connection.exec_driver_sql(f"KILL {number}")
    engine.dispose()


def test_a_closed_store_says_so(store: SqlRecordStore, world: World) -> None:
    record = world.started()
    store.close()
    store.close()

    for call in (lambda: world.commit(world.start()), lambda: store.lookup([record.run_id]), store.now):
        with pytest.raises(StoreError, match="closed"):
            call()


def test_a_value_that_cannot_be_sent_is_trouble_with_data() -> None:
    with pytest.raises(UnicodeEncodeError) as caught:
        "\ud800".encode()

    assert diagnose(caught.value) is Trouble.DATA


def test_a_large_object_is_kept_as_it_is(world: World) -> None:
    data = os.urandom(1024 * 1024)
    start = world.start(payload=Payload(data))

    assert world.commit(start).outcome is APPLIED
    assert world.run(start.run_id).payload == Payload(data)
