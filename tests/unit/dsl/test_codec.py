"""Objects survive being stored, whatever they are made of and whoever stored them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Any, TypedDict
from uuid import UUID

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowdsl.dsl.codec import ObjectCodec
from flowdsl.errors import DefinitionError, PayloadError, PayloadTooLargeError
from flowdsl.model.record import Payload


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Size(StrEnum):
    SMALL = "small"


@dataclass
class Line:
    sku: str
    price: Decimal
    amounts: dict[str, int] = field(default_factory=dict)


@dataclass
class Everything:
    text: str
    when: datetime
    day: date
    hour: time
    span: timedelta
    price: Decimal
    key: UUID
    blob: bytes
    colour: Colour
    size: Size | None
    lines: list[Line]
    by_name: dict[str, Line]
    pair: tuple[int, str]
    maybe: Line | None = None
    tags: frozenset[str] = frozenset()


class StructObject(msgspec.Struct):
    name: str
    inner: Line | None = None


@attrs.define
class AttrsObject:
    name: str
    lines: list[Line] = attrs.Factory(list)


class TypedObject(TypedDict):
    name: str
    count: int


class PydanticObject(pydantic.BaseModel):
    name: str
    price: Decimal
    when: datetime


moments = st.datetimes(timezones=st.just(UTC))
lines = st.builds(Line, sku=st.text(), price=st.decimals(allow_nan=False, allow_infinity=False, places=2))
everything = st.builds(
    Everything,
    text=st.text(),
    when=moments,
    day=st.dates(),
    hour=st.times(),
    span=st.timedeltas(min_value=timedelta(days=-1000), max_value=timedelta(days=1000)),
    price=st.decimals(allow_nan=False, allow_infinity=False, places=4),
    key=st.uuids(),
    blob=st.binary(),
    colour=st.sampled_from(Colour),
    size=st.sampled_from([*Size, None]),
    lines=st.lists(lines, max_size=3),
    by_name=st.dictionaries(st.text(), lines, max_size=3),
    pair=st.tuples(st.integers(-(2**53), 2**53), st.text()),
    maybe=st.none() | lines,
    tags=st.frozensets(st.text(), max_size=3),
)


@given(everything)
def test_a_dataclass_of_everything_comes_back_equal(obj: Everything) -> None:
    codec = ObjectCodec(Everything)
    decoded = codec.decode(codec.encode(obj))
    assert decoded.object == obj
    assert decoded.leftover is None


@pytest.mark.parametrize(
    ("kind", "obj"),
    [
        (StructObject, StructObject("a", Line("s", Decimal("1.50")))),
        (AttrsObject, AttrsObject("a", [Line("s", Decimal(1))])),
        (TypedObject, {"name": "a", "count": 3}),
        (PydanticObject, PydanticObject(name="a", price=Decimal("1.10"), when=datetime(2030, 1, 1, tzinfo=UTC))),
        (dict[str, Any], {"a": [1, {"b": None}], "c": 1.5}),
        (dict, {"a": 1}),
    ],
)
def test_every_kind_of_object_comes_back_equal(kind: Any, obj: Any) -> None:
    codec = ObjectCodec(kind)
    assert codec.decode(codec.encode(obj)).object == obj


def test_naive_times_stay_naive_and_aware_ones_aware() -> None:
    codec = ObjectCodec(list[datetime])
    obj = [datetime(2030, 1, 1), datetime(2030, 1, 1, tzinfo=UTC)]  # noqa: DTZ001 - the point of the test
    assert codec.decode(codec.encode(obj)).object == obj


@dataclass
class Known:
    name: str
    line: StructObject | None = None
    items: list[StructObject] = field(default_factory=list)
    named: dict[str, StructObject] = field(default_factory=dict)


NEWER = {
    "name": "a",
    "line": {"name": "b", "inner": None, "colour": "red"},
    "items": [{"name": "c", "inner": None}, {"name": "d", "inner": None, "size": 3}],
    "named": {"x": {"name": "e", "inner": None, "deep": {"er": 1}}},
    "loyalty": {"points": 3},
}


def test_fields_that_newer_code_stored_survive_a_change_by_this_code() -> None:
    codec = ObjectCodec(Known)
    obj, leftover = codec.decode(Payload(msgspec.json.encode(NEWER)))
    assert leftover is not None
    obj.name = "changed"
    assert obj.line is not None
    obj.line.name = "changed too"
    stored = msgspec.json.decode(codec.encode(obj, leftover).data)
    expected = {**NEWER, "name": "changed", "line": {"name": "changed too", "inner": None, "colour": "red"}}
    assert stored == expected


def test_unknown_fields_go_with_what_they_were_in() -> None:
    codec = ObjectCodec(Known)
    obj, leftover = codec.decode(Payload(msgspec.json.encode(NEWER)))
    obj.line = None
    obj.items = obj.items[:1]
    obj.named = {}
    stored = msgspec.json.decode(codec.encode(obj, leftover).data)
    assert stored == {"name": "a", "line": None, "items": [{"name": "c", "inner": None}], "named": {}, "loyalty": {"points": 3}}


def test_an_object_that_older_code_stored_gets_the_defaults_of_new_fields() -> None:
    assert ObjectCodec(Known).decode(Payload(b'{"name":"a"}')).object == Known("a")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"name":1}', b"null", b"\xff", b'{"name":"a","items":[1]}'])
def test_bytes_that_are_no_such_object_are_refused_with_type_and_path(data: bytes) -> None:
    with pytest.raises(PayloadError, match="Known"):
        ObjectCodec(Known).decode(Payload(data))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_json_cannot_hold_is_refused(value: float) -> None:
    with pytest.raises(PayloadError, match="NaN or an infinity"):
        ObjectCodec(dict[str, Any]).encode({"a": [{"b": value}]})


def test_the_text_null_is_no_infinity() -> None:
    codec = ObjectCodec(dict[str, Any])
    assert codec.decode(codec.encode({"a": "null", "b": None})).object == {"a": "null", "b": None}


def test_an_object_of_another_type_is_refused() -> None:
    codec: ObjectCodec[Any] = ObjectCodec(Known)
    for wrong in ("text", {"name": "a"}, Line("s", Decimal(1)), None):
        with pytest.raises(PayloadError):
            codec.encode(wrong)


def test_a_value_that_its_field_does_not_allow_is_refused_before_it_is_stored() -> None:
    codec: ObjectCodec[Any] = ObjectCodec(Known)
    broken = Known("a")
    broken.name = {"x"}  # type: ignore[assignment]
    with pytest.raises(PayloadError, match=r"does not allow.*\$\.name"):
        codec.encode(broken)


def test_something_that_cannot_be_json_is_refused() -> None:
    with pytest.raises(PayloadError, match=r"an object cannot be stored as JSON$"):
        ObjectCodec(dict[str, Any]).encode({"b": 1, "a": object()})
    broken = Known("a")
    broken.items = [object()]  # type: ignore[list-item]
    with pytest.raises(PayloadError, match="cannot be stored as JSON, in field 'items'"):
        ObjectCodec(Known).encode(broken)
    with pytest.raises(PayloadError, match=r"^a list could not be encoded: an object cannot be stored as JSON$"):
        ObjectCodec(list[Any]).encode([object()])


def test_the_size_is_limited_both_ways() -> None:
    codec = ObjectCodec(dict[str, str])
    big = "x" * (1024 * 1024)
    with pytest.raises(PayloadTooLargeError, match="limit is 1,048,576"):
        codec.encode({"a": big})
    with pytest.raises(PayloadTooLargeError):
        codec.decode(Payload(b'{"a":"' + big.encode() + b'"}'))
    assert codec.encode({"a": big[:-8]}).data


def test_nesting_without_end_is_an_error_and_no_crash() -> None:
    with pytest.raises(PayloadError):
        ObjectCodec(Known).decode(Payload(b'{"name":"a","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"))
    endless: dict[str, Any] = {}
    endless["a"] = endless
    with pytest.raises(PayloadError):
        ObjectCodec(dict[str, Any]).encode(endless)


def test_a_type_that_cannot_be_stored_is_refused_at_once() -> None:
    class Plain:
        pass

    @dataclass
    class Holder:
        inner: list[Plain]

    for kind in (Plain, list[Plain], Holder, Plain | None):
        with pytest.raises(DefinitionError, match="Use a dataclass"):
            ObjectCodec(kind)  # type: ignore[arg-type]


def test_none_is_an_object_only_where_the_type_says_so() -> None:
    assert ObjectCodec(type(None)).allows_none
    assert ObjectCodec(Known | None).allows_none  # type: ignore[arg-type]
    assert not ObjectCodec(Known).allows_none
    assert ObjectCodec(Known).decode(None).object is None


def test_uuid_and_enum_keys_survive() -> None:
    codec = ObjectCodec(dict[UUID, Size])
    obj = {UUID(int=1): Size.SMALL}
    assert codec.decode(codec.encode(obj)).object == obj
