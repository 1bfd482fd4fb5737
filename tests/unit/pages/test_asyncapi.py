"""The AsyncAPI document: it keeps the schema of AsyncAPI 3, and says what the wire carries."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from examples import workflows
from flowdsl.dsl.workflow import Workflow
from flowdsl.model.event import Event
from flowdsl.model.wire import encode
from flowdsl_docs.site import ASYNCAPI, site
from tests.readers import node_module
from tests.unit.pages.shop import Status, orders


@cache
def asyncapi_schema() -> Any:
    return json.loads((node_module("@asyncapi/specs") / "schemas" / "3.0.0.json").read_text("utf-8"))


def document(*flows: Workflow[Any, Any]) -> Any:
    return json.loads(site(flows)[ASYNCAPI])


def resolved(whole: Any, reference: str) -> Any:
    found = whole
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from ([value["$ref"]] if isinstance(value.get("$ref"), str) else [])
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


EXAMPLES = [getattr(workflows, name) for name in workflows.__all__]


@pytest.mark.parametrize("flows", [[orders], EXAMPLES, [*EXAMPLES, orders], []], ids=["shop", "examples", "all", "none"])
def test_the_document_keeps_the_schema_of_asyncapi_3(flows: list[Workflow[Any, Any]]) -> None:
    made = document(*flows)

    assert [error.message for error in Draft7Validator(asyncapi_schema()).iter_errors(made)] == []
    for reference in references(made):
        assert resolved(made, reference) is not None


def test_the_schema_would_find_a_mistake() -> None:
    made = document(orders)
    made["operations"]["orders.step.paid.book_courier"]["action"] = "listen"

    assert list(Draft7Validator(asyncapi_schema()).iter_errors(made))


def test_every_topic_of_a_step_and_every_callback_is_a_channel() -> None:
    addresses = {key: channel["address"] for key, channel in document(orders)["channels"].items()}

    assert addresses == {
        "orders.step.created.charge": "default/orders/created",
        "orders.step.paid.book_courier": "default/orders/paid",
        "orders.callback.awaiting_pickup.picked_up": None,
        "orders.callback.awaiting_pickup.refused-at-the-door": None,
        "orders.callback.awaiting_pickup.called_off": None,
        "orders.callback.created.paid_in_cash": None,
    }


def test_what_is_on_the_wire_keeps_the_schema_of_the_message(moment: Any) -> None:
    made = document(orders)
    schema = {**made["components"]["messages"]["event"]["payload"], "components": made["components"]}
    event = Event(event_id="e", topic="default/orders/paid", workflow="orders", run_id="r", version=3, created_at=moment)

    validator = Draft202012Validator(schema)
    validator.validate(json.loads(encode(event)))
    assert list(validator.iter_errors({"topic": 1}))


def test_a_payload_has_its_schema_its_bytes_or_nothing() -> None:
    messages = document(orders)["components"]["messages"]
    signed = messages["orders.callback.awaiting_pickup.picked_up"]

    assert signed["payload"]["properties"]["name"]["type"] == "string"
    assert signed["contentType"] == "application/json"
    assert messages["orders.callback.created.paid_in_cash"]["contentType"] == "application/octet-stream"
    assert "payload" not in messages["orders.callback.awaiting_pickup.called_off"]


def test_names_that_look_alike_have_keys_of_their_own() -> None:
    flow = Workflow("alike", object_type=dict, status_type=Status)
    for name in ("a b", "a-b", "a/b"):
        flow.callback(from_=Status.CREATED, to=Status.PAID, name=name)(lambda run, payload: None)

    assert len(document(flow)["channels"]) == 3


@pytest.fixture
def moment() -> Any:
    from datetime import UTC, datetime

    return datetime(2026, 1, 2, tzinfo=UTC)
