"""Somebody else's growing table: order, rows that come late, places."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from sqlalchemy import Column, MetaData, Table

from flowdsl.model.reading import content_hash, header
from flowdsl.ports.event_streamer import StartFrom
from flowdsl_sql.table_log import SqlLogSource
from tests.unit.sql.others_tables import NOON, NOW, SECOND, Opened, Owner, ids, look, opened, owner, url

__all__ = ["opened", "owner", "url"]


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
    table = Table(f"keyed_{uuid.uuid4().hex[:8]}", MetaData(), Column("at", kind, primary_key=True, autoincrement=False))
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
