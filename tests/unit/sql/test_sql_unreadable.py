"""Stored values that no code of ours has written: they hold up nothing but the run that has them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from flowdsl.errors import StoreError, StoreUnavailableError
from flowdsl.model.query import RunQuery
from flowdsl.model.run_state import RunState
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.contracts.samples import NAMESPACE, TTL, World
from flowdsl_sql.record_store import SqlRecordStore, open_store
from flowdsl_sql.unreadable import PUT_OFF
from tests.services import SQL_DATABASES, sql_database

DAMAGE = {
    "a state that there is not": "UPDATE flowdsl_run SET state = 99 WHERE run_id = :run",
    "metadata that are no JSON": "UPDATE flowdsl_run SET metadata = 'oops' WHERE run_id = :run",
    "tags of another shape": "UPDATE flowdsl_run SET tags = '{}' WHERE run_id = :run",
    "a year that nobody will see": "UPDATE flowdsl_run SET created = 9000000000000000000 WHERE run_id = :run",
}


@pytest.fixture(params=SQL_DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with sql_database(request.param, tmp_path) as found:
        open_store(found, migrate=True).close()
        yield found


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(url: str, clock: ManualClock) -> Iterator[SqlRecordStore]:
    store = open_store(url, clock=clock)
    yield store
    store.close()


@pytest.fixture
def world(store: SqlRecordStore, clock: ManualClock) -> World:
    return World(store, clock, "w")


def damage(url: str, statement: str, run_id: str) -> None:
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(statement), {"run": run_id})
    engine.dispose()


def asked(url: str, query: str, run_id: str) -> Any:
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        row = connection.execute(sqlalchemy.text(query), {"run": run_id}).one()
    engine.dispose()
    return tuple(row)


@pytest.mark.parametrize("statement", DAMAGE.values(), ids=DAMAGE.keys())
def test_one_run_that_cannot_be_read_holds_up_no_other(
    url: str, world: World, statement: str, caplog: pytest.LogCaptureFixture
) -> None:
    before, damaged, after = (world.started(metadata={"a": "b"}, tags=("t",)) for _ in range(3))
    damage(url, statement, damaged.run_id)
    owner = world.owner()
    with caplog.at_level(logging.ERROR, "flowdsl.sql"):
        claimed = world.claim(owner)
    assert [entry.row.run_id for entry in claimed] == [before.run_id, after.run_id]
    assert damaged.run_id in caplog.text
    assert world.claim(owner) == [], "it is put off, not claimed again and again"
    owned, attempts, error = asked(
        url, "SELECT owner, attempts, last_error FROM flowdsl_pending WHERE row_id = :run", damaged.run_id
    )
    assert (owned, attempts) == (None, 1)
    assert "cannot be read" in error


def test_it_is_tried_again_later_and_goes_on_when_somebody_has_mended_it(url: str, world: World) -> None:
    record = world.started()
    damage(url, "UPDATE flowdsl_run SET state = 99 WHERE run_id = :run", record.run_id)
    assert world.claim(world.owner()) == []
    damage(url, "UPDATE flowdsl_run SET state = 1 WHERE run_id = :run", record.run_id)
    world.clock.advance(PUT_OFF - timedelta(seconds=1))
    assert world.claim(world.owner()) == []
    world.clock.advance(timedelta(seconds=1))
    assert world.claim_one(world.owner()).run == record


def test_an_event_s_row_that_cannot_be_read_is_put_off_too(url: str, world: World) -> None:
    damaged, fine = world.started(), world.started()
    damage(url, "UPDATE flowdsl_run SET state = 99 WHERE run_id = :run", damaged.run_id)
    claimed = world.store.claim_rows(NAMESPACE, world.owner(), [damaged.run_id, fine.run_id])
    assert [entry.row.run_id for entry in claimed] == [fine.run_id]
    (owned,) = asked(url, "SELECT owner FROM flowdsl_pending WHERE row_id = :run", damaged.run_id)
    assert owned is None


def test_rows_that_cannot_even_be_put_off_cost_the_others_nothing(
    url: str, world: World, store: SqlRecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged, fine = world.started(), world.started()
    damage(url, "UPDATE flowdsl_run SET state = 99 WHERE run_id = :run", damaged.run_id)

    def away(_: object) -> None:
        raise StoreUnavailableError("the database is away.")

    owner = world.owner()
    monkeypatch.setattr(store._claims, "_put_off", away)
    assert [entry.row.run_id for entry in world.claim(owner)] == [fine.run_id]
    monkeypatch.undo()
    world.clock.advance(2 * TTL)
    assert store.free_lapsed(NAMESPACE) == 2, "both come back when their owner is gone"


def test_whoever_asks_for_it_is_told_which_run_it_is_and_what_to_do(url: str, world: World) -> None:
    record = world.started()
    damage(url, "UPDATE flowdsl_run SET state = 99 WHERE run_id = :run", record.run_id)
    for ask in (
        lambda: world.run(record.run_id),
        lambda: world.store.latest(NAMESPACE, record.workflow, record.foreign_id),
        lambda: world.store.runs(RunQuery()),
    ):
        with pytest.raises(StoreError, match=f"run {record.run_id} holds stored values .* mend its row in flowdsl_run"):
            ask()


def test_the_sweeper_passes_it_over(url: str, world: World) -> None:
    damaged, bare = world.started(row=None), world.started(row=None)
    damage(url, "UPDATE flowdsl_run SET metadata = 'oops' WHERE run_id = :run", damaged.run_id)
    assert list(world.store.unattended(NAMESPACE, "orders", ["created"], "", 10)) == [bare]


def test_a_history_with_states_that_only_newer_code_knows_can_be_read(url: str, world: World) -> None:
    record = world.started()
    damage(url, "UPDATE flowdsl_history SET to_state = 99 WHERE run_id = :run", record.run_id)
    (row,) = world.store.history(record.run_id)
    assert (row.to_state, row.to_status) == (RunState.UNKNOWN, record.status)
