"""Hearing of rows that another store committed."""

from __future__ import annotations

import contextlib
import os
import queue
import resource
import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from flowdsl.model.change import StartRun
from flowdsl.model.instance import Instance
from flowdsl.model.pending import NewRow
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.contracts.samples import NAMESPACE, World
from flowdsl_sql.notes import MAX_NOTE, read_note
from flowdsl_sql.record_store import SqlRecordStore, open_store
from tests.services import sql_database

PATIENCE = 30.0
SELECTABLE = 1024
"""What select() can wait for is numbered below that."""
Heard = queue.Queue[Sequence[str]]


@pytest.fixture(params=["sqlite", "postgresql"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[SqlRecordStore, SqlRecordStore]]:
    """Two on one database: what one commits, the other can only hear through it. MariaDB has no way to tell."""
    with sql_database(request.param, tmp_path) as url:
        first, second = open_store(url, migrate=True), open_store(url)
        yield first, second
        first.close()
        second.close()


def world_of(store: SqlRecordStore) -> World:
    return World(store, ManualClock(), os.urandom(4).hex())


def test_rows_for_anybody_are_heard_of_and_those_handed_off_are_not_needed(stores: tuple[SqlRecordStore, SqlRecordStore]) -> None:
    ours, theirs = stores
    heard: Heard = queue.Queue()
    end = ours.listen(NAMESPACE, heard.put)
    world = world_of(theirs)

    world.started()
    assert heard.get(timeout=PATIENCE) in (["orders/created"], ())
    end()


def test_freed_rows_are_heard_of(stores: tuple[SqlRecordStore, SqlRecordStore]) -> None:
    ours, theirs = stores
    world = world_of(theirs)
    owner = world.owner()
    run = world.new_id()
    world.started(run_id=run, row=NewRow(row_id=run, topic="orders/created", owner=owner))
    heard: Heard = queue.Queue()
    end = ours.listen(NAMESPACE, heard.put)

    theirs.leave(NAMESPACE, owner)
    assert heard.get(timeout=PATIENCE) in (["orders/created"], ())

    assert theirs.beat(NAMESPACE, Instance(owner="other"), timedelta(seconds=30))
    (claimed,) = world.claim("other")
    assert claimed.row.run_id == run
    while not heard.empty():
        heard.get()
    theirs.free_lapsed(NAMESPACE, ["other"])
    assert heard.get(timeout=PATIENCE) in (["orders/created"], ())
    end()


def test_more_topics_than_a_note_holds_wake_for_any(stores: tuple[SqlRecordStore, SqlRecordStore]) -> None:
    ours, theirs = stores
    heard: Heard = queue.Queue()
    end = ours.listen(NAMESPACE, heard.put)
    world = world_of(theirs)
    topics = [f"{number:03}{'t' * 200}" for number in range(MAX_NOTE // 200 + 1)]
    changes: list[StartRun] = []
    for topic in topics:
        run = world.new_id()
        changes.append(world.start(run_id=run, row=NewRow(row_id=run, topic=topic)))
    theirs.commit(changes)

    assert list(heard.get(timeout=PATIENCE)) == []
    end()


def test_a_listener_that_fails_costs_the_others_nothing(stores: tuple[SqlRecordStore, SqlRecordStore]) -> None:
    ours, _ = stores
    heard: Heard = queue.Queue()

    def fail(_: Sequence[str]) -> None:
        raise RuntimeError("a bad listener")

    ends = [ours.listen(NAMESPACE, fail), ours.listen(NAMESPACE, heard.put)]
    world_of(ours).started()
    assert list(heard.get(timeout=PATIENCE)) == ["orders/created"]
    for end in ends:
        end()
        end()


def test_nobody_listens_after_the_end(stores: tuple[SqlRecordStore, SqlRecordStore]) -> None:
    before = set(threading.enumerate())
    end = stores[0].listen(NAMESPACE, lambda _: None)
    assert set(threading.enumerate()) - before
    end()

    assert set(threading.enumerate()) - before == set()


def test_a_note_reads_as_it_was_written() -> None:
    assert read_note('["sender","name\\nspace","w/a","w/b"]') == ("sender", "name\nspace", ["w/a", "w/b"])


def test_a_process_with_very_many_open_files_hears_as_well(
    stores: tuple[SqlRecordStore, SqlRecordStore], caplog: pytest.LogCaptureFixture
) -> None:
    ours, theirs = stores
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 2 * SELECTABLE:
        pytest.skip("this process may not open so many files")
    with contextlib.ExitStack() as held:
        for _ in range(SELECTABLE):
            held.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        heard: Heard = queue.Queue()
        end = ours.listen(NAMESPACE, heard.put)
        world_of(theirs).started()
        assert heard.get(timeout=PATIENCE) in (["orders/created"], ())
        end()
    assert not caplog.records
