"""Somebody else's table that is a queue, and what goes wrong with either kind of table."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from flowdsl.errors import ConfigurationError, StreamerError
from flowdsl.model.event import ConnectorEvent
from flowdsl.model.reading import content_hash
from flowdsl.ports.connector_source import ConnectorReader
from flowdsl_sql.connect import parse
from flowdsl_sql.table_log import SqlLogSource
from flowdsl_sql.table_queue import SqlQueueSource
from tests.proxy import Proxy
from tests.services import POSTGRESQL, postgresql_schema
from tests.unit.sql.others_tables import NOW, SECOND, Opened, Owner, ids, look, opened, owner, url

__all__ = ["opened", "owner", "url"]


@pytest.mark.parametrize("mark", [None, "handled"])
def test_rows_that_are_done_are_deleted_or_marked(owner: Owner, opened: Opened, mark: str | None) -> None:
    owner.write(1, 2, 3)
    reader = opened(owner.queue(mark=mark))
    events = reader.receive(2, NOW)
    assert ids(events) == ["1", "2"]
    reader.acknowledge(events[:1])
    at = owner.clock.now().replace(tzinfo=None)
    assert owner.rows() == ([(1, at), (2, None), (3, None)] if mark else [(2, None), (3, None)])
    assert ids(reader.receive(5, NOW)) == ["3"]


def test_rows_in_hand_are_nobody_elses_until_the_process_is_gone(owner: Owner, opened: Opened) -> None:
    if not owner.queue().competing:
        pytest.skip("SQLite has no such locks")
    owner.write(1, 2, 3, 4)
    first: Any = opened(owner.queue())
    second = opened(owner.queue())
    mine = first.receive(2, NOW)
    assert ids(second.receive(10, NOW)) == ["3", "4"]
    first.acknowledge(mine[:1])
    assert look(owner, second) == [], "what is left in the first one's hand is locked again"
    first._line.drop()
    for _ in range(100):
        if found := look(owner, second):
            break
    assert found == ["2"]


def test_the_owner_goes_on_writing_while_rows_are_in_hand(owner: Owner, opened: Opened) -> None:
    owner.write(10, 20, 30)
    reader = opened(owner.queue(mark="handled"))
    assert ids(reader.receive(2, NOW)) == ["10", "20"]
    done = threading.Event()

    def write() -> None:
        owner.write(5, 15, 25, 35)
        done.set()

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    assert done.wait(4), "a lock keeps the owner out"
    writer.join()
    assert look(owner, reader) == ["5", "15", "25", "30", "35"]


def test_a_row_that_commits_late_is_no_problem_of_a_queue(owner: Owner, opened: Opened) -> None:
    if owner.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    reader = opened(owner.queue())
    with owner.engine.connect() as slow:
        transaction = slow.begin()
        owner.write(1, connection=slow)
        owner.write(2)
        reader.acknowledge(reader.receive(10, NOW))
        owner.clock.advance(timedelta(days=1))
        transaction.commit()
    assert look(owner, reader) == ["1"]


def test_a_transaction_is_renewed_before_it_is_old(owner: Owner, opened: Opened) -> None:
    if not owner.queue().competing:
        pytest.skip("SQLite holds no transaction open")
    owner.write(1, 2)
    reader: Any = opened(owner.queue())
    events = reader.receive(10, NOW)
    before = reader._transaction
    owner.clock.advance(11 * SECOND)
    reader.receive(0, NOW)
    assert reader._transaction not in (None, before)
    other = opened(owner.queue())
    assert ids(other.receive(10, NOW)) == []
    reader.acknowledge(events)
    assert reader._transaction is None, "an empty hand holds nothing"
    assert owner.rows() == []


def test_what_another_reader_got_meanwhile_is_its_own(owner: Owner, opened: Opened) -> None:
    if not owner.queue().competing:
        pytest.skip("SQLite has one reader at a time")
    owner.write(1, 2)
    first: Any = opened(owner.queue())
    events = first.receive(10, NOW)
    first._commit()  # as for a moment between two transactions
    second = opened(owner.queue())
    assert ids(second.receive(1, NOW)) == ["1"]
    first._renew()
    first.acknowledge(events)
    assert [row[0] for row in owner.rows()] == [1], "the second one still has it"


# -- what goes wrong -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["log", "queue"])
def test_what_is_not_there_is_said(owner: Owner, kind: str) -> None:
    make: Any = owner.log if kind == "log" else owner.queue
    for options, error, says in (
        ({"key": "nothing"}, ConfigurationError, "has no column 'nothing'"),
        ({"key": "name"}, ConfigurationError, "may share their name"),
        ({"body_column": "nothing"}, ConfigurationError, "has no column 'nothing'"),
    ):
        with pytest.raises(error, match=says):
            make(**options).open("courier")
    owner.table.drop(owner.engine)
    with pytest.raises(StreamerError, match=r"there is no table .*check the name"):
        make().open("courier")


def test_what_cannot_be_is_refused_when_it_is_declared() -> None:
    kind: Any
    options: dict[str, Any]
    for kind, options in ((SqlLogSource, {"every": NOW}), (SqlLogSource, {"late": -SECOND}), (SqlQueueSource, {"every": NOW})):
        with pytest.raises(ConfigurationError):
            kind("sqlite:///x.db", "t", key="id", foreign_id=content_hash, **options)
    assert "hush" not in repr(SqlQueueSource("postgresql://u:hush@h/d", "t", key="id", foreign_id=content_hash))
    assert "hush" not in repr(SqlLogSource("postgresql://u:hush@h/d", "t", key="id", foreign_id=content_hash))


@pytest.mark.parametrize("kind", ["log", "queue"])
def test_a_reader_goes_on_after_its_connection_was_cut(kind: str) -> None:
    with postgresql_schema() as url:
        owner, proxy = Owner(url), Proxy(POSTGRESQL)
        port = int(proxy.url.rpartition(":")[2].partition("/")[0])
        through = parse(url).set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
        try:
            owner.write(1, 2)
            make: Any = owner.log if kind == "log" else owner.queue
            reader = make(through).open("courier")
            events = reader.receive(10, NOW)
            assert ids(events) == ["1", "2"]
            proxy.cut()
            found = _until(owner, reader, lambda: reader.acknowledge(events))
            owner.write(3)
            found += _until(owner, reader, lambda: None)
            assert "3" in ids(found)
            reader.close()
        finally:
            proxy.close()
            owner.engine.dispose()


def _until(owner: Owner, reader: ConnectorReader, act: Callable[[], None]) -> list[ConnectorEvent]:
    """Act and look, whatever fails meanwhile."""
    found: list[ConnectorEvent] = []
    for _ in range(5):
        try:
            act()
            owner.clock.advance(SECOND)
            found += reader.receive(10, NOW)
        except StreamerError:
            continue
    return found
