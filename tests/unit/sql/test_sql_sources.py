"""Somebody else's tables when rows come late, processes end, names are wrong and servers break connections."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import Column, Connection, DateTime, Integer, MetaData, String, Table

from flowdsl.errors import ConfigurationError, StreamerError
from flowdsl.model.event import ConnectorEvent
from flowdsl.model.reading import content_hash, header
from flowdsl.ports.connector_source import ConnectorReader, ConnectorSource
from flowdsl.ports.event_streamer import StartFrom
from flowdsl.testing.clock import ManualClock
from flowdsl_sql.connect import parse
from flowdsl_sql.table_log import SqlLogSource
from flowdsl_sql.table_queue import SqlQueueSource
from tests.proxy import Proxy
from tests.services import POSTGRESQL, SQL_DATABASES, postgresql_schema, sql_database

NOW = timedelta(0)
SECOND = timedelta(seconds=1)
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


class Owner:
    """The service whose table it is."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = sqlalchemy.create_engine(parse(url))
        self.clock = ManualClock()
        self.table = Table(
            f"orders_{uuid.uuid4().hex[:8]}",
            MetaData(),
            Column("id", Integer, primary_key=True),
            Column("code", String(50), unique=True),
            Column("name", String(50)),
            Column("happened", DateTime),
            Column("handled", DateTime),
            mysql_engine="InnoDB",
        )
        self.table.create(self.engine)

    def write(self, *ids: int, connection: Connection | None = None) -> None:
        rows = [{"id": number, "code": f"c-{number:04}", "name": f"o-{number}"} for number in ids]
        if connection is not None:
            connection.execute(self.table.insert(), rows)
            return
        with self.engine.begin() as own:
            own.execute(self.table.insert(), rows)

    def rows(self) -> list[tuple[int, datetime | None]]:
        with self.engine.connect() as connection:
            query = sqlalchemy.select(self.table.c.id, self.table.c.handled).order_by(self.table.c.id)
            return [(row.id, row.handled) for row in connection.execute(query)]

    def log(self, url: str | None = None, **options: Any) -> SqlLogSource:
        options = {"key": "id", "foreign_id": header("name"), "clock": self.clock, **options}
        return SqlLogSource(url or self.url, self.table.name, **options)

    def queue(self, url: str | None = None, **options: Any) -> SqlQueueSource:
        options = {"key": "id", "foreign_id": header("name"), "clock": self.clock, **options}
        return SqlQueueSource(url or self.url, self.table.name, **options)


@pytest.fixture(scope="module", params=SQL_DATABASES)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with sql_database(request.param, tmp_path_factory.mktemp("sources")) as found:
        yield found


@pytest.fixture
def owner(url: str) -> Iterator[Owner]:
    made = Owner(url)
    yield made
    made.engine.dispose()


@pytest.fixture
def opened() -> Iterator[Callable[..., ConnectorReader]]:
    readers: list[ConnectorReader] = []

    def open_(source: ConnectorSource, name: str = "courier") -> ConnectorReader:
        readers.append(source.open(name))
        return readers[-1]

    yield open_
    for reader in readers:
        reader.close()


Opened = Callable[..., ConnectorReader]


def look(owner: Owner, reader: ConnectorReader, limit: int = 100) -> list[str]:
    """What a look that is due brings, by event id."""
    owner.clock.advance(SECOND)
    return ids(reader.receive(limit, NOW))


def ids(events: Any) -> list[str]:
    return [event.event_id for event in events]


# -- a table that grows ---------------------------------------------------------------------------------------------------------


def test_rows_come_in_the_order_of_their_key_with_what_they_hold(owner: Owner, opened: Opened) -> None:
    owner.write(2, 1)
    with owner.engine.begin() as connection:
        connection.execute(owner.table.update().values(happened=NOON.replace(tzinfo=None)))
    first, second = opened(owner.log(time_column="happened")).receive(10, NOW)
    assert (first.event_id, first.foreign_id, second.event_id) == ("1", "o-1", "2")
    assert first.headers == {"id": "1", "code": "c-0001", "name": "o-1", "happened": "2030-01-01T12:00:00"}
    assert json.loads(first.body) == {
        "id": 1,
        "code": "c-0001",
        "name": "o-1",
        "happened": "2030-01-01T12:00:00",
        "handled": None,
    }
    assert first.created_at == NOON


def test_a_column_may_be_the_body_and_a_condition_choose_the_rows(owner: Owner, opened: Opened) -> None:
    owner.write(1, 2, 3)
    source = owner.log(body_column="name", foreign_id=header("code"), where=lambda table: table.c.id != 2)
    events = opened(source).receive(10, NOW)
    assert [(event.body, "name" in event.headers) for event in events] == [(b"o-1", False), (b"o-3", False)]


def test_a_row_that_commits_late_is_found(owner: Owner, opened: Opened) -> None:
    if owner.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time: rows become visible in their order")
    reader = opened(owner.log())
    with owner.engine.connect() as slow:
        transaction = slow.begin()
        owner.write(2, connection=slow)
        owner.write(1, 3, 4)
        events = reader.receive(10, NOW)
        assert ids(events) == ["1", "3", "4"]
        reader.acknowledge(events)
        owner.clock.advance(20 * SECOND)
        assert look(owner, reader) == []
        transaction.commit()
    found: list[str] = []
    for _ in range(10):
        found += look(owner, reader)
    assert found == ["2"]


def test_a_gap_that_is_never_filled_holds_nobody_up(owner: Owner, opened: Opened) -> None:
    owner.write(1, 5, 9)
    reader = opened(owner.log())
    reader.acknowledge(reader.receive(10, NOW))
    for _ in range(60):
        assert look(owner, reader) == []
    reader.close()
    owner.write(3)  # long after its time: the promise is over
    assert ids(opened(owner.log()).receive(10, NOW)) == []


def test_a_reader_goes_on_where_the_name_was_left_even_within_the_bound(owner: Owner, opened: Opened) -> None:
    owner.write(*range(1, 11))
    first = opened(owner.log())
    events = first.receive(10, NOW)
    first.acknowledge([event for event in events if event.event_id in ("1", "2", "5", "9", "10")])
    second = opened(owner.log())  # the first has died
    assert ids(second.receive(10, NOW)) == ["3", "4", "6", "7", "8"]
    owner.write(11)
    assert look(owner, second) == ["11"]
    assert ids(opened(owner.log(), "another").receive(20, NOW)) == [str(number) for number in range(1, 12)]


def test_a_new_name_may_begin_now(owner: Owner, opened: Opened) -> None:
    source = owner.log(start=StartFrom.NOW)
    owner.write(1, 2)
    reader = opened(source)
    assert ids(reader.receive(10, NOW)) == []
    owner.write(3)
    assert look(owner, reader) == ["3"]
    assert ids(opened(source).receive(10, NOW)) == ["3"]


def test_a_backlog_comes_in_bits_and_whole(owner: Owner, opened: Opened) -> None:
    owner.write(*range(1, 1201))
    reader = opened(owner.log())
    found: list[str] = []
    while events := reader.receive(100, NOW):
        found += ids(events)
        reader.acknowledge(events)
    assert found == [str(number) for number in range(1, 1201)]
    reader.close()
    assert ids(opened(owner.log()).receive(10, NOW)) == []


def test_an_empty_table_is_looked_at_now_and_then(owner: Owner, opened: Opened) -> None:
    reader = opened(owner.log(every=5 * SECOND))
    assert ids(reader.receive(10, NOW)) == []
    owner.write(1)
    owner.clock.advance(4 * SECOND)
    assert ids(reader.receive(10, NOW)) == []
    owner.clock.advance(SECOND)
    assert ids(reader.receive(10, NOW)) == ["1"]


def test_texts_may_be_keys(owner: Owner, opened: Opened) -> None:
    owner.write(1, 2, 3)
    first = opened(owner.log(key="code"))
    events = first.receive(10, NOW)
    assert ids(events) == ["c-0001", "c-0002", "c-0003"]
    first.acknowledge(events[1:])
    assert ids(opened(owner.log(key="code")).receive(10, NOW)) == ["c-0001"]


@pytest.mark.parametrize("kind", [sqlalchemy.DateTime(), sqlalchemy.Uuid(), sqlalchemy.BigInteger(), sqlalchemy.Numeric(20, 4)])
def test_keys_of_other_types_are_kept(owner: Owner, opened: Opened, kind: Any) -> None:
    known: dict[str, list[Any]] = {
        "DateTime": [NOON.replace(day=day, tzinfo=None) for day in (1, 2, 3)],
        "Uuid": [uuid.UUID(int=number) for number in (1, 2, 3)],
        "BigInteger": [2**40, 2**41, 2**42],
        "Numeric": [1, 2, 3],
    }
    values = known[type(kind).__name__]
    if owner.engine.dialect.name == "sqlite" and isinstance(kind, sqlalchemy.Numeric):
        pytest.skip("SQLite has no decimals")
    table = Table(f"keyed_{uuid.uuid4().hex[:8]}", MetaData(), Column("at", kind, primary_key=True))
    with owner.engine.begin() as connection:
        table.create(connection)
        connection.execute(table.insert(), [{"at": value} for value in values])
    source = SqlLogSource(owner.url, table.name, key="at", foreign_id=content_hash, clock=owner.clock)
    first = opened(source)
    events = first.receive(10, NOW)
    assert len(events) == 3
    first.acknowledge(events[:2])
    for _ in range(3):
        assert len(opened(source).receive(10, NOW)) == 1


def test_places_may_be_kept_elsewhere(owner: Owner, opened: Opened, tmp_path: Path) -> None:
    owner.write(1, 2)
    source = owner.log(places=f"sqlite:///{tmp_path / 'places.db'}")
    first = opened(source, f"other-{uuid.uuid4().hex}")
    first.acknowledge(first.receive(1, NOW))
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'places.db'}")
    with engine.connect() as connection:
        (row,) = connection.execute(sqlalchemy.text("SELECT name, done FROM flowdsl_source_place")).all()
    engine.dispose()
    assert (row.name.endswith(owner.table.name), row.done) == (True, "[[1,1]]")


# -- a table that is a queue -----------------------------------------------------------------------------------------------


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
    first._connection.invalidate()
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
    before = reader._connection
    owner.clock.advance(11 * SECOND)
    reader.receive(0, NOW)
    assert reader._connection is not before
    other = opened(owner.queue())
    assert ids(other.receive(10, NOW)) == []
    reader.acknowledge(events)
    assert reader._connection is None, "an empty hand holds nothing"
    assert owner.rows() == []


def test_what_another_reader_got_meanwhile_is_its_own(owner: Owner, opened: Opened) -> None:
    if not owner.queue().competing:
        pytest.skip("SQLite has one reader at a time")
    owner.write(1, 2)
    first: Any = opened(owner.queue())
    events = first.receive(10, NOW)
    first._end(commit=True)  # as for a moment between two transactions
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
