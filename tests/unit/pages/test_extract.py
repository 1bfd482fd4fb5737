"""The document model: everything that a workflow declares is in it."""

from __future__ import annotations

from dataclasses import dataclass, make_dataclass
from enum import Enum, StrEnum
from typing import Any

import pytest

from flowdsl.dsl.workflow import Workflow
from flowdsl_docs.extract import extract, extract_all
from flowdsl_docs.fields import fields_of, type_words
from flowdsl_docs.functions import SECTIONS
from flowdsl_docs.model import FunctionDoc, FunctionKind, PayloadForm
from flowdsl_docs.schema import schema_of
from tests.unit.pages.shop import Order, Refusal, orders

DOCUMENT = extract(orders)


def function(name: str) -> FunctionDoc:
    (found,) = [each for each in DOCUMENT.functions if each.name == name]
    return found


def empty(name: str, **options: Any) -> Workflow[Any, Any]:
    class Status(StrEnum):
        A = "a"
        B = "b"

    return Workflow(name, **{"object_type": dict, "status_type": Status, **options})


def test_every_declared_function_is_there_with_what_calls_it() -> None:
    found = {kind: [each.name for each in DOCUMENT.of(kind)] for kind in FunctionKind if DOCUMENT.of(kind)}

    assert found == {
        FunctionKind.STEP: ["charge", "book_courier"],
        FunctionKind.CALLBACK: ["picked_up", "refused", "called_off", "paid_in_cash"],
        FunctionKind.TIMEOUT: ["nobody_came", "too_late"],
        FunctionKind.SCHEDULE: ["breakfast"],
        FunctionKind.CONNECTOR: ["on_courier_event"],
        FunctionKind.HOOK: ["tell_the_team", "thank"],
        FunctionKind.MIGRATION: ["from_the_van", "on_hold -> created"],
        FunctionKind.DELETION: ["scrub"],
    }


def test_a_function_says_where_it_is_from_where_to_where_it_leads_and_its_docstring() -> None:
    charge = function("charge")

    assert charge.where == "tests.unit.pages.shop:charge"
    assert (charge.source, charge.targets, charge.topic) == ("created", ("paid", "cancelled"), "orders/created")
    assert charge.doc.startswith("Take the money")
    assert charge.doc.endswith("here.")
    assert (charge.is_async, function("book_courier").is_async) == (False, True)


def test_a_timeout_says_after_what_time_or_who_computes_it() -> None:
    assert function("nobody_came").when == "after 3 days"
    assert function("too_late").when == "at the time that `deadline` answers for it"


def test_a_callback_has_its_name_its_payload_and_what_becomes_of_an_early_one() -> None:
    payloads = {each.name: each.payload for each in DOCUMENT.of(FunctionKind.CALLBACK) if each.payload is not None}

    assert {name: payload.form for name, payload in payloads.items()} == {
        "picked_up": PayloadForm.JSON,
        "refused": PayloadForm.JSON,
        "called_off": PayloadForm.NOTHING,
        "paid_in_cash": PayloadForm.BYTES,
    }
    assert payloads["refused"].schema == Refusal.model_json_schema()
    assert (function("refused").label, function("refused").when) == (
        "refused at the door",
        "One that comes before the run is there is refused.",
    )
    assert function("picked_up").when == "One that comes before the run is there is kept for 1 h."


def test_a_schedule_says_when_it_fires_for_whom_and_what_becomes_of_others() -> None:
    breakfast = function("breakfast")

    assert breakfast.when == (
        "At `0 9 * * 1-5`, Europe/London time, it makes the object of a run for `breakfast`. One that comes while that run is "
        "unfinished waits until it has ended; times that were missed are made up for by one"
    )
    assert (breakfast.targets, breakfast.options) == (("paid",), {"retries": "1 s, doubling to 1 h, jitter"})


def test_a_connector_says_what_it_is_given_and_when_it_gives_up() -> None:
    connector = function("on_courier_event")

    assert connector.when.endswith("whose place is kept under the name `courier-events`")
    assert connector.payload is not None
    assert (connector.payload.form, connector.payload.name) == (PayloadForm.JSON, "Signature")
    assert (connector.options or {})["gives up after"] == "10 failures"
    assert (connector.options or {})["consumers"] == "at most 2"


def test_options_are_in_words_and_a_hook_has_none_that_pauses() -> None:
    assert function("charge").options == {
        "retries": "1 s, doubling to 5 min, jitter",
        "pauses after": "10 failures",
        "at once": "10 a consumer",
        "consumers": "every instance",
        "time limit": "30 s",
        "waits before": "-",
    }
    booked, thanked = function("book_courier").options or {}, function("thank").options or {}
    assert (booked["consumers"], booked["at once"], booked["waits before"]) == ("at most 2", "100 a consumer", "1 min")
    assert "pauses after" not in thanked


def test_statuses_have_the_texts_under_their_members_and_retired_ones_stand_apart() -> None:
    docs = {status.status: status.doc for status in DOCUMENT.statuses}

    assert docs["created"] == "The customer has pressed the button."
    assert docs["paid"] == ""
    assert DOCUMENT.retired == ("before_2020", "in_the_van", "on_hold")
    assert not {"before_2020", "in_the_van"} & set(docs)


def test_the_document_begins_with_what_the_statuses_or_their_module_say() -> None:
    class Status(Enum):
        """How far a letter is."""

        A = 1
        B = 2

    assert DOCUMENT.doc.startswith("A shop with everything")
    assert extract(empty("letters", status_type=Status)).doc == "How far a letter is."


def test_the_object_has_its_schema_and_its_own_docstring_not_a_dataclass_s() -> None:
    @dataclass
    class Plain:
        total: int

    assert (DOCUMENT.object.name, DOCUMENT.object.doc) == ("Order", "What was ordered, and where it goes.")
    assert DOCUMENT.object.schema == schema_of(Order)
    assert extract(empty("plain", object_type=Plain)).object.doc == ""
    assert extract(empty("dicts", object_type=dict[str, int])).object.name == "dict[str, int]"


def test_retention_is_in_words_where_it_ends() -> None:
    assert DOCUMENT.retention == {"completed": "90 days", "cancelled": None, "with their data deleted": None}


def test_a_status_type_without_source_has_no_texts() -> None:
    Made = StrEnum("Made", {"A": "a", "B": "b"})
    Made.__module__ = "nowhere"
    document = extract(empty("made", status_type=Made))

    assert (document.doc, [status.doc for status in document.statuses]) == ("", [])


def test_slugs_and_anchors_are_fit_for_files_and_links_and_differ() -> None:
    slugs = [document.slug for document in extract_all([empty("Größe \\ A"), empty("Gr--e a"), empty("日本"), empty("index")])]
    anchors = [each.anchor for each in DOCUMENT.functions]

    assert len(set(slugs)) == 4
    assert "index" not in slugs
    assert all(slug.isascii() and "/" not in slug for slug in slugs)
    assert len(set(anchors)) == len(anchors)
    assert not set(anchors) & SECTIONS


def test_two_functions_of_one_name_have_anchors_of_their_own() -> None:
    flow = empty("twice")

    def steps(run: Any) -> None: ...

    flow.on_pause(steps)
    flow.on_cancel(steps)
    first, second = (each.anchor for each in extract(flow).functions)

    assert first != second
    assert {first, second} & SECTIONS == set()


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "string"}, "string"),
        ({"type": ["string", "null"]}, "string or null"),
        ({"$ref": "#/$defs/Line"}, "Line"),
        ({"type": "array", "items": {"$ref": "#/$defs/Line"}}, "array of Line"),
        ({"type": "array"}, "array"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "integer or null"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "object of string"),
        ({"enum": ["a", 1]}, 'one of "a", 1'),
        ({"const": True}, "true"),
        ({"allOf": [{"$ref": "#/$defs/X"}]}, "X"),
        ({}, "any"),
    ],
)
def test_a_type_is_said_in_words(schema: dict[str, Any], words: str) -> None:
    assert type_words(schema) == words


def test_the_fields_of_an_object_are_listed_wherever_its_definition_is() -> None:
    total, address = fields_of(schema_of(Order))

    assert (total.name, total.type, total.required, total.default, total.note) == (
        "total",
        "integer",
        True,
        "",
        "In cents; at least 1",
    )
    assert (address.type, address.required, address.default) == ("Address or null", False, "null")
    assert [field.name for field in fields_of(schema_of(Order | None))] == ["total", "address"]
    assert fields_of(schema_of(dict[str, int])) == []
    assert fields_of({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}}) == []


def test_a_dataclass_made_without_source_is_documented() -> None:
    made = make_dataclass("Made", [("a", int)])

    assert [field.name for field in fields_of(extract(empty("made", object_type=made)).object.schema)] == ["a"]
