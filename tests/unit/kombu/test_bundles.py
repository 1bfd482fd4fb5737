"""Events that travel in one message."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from flowdsl.errors import UnreadableEventError
from flowdsl.model import wire
from flowdsl.model.event import Event
from flowdsl_kombu.bundles import BUNDLE, HeldMessages, bundled


def make(number: int, topic: str = "t", body: bytes = b"") -> Event:
    return Event(event_id=str(number), topic=topic, body=body, created_at=datetime(2030, 1, 1, tzinfo=UTC))


def test_events_of_a_topic_go_together_up_to_the_limit_and_none_is_left_out() -> None:
    events = [make(number, f"t{number % 2}") for number in range(4 * BUNDLE + 3)]
    found = bundled(events)
    assert sorted(place for places in found for place in places) == list(range(len(events)))
    assert all(len({events[place].topic for place in places}) == 1 for places in found)
    assert sorted(map(len, found)) == [1, 2, *[BUNDLE] * 4]
    assert all(places == sorted(places) for places in found)


def test_an_event_of_the_users_travels_alone_and_does_not_part_the_others() -> None:
    assert bundled([make(0), make(1, body=b"x"), make(2), make(3, body=b"y")]) == [[0, 2], [1], [3]]


def test_what_goes_alone_looks_as_it_always_did() -> None:
    assert wire.encode_bundle([make(1)]) == wire.encode(make(1))
    assert wire.decode_bundle(wire.encode(make(1))) == (make(1),)
    assert list(wire.decode_bundle(wire.encode_bundle([make(1), make(2)]))) == [make(1), make(2)]


@pytest.mark.parametrize("body", [b"[]", b"[1]", b'[{"event_id": "a"}]', wire.encode(make(1)).join([b"[", b",]"])])
def test_a_list_in_which_something_is_no_event_is_refused_whole(body: bytes) -> None:
    with pytest.raises(UnreadableEventError):
        wire.decode_bundle(body)


def test_one_event_is_no_list() -> None:
    with pytest.raises(UnreadableEventError, match="list"):
        wire.decode(wire.encode_bundle([make(1), make(2)]))


def test_a_message_is_done_with_the_last_of_its_events() -> None:
    held = HeldMessages()
    held.hold(1, [make(1), make(2)])
    held.hold(2, [make(3)])
    assert held.done([make(1), make(1)]) == []
    assert held.oldest == 1
    assert held.done([make(3)]) == [2]
    assert held.done([make(2), make(3)]) == [1]
    assert held.oldest is None


def test_an_event_that_came_twice_is_done_in_both_messages() -> None:
    held = HeldMessages()
    held.hold(1, [make(1), make(2), make(1)])
    held.hold(2, [make(1)])
    assert held.done([make(1)]) == [2]
    assert held.tags == [1]
    assert held.done([make(2)]) == [1]
    held.hold(3, [make(1)])
    held.forget()
    assert held.tags == []
    assert held.done([make(1)]) == []
