"""The connector source's contract. A subclass defines the fixture `seeded`: a function that takes events and gives a source in
which they wait."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from flowdsl.errors import StreamerError
from flowdsl.model.event import ConnectorEvent
from flowdsl.ports.connector_source import ConnectorReader, ConnectorSource

NOTHING = timedelta(milliseconds=50)
Seeded = Callable[[Sequence[ConnectorEvent]], ConnectorSource]


class ConnectorSourceContract:
    """Every rule of `flowdsl.ports.connector_source.ConnectorSource`."""

    patience = timedelta(seconds=10)

    def events(self, count: int = 5) -> list[ConnectorEvent]:
        return [
            ConnectorEvent(
                event_id=f"event-{number}",
                foreign_id=f"order-{number}",
                type="paid",
                headers={"n": str(number)},
                body=bytes([number]),
                created_at=datetime(2030, 1, 1, tzinfo=UTC),
            )
            for number in range(count)
        ]

    def drain(self, reader: ConnectorReader, count: int) -> list[ConnectorEvent]:
        found: list[ConnectorEvent] = []
        while len(found) < count:
            got = reader.receive(count - len(found), self.patience)
            assert got, f"{len(found)} of {count} events came"
            found += got
        return found

    def test_events_arrive_as_they_are_in_the_source(self, seeded: Seeded) -> None:
        reader = seeded(self.events()).open("a")
        assert self.drain(reader, 5) == self.events()
        assert list(reader.receive(5, NOTHING)) == []
        reader.close()

    def test_what_was_not_acknowledged_comes_again_to_the_next_reader_of_the_name(self, seeded: Seeded) -> None:
        source = seeded(self.events())
        first = source.open("a")
        got = self.drain(first, 5)
        first.acknowledge([got[0], got[3]])
        first.acknowledge([got[0]])
        first.close()
        second = source.open("a")
        again = self.drain(second, 3)
        assert again == [got[1], got[2], got[4]]
        second.acknowledge(again)
        second.close()
        third = source.open("a")
        assert list(third.receive(5, NOTHING)) == []
        third.close()

    def test_each_name_has_its_own_place(self, seeded: Seeded) -> None:
        source = seeded(self.events())
        for name in ("a", "b"):
            reader = source.open(name)
            reader.acknowledge(self.drain(reader, 5))
            reader.close()

    def test_no_more_than_asked_for_is_received(self, seeded: Seeded) -> None:
        reader = seeded(self.events()).open("a")
        assert len(reader.receive(2, self.patience)) <= 2
        reader.close()

    def test_a_closed_reader_says_so(self, seeded: Seeded) -> None:
        reader = seeded(self.events()).open("a")
        reader.close()
        with pytest.raises(StreamerError):
            reader.receive(1, NOTHING)
