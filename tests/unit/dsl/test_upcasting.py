"""Objects of older schema versions, brought to the present one when they are read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypedDict

import msgspec
import pytest

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.errors import DefinitionError, NewerSchemaError, PayloadError, WorkflowDefinitionError
from flowdsl.model.record import Payload


class Status(StrEnum):
    NEW = "new"
    DONE = "done"


@dataclass
class Order:
    first_name: str
    last_name: str
    cents: int


class Struct(msgspec.Struct):
    first_name: str
    last_name: str
    cents: int


class Dict(TypedDict):
    first_name: str
    last_name: str
    cents: int


def workflow(object_type: Any = Order, version: int = 3) -> Workflow[Any, Status]:
    flow: Workflow[Any, Status] = Workflow("orders", object_type=object_type, status_type=Status, schema_version=version)

    @flow.step(from_=Status.NEW, to=Status.DONE)
    def work(run: Run[Any, Status]) -> None: ...

    return flow


def three() -> Workflow[Any, Status]:
    flow = workflow()

    @flow.upcast(from_version=1)
    def split_the_name(order: dict[str, Any]) -> dict[str, Any]:
        order["first_name"], _, order["last_name"] = order.pop("name").partition(" ")
        return order

    @flow.upcast(from_version=2)
    def count_cents(order: dict[str, Any]) -> dict[str, Any]:
        return {**order, "cents": round(order.pop("total") * 100)}

    return flow


ADA = Order("Ada", "Lovelace", 995)


@pytest.mark.parametrize(
    ("version", "data"),
    [
        (1, b'{"name":"Ada Lovelace","total":9.95}'),
        (2, b'{"first_name":"Ada","last_name":"Lovelace","total":9.95}'),
        (3, b'{"first_name":"Ada","last_name":"Lovelace","cents":995}'),
    ],
)
def test_an_object_of_any_version_is_read_as_the_present_one(version: int, data: bytes) -> None:
    flow = three()
    flow.definition()

    assert flow.codec.decode(Payload(data, schema_version=version)).object == ADA


def test_what_is_stored_has_the_present_version() -> None:
    payload = three().codec.encode(ADA)

    assert (payload.schema_version, three().codec.decode(payload).object) == (3, ADA)
    assert workflow(version=1).codec.encode(ADA).schema_version == 1


@pytest.mark.parametrize("object_type", [Order, Struct, Dict, dict])
def test_fields_that_no_type_knows_survive_an_upcast(object_type: Any) -> None:
    flow = workflow(object_type, 2)

    @flow.upcast(from_version=1)
    def count_cents(order: dict[str, Any]) -> dict[str, Any]:
        order["cents"] = round(order.pop("total") * 100)
        return order

    stored = Payload(b'{"first_name":"Ada","last_name":"Lovelace","total":9.95,"of_newer_code":[1,{"x":null}]}')
    again = flow.codec.encode(*flow.codec.decode(stored))

    assert msgspec.json.decode(again.data) == {
        "first_name": "Ada",
        "last_name": "Lovelace",
        "cents": 995,
        "of_newer_code": [1, {"x": None}],
    }


def test_an_object_of_a_newer_version_is_told_from_a_broken_one() -> None:
    with pytest.raises(NewerSchemaError, match=r"has schema version 4; this code knows 3\. It is left for newer code"):
        three().codec.decode(Payload(b"{}", schema_version=4))


@pytest.mark.parametrize(
    ("upcast", "says"),
    [
        (lambda order: order["total"], r"raised KeyError: 'total'"),
        (lambda order: None, r"answered None\. Return the object"),
        (lambda order: {**order, "cents": {1, 2}, "when": object()}, "cannot be stored as JSON"),
        (lambda order: {"first_name": 1}, "is not an Order"),
    ],
)
def test_an_upcaster_that_cannot_do_it_makes_the_object_unreadable_and_is_named(upcast: Any, says: str) -> None:
    flow = workflow(version=2)
    flow.upcast(from_version=1)(upcast)

    with pytest.raises(PayloadError, match=says):
        flow.codec.decode(Payload(b'{"name":"Ada"}'))


def test_a_version_from_which_nothing_leads_on_is_unreadable() -> None:
    with pytest.raises(PayloadError, match=r"has schema version 1, and no upcaster leads on.*from_version=1"):
        workflow(version=2).codec.decode(Payload(b"{}"))


def test_upcasters_with_a_gap_or_two_for_one_version_are_found() -> None:
    flow = workflow(version=4)

    @flow.upcast(from_version=1)
    def one(order: dict[str, Any]) -> dict[str, Any]:
        return order

    @flow.upcast(from_version=3)
    def three(order: dict[str, Any]) -> dict[str, Any]:
        return order

    @flow.upcast(from_version=3)
    def another(order: dict[str, Any]) -> dict[str, Any]:
        return order

    assert [finding.code for finding in flow.check()] == ["duplicate-upcaster", "upcast-gap"]
    with pytest.raises(WorkflowDefinitionError, match=r"no upcaster begins at schema version 2: objects of version 1"):
        flow.definition()


def test_declaring_an_upcaster_again_replaces_it_and_it_is_still_the_function() -> None:
    flow = workflow(version=2)

    def up(order: dict[str, Any]) -> dict[str, Any]:
        return {**order, "cents": 1}

    assert flow.upcast(from_version=1)(up) is up
    assert flow.upcast(from_version=1)(up) is up
    assert flow.check() == []


@pytest.mark.parametrize("version", [0, -1, True, "2", 10_001])
def test_a_schema_version_that_is_none_is_refused(version: Any) -> None:
    with pytest.raises(DefinitionError, match="is not a number from 1"):
        workflow(version=version)


async def coroutine(order: dict[str, Any]) -> dict[str, Any]:
    return order


@pytest.mark.parametrize(
    ("version", "fn", "says"),
    [
        (2, lambda order: order, "is not below the workflow's schema_version, 2"),
        (0, lambda order: order, "is not below"),
        (1, coroutine, "`async def`"),
        (1, "text", "is not a function"),
    ],
)
def test_an_upcaster_that_cannot_work_is_refused_where_it_is_declared(version: int, fn: Any, says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        workflow(version=2).upcast(from_version=version)(fn)
