"""Whatever bytes or text come from outside, a decoder makes something of it or refuses it with its own error."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import flowdsl_etcd.address
import flowdsl_kafka.address
import flowdsl_kombu.address
import flowdsl_redis.link
import flowdsl_sql.connect
from flowdsl import cron
from flowdsl.cli.dead_letter_view import _body as shown_body
from flowdsl.cli.timeline_view import _object as shown_object
from flowdsl.dsl.codec import ObjectCodec
from flowdsl.dsl.event_body import BodyDecoder
from flowdsl.engine.kept_callback import KeptCallback
from flowdsl.errors import ConfigurationError, FlowError, PayloadError, TimetableError, UnreadableEventError
from flowdsl.model import wire
from flowdsl.model.event import Event
from flowdsl.model.query import Cursor, QueryError
from flowdsl.model.reading import Message, UnreadableMessageError, json_field
from flowdsl.model.record import Payload

MOMENT = datetime(2026, 3, 1, tzinfo=UTC)
DEEP = b"[" * 100_000


@dataclass
class Order:
    total: float
    notes: dict[str, list[int]] = field(default_factory=dict)


EVENT = wire.encode(
    Event(
        event_id="e",
        topic="orders/paid",
        namespace="default",
        workflow="orders",
        foreign_id="o",
        run_id="r",
        row_id="r",
        version=1,
        created_at=MOMENT,
    )
)
KEPT = b'{"data": "aGVsbG8=", "actor": "a", "task": "t"}'
ORDER = b'{"total": 1.5, "notes": {"a": [1]}}'
codec: ObjectCodec[Order] = ObjectCodec(Order)
body = BodyDecoder(Order, None, "here")
DECODERS: list[tuple[str, Callable[[bytes], object], type[FlowError], bytes]] = [
    ("event", wire.decode, UnreadableEventError, EVENT),
    ("bundle", wire.decode_bundle, UnreadableEventError, EVENT),
    ("kept callback", KeptCallback.of, PayloadError, KEPT),
    ("object", lambda data: codec.decode(Payload(data)), PayloadError, ORDER),
    ("rewritten object", lambda data: codec.rewritten(Payload(data), lambda raw: raw), PayloadError, ORDER),
    ("field of a message", lambda data: json_field("total")(Message(body=data)), UnreadableMessageError, ORDER),
    ("body", body.decode, PayloadError, ORDER),
]


@st.composite
def damaged(draw: st.DrawFn) -> tuple[int, bytes]:
    """A decoder's number; a message of its own of which a piece was replaced, or any bytes at all."""
    number = draw(st.integers(0, len(DECODERS) - 1))
    whole = DECODERS[number][3]
    begin = draw(st.integers(0, len(whole)))
    end = draw(st.integers(begin, len(whole)))
    piece = draw(
        st.binary(max_size=8) | st.sampled_from([b"null", b"1e999", b'"\\ud800"', b"[[", b"{}", b"-1", b'"', b"9" * 400])
    )
    return number, draw(st.sampled_from([whole[:begin] + piece + whole[end:], piece, whole + piece]))


@example((2, b'{"total": 1.5, "\x80notes": {"a": [1]}}'))
@given(damaged())
def test_any_bytes_are_decoded_or_refused(case: tuple[int, bytes]) -> None:
    number, data = case
    _, decode, error, _ = DECODERS[number]
    try:
        decode(data)
    except error:
        return


@given(damaged())
@example((0, b'{"\x80": 1}'))
@example((0, DEEP))
def test_whatever_was_stored_is_shown(case: tuple[int, bytes]) -> None:
    _, data = case

    assert shown_object(Payload(data)) is not None
    assert shown_body(data) is not None


@pytest.mark.parametrize(("name", "decode", "error", "whole"), DECODERS, ids=[name for name, *_ in DECODERS])
def test_what_a_decoder_was_made_for_it_reads(
    name: str, decode: Callable[[bytes], object], error: type[FlowError], whole: bytes
) -> None:
    assert decode(whole) is not None


@pytest.mark.parametrize("where", ["at once", "in a field that nobody knows"])
@pytest.mark.parametrize(("name", "decode", "error", "whole"), DECODERS, ids=[name for name, *_ in DECODERS])
def test_what_is_nested_too_deeply_is_refused(
    name: str, decode: Callable[[bytes], object], error: type[FlowError], whole: bytes, where: str
) -> None:
    with pytest.raises(error):
        decode(DEEP if where == "at once" else whole[:-1] + b', "more": ' + DEEP)


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda data: base64.urlsafe_b64encode(data).decode()))
@example(base64.urlsafe_b64encode(b'["2026-03-01T00:00:00Z", "r", ' + DEEP).decode())
@example("é")
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    try:
        assert isinstance(Cursor.decode(text), Cursor)
    except QueryError:
        return


PARSERS: dict[str, Callable[[str], Any]] = {
    "etcd": flowdsl_etcd.address.parse,
    "kafka": flowdsl_kafka.address.parse,
    "amqp": flowdsl_kombu.address.parse,
    "sqs": flowdsl_kombu.address.parse,
    "kombu+redis": flowdsl_kombu.address.parse,
    "redis": lambda url: flowdsl_redis.link.parse(url, {"prefix"}),
    "sqlite": flowdsl_sql.connect.parse,
    "postgresql+psycopg": flowdsl_sql.connect.parse,
}
SECRET = "s3cr3t-c4n4ry"


@given(st.sampled_from(sorted(PARSERS)), st.text(max_size=20) | st.text("/:@?&=#%[]0a.", max_size=20), st.text(max_size=8))
def test_any_url_is_read_or_refused_and_its_password_is_not_shown(scheme: str, rest: str, user: str) -> None:
    for url in (f"{scheme}://{rest}", f"{scheme}://{user}:{SECRET}@host{rest}"):
        complaint = ""
        try:
            PARSERS[scheme](url)
        except ConfigurationError as error:
            complaint = str(error)
        assert SECRET not in complaint


@given(st.text("0123456789*/,-?LW#@ everyhmsdMONJAN", max_size=24) | st.text(max_size=24))
def test_any_text_is_a_timetable_or_refused(text: str) -> None:
    try:
        cron.parse(text)
    except TimetableError:
        return
