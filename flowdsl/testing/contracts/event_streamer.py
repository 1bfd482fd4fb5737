"""The event streamer's contract. A subclass defines the fixture `streamer_factory`: a function that opens another handle on the
same broker, and may set `patience`."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from flowdsl.errors import StreamerError
from flowdsl.model.event import Event
from flowdsl.model.pending import TopicQuota
from flowdsl.ports.event_streamer import EventReceiver, EventStreamer, StartFrom

NOTHING = timedelta(milliseconds=50)


class EventStreamerContract:
    """Every rule of `flowdsl.ports.event_streamer.EventStreamer`."""

    patience = timedelta(seconds=10)
    """How long a receiver waits for what must come."""

    @pytest.fixture
    def streamer(self, streamer_factory: Callable[[], EventStreamer]) -> Iterator[EventStreamer]:
        streamer = streamer_factory()
        yield streamer
        streamer.close()

    @pytest.fixture
    def topic(self) -> str:
        return f"topic-{uuid.uuid4().hex}"

    def drain(self, receiver: EventReceiver, count: int, *topics: str) -> list[Event]:
        """Exactly `count` events of these topics, unacknowledged."""
        found: list[Event] = []
        while len(found) < count:
            got = receiver.receive(ask(count - len(found), *topics), self.patience)
            assert got, f"{len(found)} of {count} events came"
            found += got
        return found

    def test_an_event_arrives_as_it_was_sent(self, streamer: EventStreamer, topic: str) -> None:
        receiver = streamer.receiver("a", [topic])
        event = make(topic, headers={"trace": "ü"}, body=bytes(range(256)), workflow="w", foreign_id="f", run_id="r", version=7)
        assert list(streamer.publish([event])) == [True]
        assert self.drain(receiver, 1, topic) == [event]
        receiver.close()

    def test_a_batch_is_confirmed_event_by_event(self, streamer: EventStreamer, topic: str) -> None:
        receiver = streamer.receiver("a", [topic])
        events = [make(topic) for _ in range(300)]
        assert list(streamer.publish(events)) == [True] * 300
        assert ids(self.drain(receiver, 300, topic)) == set(ids(events))
        assert list(streamer.publish([])) == []
        receiver.close()

    def test_each_name_gets_every_event_and_readers_of_one_name_share(self, streamer: EventStreamer, topic: str) -> None:
        one, two, other = (streamer.receiver(name, [topic]) for name in ("shared", "shared", "other"))
        events = [make(topic) for _ in range(40)]
        streamer.publish(events)
        assert ids(self.drain(other, 40, topic)) == ids(events)
        shared: list[Event] = []
        while ids(shared) != ids(events):
            for reader in (one, two):
                got = reader.receive(ask(5, topic), NOTHING)
                reader.acknowledge(got)
                shared += got
        assert len(shared) < 80, "an event may come twice while readers come and go; that each gets all is no sharing"
        for receiver in (one, two, other):
            receiver.close()

    def test_other_topics_are_not_received(self, streamer: EventStreamer, topic: str) -> None:
        receiver = streamer.receiver("a", [topic])
        streamer.publish([make(f"{topic}-other")])
        assert list(receiver.receive(ask(10, topic), NOTHING)) == []
        receiver.close()

    def test_a_receiver_may_read_several_topics(self, streamer: EventStreamer, topic: str) -> None:
        topics = [f"{topic}-{number}" for number in range(3)]
        receiver = streamer.receiver("a", topics)
        events = [make(one) for one in topics]
        streamer.publish(events)
        assert ids(self.drain(receiver, 3, *topics)) == ids(events)
        receiver.close()

    def test_what_was_not_acknowledged_comes_again_and_what_was_does_not(self, streamer: EventStreamer, topic: str) -> None:
        first = streamer.receiver("a", [topic])
        for _ in range(4):  # those that were published together may come again together
            streamer.publish([make(topic)])
        got = self.drain(first, 4, topic)
        first.acknowledge(got[:2])
        first.acknowledge(got[:1])  # twice is harmless
        first.close()
        second = streamer.receiver("a", [topic])
        again = self.drain(second, 2, topic)
        assert ids(again) == ids(got[2:])
        second.acknowledge(again)
        assert list(second.receive(ask(10, topic), NOTHING)) == []
        second.close()

    def test_nothing_of_a_batch_is_done_before_it_is_acknowledged(self, streamer: EventStreamer, topic: str) -> None:
        first = streamer.receiver("a", [topic])
        events = [make(topic) for _ in range(25)]
        assert all(streamer.publish(events))
        got = self.drain(first, 25, topic)
        for event in got[:24]:
            first.acknowledge([event])
        first.close()
        second = streamer.receiver("a", [topic])
        seen: set[str] = set()
        while got[24].event_id not in seen:
            again = self.drain(second, 1, topic)
            second.acknowledge(again)
            seen |= ids(again)
        assert seen <= ids(events)
        second.close()

    def test_a_name_keeps_its_place_while_nobody_reads(self, streamer: EventStreamer, topic: str) -> None:
        receiver = streamer.receiver("a", [topic])
        receiver.close()
        event = make(topic)
        streamer.publish([event])
        again = streamer.receiver("a", [topic], StartFrom.NOW)
        assert self.drain(again, 1, topic) == [event]
        again.close()

    def test_a_new_name_begins_where_the_kind_of_streamer_says(self, streamer: EventStreamer, topic: str) -> None:
        streamer.receiver("earlier", [topic]).close()
        old = make(topic)
        streamer.publish([old])
        oldest = streamer.receiver("late", [topic], StartFrom.OLDEST)
        now = streamer.receiver("later", [topic], StartFrom.NOW)
        new = make(topic)
        streamer.publish([new])
        expected = {old.event_id, new.event_id} if streamer.retains_history else {new.event_id}
        assert ids(self.drain(oldest, len(expected), topic)) == expected
        assert self.drain(now, 1, topic) == [new], "also what was sent before the first receive"
        oldest.close()
        now.close()

    def test_waiting_ends_with_the_timeout_or_with_an_event(
        self, streamer: EventStreamer, streamer_factory: Callable[[], EventStreamer], topic: str
    ) -> None:
        receiver = streamer.receiver("a", [topic])
        assert list(receiver.receive(ask(1, topic), timedelta(0))) == []
        other = streamer_factory()
        event = make(topic)
        sender = threading.Timer(0.05, other.publish, [[event]])
        sender.start()
        assert list(receiver.receive(ask(1, topic), self.patience)) == [event]
        sender.join()
        receiver.close()

    def test_no_more_than_asked_for_is_received(self, streamer: EventStreamer, topic: str) -> None:
        full, free = f"{topic}-full", f"{topic}-free"
        receiver = streamer.receiver("a", [full, free])
        events = [make(name) for name in (full, free) for _ in range(5)]
        streamer.publish(events)
        first = receiver.receive([TopicQuota(free, 2), TopicQuota(full, 0)], self.patience)
        assert 1 <= len(first) <= 2
        rest = self.drain(receiver, 5 - len(first), free)
        assert {event.topic for event in [*first, *rest]} == {free}, "a topic that was not asked for holds nobody up"
        assert list(receiver.receive([], NOTHING)) == []
        assert ids(self.drain(receiver, 5, full)) == ids(events[:5])
        receiver.close()

    def test_a_topic_that_the_receiver_was_not_made_for_is_refused(self, streamer: EventStreamer, topic: str) -> None:
        receiver = streamer.receiver("a", [topic])
        with pytest.raises(StreamerError, match="receiver"):
            receiver.receive(ask(1, f"{topic}-other"), NOTHING)
        receiver.close()

    def test_an_event_that_nobody_reads_is_no_failure(self, streamer: EventStreamer, topic: str) -> None:
        receiver = streamer.receiver("a", [topic])
        assert list(streamer.publish([make(topic), make(f"{topic}-unread")])) == [True, True]
        assert len(self.drain(receiver, 1, topic)) == 1
        receiver.close()

    def test_a_closed_streamer_and_a_closed_receiver_say_so(
        self, streamer_factory: Callable[[], EventStreamer], topic: str
    ) -> None:
        streamer = streamer_factory()
        receiver = streamer.receiver("a", [topic])
        receiver.close()
        receiver.close()
        with pytest.raises(StreamerError):
            receiver.receive(ask(1, topic), NOTHING)
        streamer.close()
        with pytest.raises(StreamerError):
            streamer.publish([make(topic)])


def make(topic: str, **fields: object) -> Event:
    """An event of its own."""
    defaults: dict[str, object] = {"event_id": uuid.uuid4().hex, "topic": topic, "created_at": datetime(2030, 1, 1, tzinfo=UTC)}
    return Event(**{**defaults, **fields})  # type: ignore[arg-type]


def ask(limit: int, *topics: str) -> list[TopicQuota]:
    """A quota of `limit` for each topic."""
    return [TopicQuota(topic, limit) for topic in topics]


def ids(events: Sequence[Event]) -> set[str]:
    return {event.event_id for event in events}
