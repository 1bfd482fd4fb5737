"""Connectors are declared with plain functions; what cannot work is refused there, naming the place."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, TypedDict, TypeVar

import attrs
import msgspec
import pydantic
import pytest

from flowdsl.dsl.event_body import BodyDecoder
from flowdsl.dsl.incoming import Incoming
from flowdsl.dsl.workflow import Workflow
from flowdsl.errors import DefinitionError, OptionError, PayloadError
from flowdsl.memory.connector_source import MemoryConnectorSource
from flowdsl.options import Retry

AnyT = TypeVar("AnyT")
SECOND = timedelta(seconds=1)


class Status(StrEnum):
    NEW = "new"
    DONE = "done"


@dataclass
class PickUp:
    driver: str


class Parcel(msgspec.Struct):
    driver: str


class Letter(TypedDict):
    driver: str


class Model(pydantic.BaseModel):
    driver: str


@attrs.define
class Card:
    driver: str


def workflow(**options: Any) -> Workflow[dict[str, Any], Status]:
    return Workflow("orders", object_type=dict[str, Any], status_type=Status, **options)


def on_event(engine: Any, event: Any) -> None:
    """Tell of a courier.

    And more.
    """


async def on_event_async(engine: Any, event: Incoming[Parcel]) -> None:
    """The same."""


def test_a_connector_is_declared_with_a_plain_function_that_stays_one() -> None:
    orders, source = workflow(), MemoryConnectorSource()

    same = orders.connector("courier", source=source)(on_event)

    assert same is on_event
    spec = orders.connectors["courier"]
    assert (spec.name, spec.function, spec.is_async, spec.doc) == ("courier", "on_event", False, "Tell of a courier.")
    assert (spec.source, str(spec.place).startswith(__file__)) == (source, True)
    assert not any(name.startswith("flowdsl") for name in vars(on_event))


def test_coroutine_functions_and_partials_are_seen() -> None:
    orders = workflow()
    orders.connector("a")(on_event_async)
    orders.connector("b")(functools.partial(on_event_async))

    assert [orders.connectors[name].is_async for name in "ab"] == [True, True]
    assert orders.connectors["b"].body.body_type is Parcel


def test_a_connector_adds_nothing_to_the_graph() -> None:
    orders = workflow()
    orders.connector("courier")(on_event)

    assert not orders.graph.nodes
    with pytest.raises(DefinitionError):
        orders.definition()


def test_declaring_the_same_function_again_replaces_it() -> None:
    orders = workflow()
    orders.connector("courier", concurrency=1)(on_event)
    orders.connector("courier", concurrency=2)(on_event)

    assert orders.connectors["courier"].options.concurrency == 2


@pytest.mark.parametrize(
    ("declare", "says"),
    [
        (lambda orders: orders.connector(""), "a connector's name is 1 to 100 characters"),
        (lambda orders: orders.connector("x" * 101), "a connector's name is 1 to 100 characters"),
        (lambda orders: orders.connector("a", source="amqp://host"), "is no source of events"),
        (lambda orders: orders.connector("a", pause_after_err_count=3), "dead_letter_after_err_count gives an event up"),
        (lambda orders: orders.connector("a", polling_frequency=SECOND), "a connector has no option 'polling_frequency'"),
        (lambda orders: orders.connector("a", parallel_count=0), "parallel_count=0"),
        (lambda orders: orders.connector("a", consume_lag=5), "is not a duration"),
        (lambda orders: orders.connector("a", dead_letter_after_err_count=-1), "dead_letter_after_err_count=-1"),
        (lambda orders: orders.connector("a", dead_letter_after_err_count=True), "dead_letter_after_err_count=True"),
        (lambda orders: orders.connector("a", retry=Retry(), err_backoff=SECOND), "Give one of them"),
        (lambda orders: orders.connector("a")(7), "7 is not a function"),
        (lambda orders: orders.connector("a")(lambda engine: None), "cannot be called with an engine and an event"),
        (lambda orders: orders.connector("a")(lambda engine, event, more: None), "cannot be called with an engine and an event"),
        (lambda orders: orders.connector("a", event_type=object)(on_event), "a body cannot be decoded to"),
        (lambda orders: orders.connector("a", schema={"type": "nonsense"})(on_event), "schema= is no JSON Schema"),
    ],
)
def test_what_cannot_work_is_refused_naming_the_place(declare: Callable[[Any], Any], says: str) -> None:
    with pytest.raises(DefinitionError, match=says) as caught:
        declare(workflow())

    assert isinstance(caught.value, OptionError) or caught.value.place is not None
    assert __file__ in str(caught.value)


def test_a_generator_is_refused() -> None:
    def generator(engine: Any, event: Any) -> Any:
        yield event

    with pytest.raises(DefinitionError, match="is a generator"):
        workflow().connector("a")(generator)


def test_two_functions_of_one_name_are_refused() -> None:
    orders = workflow()
    orders.connector("courier")(on_event)

    with pytest.raises(DefinitionError, match="two connectors of 'orders' are named 'courier'"):
        orders.connector("courier")(on_event_async)
    assert orders.connectors["courier"].fn is on_event


def test_an_annotation_that_cannot_be_read_is_refused_unless_the_type_is_given() -> None:
    class Local:
        pass

    def handler(engine: Any, event: Incoming[Local]) -> None:
        """Its type has a name that the module has not."""

    with pytest.raises(DefinitionError, match="event_type="):
        workflow().connector("a")(handler)
    orders = workflow()
    orders.connector("a", event_type=bytes)(handler)
    assert orders.connectors["a"].body.body_type is bytes


def test_options_are_the_connectors_then_the_workflows_then_the_librarys() -> None:
    orders = workflow(defaults={"parallel_count": 3, "consume_lag": SECOND, "pause_after_err_count": 2, "concurrency": 7})
    orders.connector("a")(on_event)
    orders.connector("b", parallel_count=None, consume_lag=None, concurrency=None, dead_letter_after_err_count=0)(on_event_async)
    plain = workflow()
    plain.connector("c", err_backoff=SECOND)(on_event)

    a, b, c = orders.connectors["a"].options, orders.connectors["b"].options, plain.connectors["c"].options
    assert (a.parallel_count, a.consume_lag, a.dead_letter_after_err_count, a.concurrency) == (3, SECOND, 10, 7)
    assert (b.parallel_count, b.consume_lag, b.dead_letter_after_err_count, b.concurrency) == (1, timedelta(0), 0, 100)
    assert (c.parallel_count, c.concurrency, c.lag_alert) == (1, 10, timedelta(minutes=30))
    assert (c.retry.backoff, c.retry.multiplier, c.retry.jitter) == (SECOND, 1.0, False)


def bytes_(engine: Any, event: Incoming[bytes]) -> None: ...
def text(engine: Any, event: Incoming[str]) -> None: ...
def data(engine: Any, event: Incoming[PickUp]) -> None: ...
def struct(engine: Any, event: Incoming[Parcel]) -> None: ...
def typed_dict(engine: Any, event: Incoming[Letter]) -> None: ...
def model(engine: Any, event: Incoming[Model]) -> None: ...
def card(engine: Any, event: Incoming[Card]) -> None: ...
def mapping(engine: Any, event: Incoming[dict[str, str]]) -> None: ...
def several(engine: Any, event: Incoming[list[PickUp]]) -> None: ...
def anything(engine: Any, event: Incoming[Any]) -> None: ...
def nothing(engine: Any, event: Any) -> None: ...
def variable(engine: Any, event: Incoming[AnyT]) -> None: ...
def bare(engine, event): ...  # type: ignore[no-untyped-def]
def star(*args: Any) -> None: ...


BODY = b'{"driver": "Ada"}'


@pytest.mark.parametrize(
    ("fn", "body", "payload"),
    [
        (bytes_, BODY, BODY),
        (text, BODY, '{"driver": "Ada"}'),
        (data, BODY, PickUp("Ada")),
        (struct, BODY, Parcel("Ada")),
        (typed_dict, BODY, {"driver": "Ada"}),
        (model, BODY, Model(driver="Ada")),
        (card, BODY, Card("Ada")),
        (mapping, BODY, {"driver": "Ada"}),
        (several, b"[" + BODY + b"]", [PickUp("Ada")]),
        (anything, BODY, BODY),
        (nothing, BODY, BODY),
        (variable, BODY, BODY),
        (bare, b"\xff", b"\xff"),
        (star, BODY, BODY),
    ],
)
def test_the_payload_is_what_the_annotation_says_and_else_the_bytes(fn: Any, body: bytes, payload: Any) -> None:
    orders = workflow()
    orders.connector("a")(fn)

    assert orders.connectors["a"].body.decode(body) == payload


@pytest.mark.parametrize("fn", [text, data, struct, typed_dict, model, card, mapping])
def test_a_body_that_does_not_fit_is_refused(fn: Any) -> None:
    orders = workflow()
    orders.connector("a")(fn)

    for body in (b"\xff", b"" if fn is not text else b"\xfe"):
        with pytest.raises(PayloadError, match="the body is"):
            orders.connectors["a"].body.decode(body)


SCHEMA = {"type": "object", "properties": {"driver": {"type": "string"}, "km": {"minimum": 0}}, "required": ["driver"]}


@pytest.mark.parametrize(("kind", "payload"), [(None, {"driver": "Ada"}), (PickUp, PickUp("Ada")), (bytes, BODY)])
def test_a_schema_is_checked_before_the_type(kind: Any, payload: Any) -> None:
    decoder = BodyDecoder(kind, SCHEMA, "here")

    assert decoder.decode(BODY) == payload
    with pytest.raises(PayloadError, match=r"does not fit the schema at \$\.km: -1 is less than the minimum of 0"):
        decoder.decode(b'{"driver": "Ada", "km": -1}')
    with pytest.raises(PayloadError, match=r"does not fit the schema at \$: 'driver' is a required property"):
        decoder.decode(b'{"km": -1}')
    with pytest.raises(PayloadError, match="the body is no JSON"):
        decoder.decode(b"{")


def test_a_schema_is_fetched_from_nowhere() -> None:
    decoder = BodyDecoder(None, {"$ref": "http://127.0.0.1:9/schema.json"}, "here")

    with pytest.raises(Exception, match="Unresolvable"):
        decoder.decode(b"{}")


def test_the_extra_is_named_where_it_is_missing() -> None:
    code = """
import sys
sys.modules["jsonschema"] = None
from flowdsl.dsl.event_body import BodyDecoder
from flowdsl.errors import MissingExtraError
try:
    BodyDecoder(None, {}, "here")
except MissingExtraError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "pip install 'flowdsl[jsonschema]'" in done.stdout
