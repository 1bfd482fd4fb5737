"""The connector source's contract. A subclass defines the fixture `seeded`: a function that takes events and gives a source in
which they wait."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from flowdsl.errors import StreamerError
from flowdsl.model.event import ConnectorEvent
from flowdsl.ports.connector_source import ConnectorReader, ConnectorSource

NOTHING = timedelta(milliseconds=50)
AT_ONCE = timedelta(0)
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

    def plain(self, events: Sequence[ConnectorEvent]) -> list[ConnectorEvent]:
        """Without what a source adds: that it may have given them out before, and headers of its own."""
        return [replace(event, redelivered=False, headers={"n": event.headers["n"]}) for event in events]

    def drain(self, reader: ConnectorReader, count: int) -> list[ConnectorEvent]:
        found: list[ConnectorEvent] = []
        while len(found) < count:
            got = reader.receive(count - len(found), self.patience)
            assert got, f"{len(found)} of {count} events came"
            found += got
        return found

    def test_events_arrive_as_they_are_in_the_source(self, seeded: Seeded) -> None:
        reader = seeded(self.events()).open("a")
        assert self.plain(self.drain(reader, 5)) == self.events()
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
        assert sorted(event.event_id for event in again) == ["event-1", "event-2", "event-4"]
        assert sorted(self.plain(again), key=lambda event: event.event_id) == [self.events()[n] for n in (1, 2, 4)]
        second.acknowledge(again)
        second.close()
        third = source.open("a")
        assert list(third.receive(5, NOTHING)) == []
        third.close()

    def test_a_name_has_its_own_place_where_the_source_keeps_places(self, seeded: Seeded) -> None:
        source = seeded(self.events())
        first = source.open("a")
        first.acknowledge(self.drain(first, 5))
        first.close()
        second = source.open("b")
        if source.keeps_places:
            assert len(self.drain(second, 5)) == 5
        else:
            assert list(second.receive(5, NOTHING)) == []
        second.close()

    def test_readers_that_compete_share_the_events(self, seeded: Seeded) -> None:
        source = seeded(self.events(12))
        if not source.competing:
            pytest.skip("a place of this source has one reader at a time")
        readers = [source.open("a") for _ in range(2)]
        found: list[str] = []
        idle = 0
        while len(found) < 12:
            before = len(found)
            for reader in readers:
                events = reader.receive(2, timedelta(milliseconds=500))
                reader.acknowledge(events)
                found += [event.event_id for event in events]
            idle = 0 if len(found) > before else idle + 1
            assert idle <= self.patience.total_seconds(), f"{before} of 12 events came"
        assert sorted(found) == sorted(event.event_id for event in self.events(12))
        for reader in readers:
            assert list(reader.receive(5, NOTHING)) == []
            reader.close()

    def test_no_more_than_asked_for_is_received(self, seeded: Seeded) -> None:
        reader = seeded(self.events()).open("a")
        assert list(reader.receive(0, self.patience)) == []
        assert len(reader.receive(2, self.patience)) <= 2
        assert list(reader.receive(0, AT_ONCE)) == []
        reader.close()

    def test_a_reader_goes_on_while_events_are_in_hand(self, seeded: Seeded) -> None:
        reader = seeded(self.events()).open("a")
        first = self.drain(reader, 2)
        rest = self.drain(reader, 3)
        reader.acknowledge(rest)
        reader.acknowledge(first)
        assert [event.event_id for event in [*first, *rest]] == [event.event_id for event in self.events()]
        reader.close()

    def test_a_closed_reader_says_so(self, seeded: Seeded) -> None:
        reader = seeded(self.events()).open("a")
        reader.close()
        reader.close()
        with pytest.raises(StreamerError):
            reader.receive(1, NOTHING)
