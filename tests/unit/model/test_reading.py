"""How a foreign message is read as an event, and what becomes of one that has not what it should."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from flowdsl.model.reading import (
    Message,
    Pick,
    Reading,
    content_hash,
    first_of,
    header,
    json_field,
    message_id,
    message_type,
    routing_key,
    text,
)

NOW = datetime(2030, 1, 1, tzinfo=UTC)
EARLIER = datetime(2029, 1, 1, tzinfo=UTC)
MESSAGE = Message(
    body=b'{"order": {"id": 7, "lines": [{"sku": "a"}], "open": true, "note": null, "empty": ""}}',
    headers={"x-id": "e-1", "x-empty": ""},
    message_id="m-1",
    type="paid",
    key="orders.paid",
    sent_at=EARLIER,
)


def read(pick: Pick, message: Message = MESSAGE) -> tuple[str, str]:
    """What a pick finds as a foreign id, and the problem."""
    event = Reading(event_id=message_id, foreign_id=pick).event(message, NOW)
    return event.foreign_id, event.problem


@pytest.mark.parametrize(
    ("pick", "found"),
    [
        (header("x-id"), "e-1"),
        (json_field("order.id"), "7"),
        (json_field("order.lines.0.sku"), "a"),
        (message_id, "m-1"),
        (message_type, "paid"),
        (routing_key, "orders.paid"),
        (first_of(header("nothing"), json_field("nothing"), message_id), "m-1"),
        (lambda message: message.key.upper(), "ORDERS.PAID"),
    ],
)
def test_a_text_is_found_where_it_was_said_to_be(pick: Pick, found: str) -> None:
    assert read(pick) == (found, "")


@pytest.mark.parametrize(
    ("pick", "problem"),
    [
        (header("nothing"), "no foreign id: there is no header 'nothing'"),
        (header("x-empty"), "no foreign id: there is no pick"),
        (json_field("order.nothing"), "no foreign id: the body has no field 'order.nothing'"),
        (json_field("order.id.deeper"), "no foreign id: the body has no field 'order.id.deeper'"),
        (json_field("order.lines.5"), "no foreign id: the body has no field 'order.lines.5'"),
        (json_field("order.open"), "no foreign id: the body's field 'order.open' is neither a text nor a number"),
        (json_field("order.note"), "no foreign id: the body's field 'order.note' is neither a text nor a number"),
        (first_of(header("a"), header("b")), "no foreign id: there is no header 'a'; there is no header 'b'"),
        (lambda message: message.headers["a"], "no foreign id: KeyError: 'a'"),
        (lambda message: None, "no foreign id: there is no <lambda>"),
    ],
)
def test_what_is_not_there_is_the_events_problem(pick: Pick, problem: str) -> None:
    assert read(pick) == ("", problem)


def test_a_body_that_is_no_json_has_no_fields() -> None:
    assert read(json_field("a"), Message(body=b"\xff", message_id="m"))[1].startswith("no foreign id: the body is no JSON")


def test_an_event_has_everything_that_the_message_had() -> None:
    event = Reading(event_id=message_id, foreign_id=routing_key, type=message_type).event(MESSAGE, NOW, redelivered=True)

    assert (event.event_id, event.foreign_id, event.type) == ("m-1", "orders.paid", "paid")
    assert (event.headers, event.body, event.created_at, event.redelivered) == (MESSAGE.headers, MESSAGE.body, EARLIER, True)


def test_a_message_that_does_not_say_when_was_sent_when_it_came_and_needs_no_type() -> None:
    event = Reading(event_id=content_hash, foreign_id=content_hash, type=header("type")).event(Message(body=b"x"), NOW)

    assert (event.created_at, event.type, event.problem) == (NOW, "", "")


def test_events_without_an_id_are_told_apart_all_the_same() -> None:
    reading = Reading(event_id=message_id, foreign_id=content_hash)
    first, second = (reading.event(Message(body=b"x"), NOW) for _ in range(2))

    assert "no event id" in first.problem
    assert first.event_id != second.event_id


def test_the_content_hash_depends_on_body_and_headers_alone() -> None:
    def digest(body: bytes, **headers: str) -> str:
        return content_hash(Message(body=body, headers=headers, message_id="m", sent_at=NOW))

    assert digest(b"x", a="1", b="2") == digest(b"x", b="2", a="1")
    assert len({digest(b"x"), digest(b"y"), digest(b"x", a="1"), digest(b"x", a="2"), digest(b"xa", a="1")}) == 5


@pytest.mark.parametrize(
    ("value", "as_text"), [("ä", "ä"), (b"\xc3\xa4", "ä"), (b"\xff", "�"), (None, ""), (7, "7"), ({"a": [1]}, '{"a":[1]}')]
)
def test_header_values_become_text(value: object, as_text: str) -> None:
    assert text(value) == as_text


def test_a_value_that_json_does_not_know_becomes_text_too() -> None:
    class Strange:
        def __str__(self) -> str:
            return "strange"

    assert text(Strange()) == "strange"
