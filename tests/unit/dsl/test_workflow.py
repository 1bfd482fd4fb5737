"""Declaring a workflow: what is understood, what is refused, and what people are told."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, IntEnum, StrEnum
from typing import Any, Literal

import pytest

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.errors import DefinitionError, OptionError, UnknownStatusError, WorkflowDefinitionError
from flowdsl.model.outcome import Outcome


class Status(StrEnum):
    CREATED = "created"
    PAID = "paid"
    SHIPPED = "shipped"


@dataclass
class Order:
    total: float = 0


def fresh(**settings: Any) -> Workflow[Order, Status]:
    return Workflow("orders", object_type=Order, status_type=Status, **settings)


def sound() -> Workflow[Order, Status]:
    workflow = fresh()
    workflow.step(from_=Status.CREATED, to=[Status.PAID, Status.SHIPPED])(charge)
    workflow.step(from_=Status.PAID, to=Status.SHIPPED)(ship)
    return workflow


def charge(run: Run[Order, Status]) -> Status | Outcome:
    """Take the money.

    And say so.
    """
    return Status.PAID


async def ship(run: Run[Order, Status]) -> None:
    """Send it."""


def codes(workflow: Workflow[Any, Any]) -> list[str]:
    return [finding.code for finding in workflow.check()]


def test_the_decorator_returns_the_same_function_and_writes_nothing_on_it() -> None:
    workflow = fresh()

    def step(run: Run[Order, Status]) -> Status:
        return Status.PAID

    before = dict(vars(step))
    assert workflow.step(from_=Status.CREATED, to=Status.PAID)(step) is step
    assert vars(step) == before


def test_a_definition_says_what_was_declared() -> None:
    definition = sound().definition()
    assert definition.name == "orders"
    assert (definition.start, definition.starts) == ("created", ("created",))
    assert definition.statuses == {"created", "paid", "shipped"}
    assert definition.terminal == {"shipped"}
    first, second = definition.steps.values()
    assert (first.name, first.doc, first.is_async, first.to_keys) == ("charge", "Take the money.", False, ("paid", "shipped"))
    assert (second.name, second.is_async) == ("ship", True)
    assert first.place.file.endswith("test_workflow.py")


def test_one_decorator_can_declare_two_functions_under_their_own_names() -> None:
    workflow = Workflow("w", object_type=Order, status_type=Status)
    declare = workflow.step(from_=Status.CREATED, to=Status.PAID)
    declare(charge)
    declare(ship)
    assert "duplicate-consumer" in codes(workflow)


def test_two_consumers_of_one_status_are_found_with_both_places() -> None:
    workflow = sound()

    @workflow.step(from_=Status.CREATED, to=Status.PAID)
    def another(run: Run[Order, Status]) -> Status:
        return Status.PAID

    (finding,) = workflow.check()
    assert finding.code == "duplicate-consumer"
    assert finding.message.count("test_workflow.py") + finding.place.count("test_workflow.py") == 2
    assert "charge" in finding.message
    assert "another" in finding.message


def test_declaring_the_same_function_again_replaces_it() -> None:
    workflow = sound()
    for limit in (3, 5):

        @workflow.step(from_=Status.CREATED, to=[Status.PAID, Status.SHIPPED], pause_after_err_count=limit)
        def charge_again(run: Run[Order, Status]) -> Status:
            return Status.PAID

    workflow = fresh()
    workflow.step(from_=Status.CREATED, to=Status.PAID)(charge)
    workflow.step(from_=Status.CREATED, to=[Status.PAID, Status.SHIPPED], pause_after_err_count=5)(charge)
    workflow.step(from_=Status.PAID, to=Status.SHIPPED)(ship)
    assert workflow.definition().steps["created"].options.pause_after_err_count == 5


def test_all_findings_come_at_once_with_file_line_and_remedy() -> None:
    workflow = fresh()

    def loops(run: Run[Order, Status], more: int) -> int:
        return 1

    wrong: Any = loops
    workflow.step(from_=Status.PAID, to=Status.PAID)(wrong)

    with pytest.raises(WorkflowDefinitionError) as caught:
        workflow.definition()
    text = str(caught.value)
    assert {finding.code for finding in caught.value.findings} == {"parameters", "return", "unmentioned", "cycle"}  # type: ignore[attr-defined]
    assert text.count("test_workflow.py:") >= len(caught.value.findings)
    assert "allow_cycles=True" in text
    assert "Status, Outcome or None" in text


@pytest.mark.parametrize(
    ("annotation", "found"),
    [
        ("Status", []),
        ("Status | Outcome | None", []),
        ("Literal[Status.PAID, Status.SHIPPED]", []),
        ("Any", []),
        ("NoSuchName", []),
        ("None", ["return"]),
        ("int", ["return"]),
        ("Status | str", ["return"]),
        ("Other", ["return"]),
        ("Literal[Status.CREATED]", ["return"]),
    ],
)
def test_a_return_annotation_must_be_able_to_answer(annotation: str, found: list[str]) -> None:
    class Other(StrEnum):
        CREATED = "created"

    namespace: dict[str, Any] = {"Status": Status, "Outcome": Outcome, "Literal": Literal, "Any": Any, "Other": Other}
    source = f"def step(run) -> {annotation!r}: ..."
    exec(compile(source, "made.py", "exec"), namespace)  # noqa: S102 - an annotation per case
    workflow = fresh(retired=[Status.SHIPPED])
    workflow.step(from_=Status.CREATED, to=[Status.PAID, Status.SHIPPED])(namespace["step"])
    assert codes(workflow) == found


def test_an_empty_workflow_is_found() -> None:
    assert codes(fresh()) == ["empty"]


@pytest.mark.parametrize("wrong", ["created", "creatd", 1, None, object()])
def test_a_status_of_another_kind_is_refused_at_its_line(wrong: Any) -> None:
    class Other(StrEnum):
        CREATED = "created"

    strangers: list[Any] = [wrong, Other.CREATED]
    for value in strangers:
        with pytest.raises(DefinitionError, match=r"test_workflow.py:\d+: .* is not a status of workflow 'orders'"):
            fresh().step(from_=value, to=Status.PAID)


def test_a_near_miss_is_named() -> None:
    with pytest.raises(DefinitionError, match=r"Did you mean Status.CREATED\?"):
        fresh().step(from_="creatd", to=Status.PAID)  # type: ignore[arg-type]


@pytest.mark.parametrize("to", [(), [Status.PAID, Status.PAID], 7, [7]])
def test_destinations_that_lead_nowhere_are_refused(to: Any) -> None:
    with pytest.raises(DefinitionError):
        fresh().step(from_=Status.CREATED, to=to)


def test_options_are_checked_where_they_are_written() -> None:
    with pytest.raises(OptionError, match=r"test_workflow.py:\d+"):
        fresh().step(from_=Status.CREATED, to=Status.PAID, parallel_count=0)
    with pytest.raises(OptionError, match=r"test_workflow.py:\d+"):
        fresh(defaults={"concurrency": 0})


def test_generators_are_refused() -> None:
    def generator(run: Run[Order, Status]) -> Iterator[Status]:
        yield Status.PAID

    with pytest.raises(DefinitionError, match="generator"):
        fresh().step(from_=Status.CREATED, to=Status.PAID)(generator)  # type: ignore[arg-type]


def test_partials_and_callable_objects_are_known_for_what_they_are() -> None:
    class Shipper:
        async def __call__(self, run: Run[Order, Status]) -> Status:
            return Status.SHIPPED

    def with_rate(rate: float, run: Run[Order, Status]) -> Status:
        return Status.PAID

    workflow = fresh()
    workflow.step(from_=Status.CREATED, to=Status.PAID)(functools.partial(with_rate, 0.2))
    workflow.step(from_=Status.PAID, to=Status.SHIPPED)(Shipper())
    steps = workflow.definition().steps
    assert [(spec.is_async, spec.name.rpartition(".")[2]) for spec in steps.values()] == [(False, "with_rate"), (True, "Shipper")]


class Twin(Enum):
    A = "1"
    B = 1


Alias = Enum("Alias", {"A": "a", "B": "a"})


class Odd(Enum):
    A = 1.5


@pytest.mark.parametrize("status_type", [Twin, Alias, Odd, str, 3])
def test_an_enum_whose_values_cannot_be_stored_is_refused(status_type: Any) -> None:
    with pytest.raises(DefinitionError):
        Workflow("w", object_type=Order, status_type=status_type)


def test_int_enums_are_stored_by_value() -> None:
    class Number(IntEnum):
        ONE = 1
        TWO = 2

    workflow = Workflow("w", object_type=Order, status_type=Number)
    assert workflow.key(Number.TWO) == "2"
    assert workflow.member("2") is Number.TWO


def test_a_status_that_this_code_does_not_know_is_left_for_newer_code() -> None:
    with pytest.raises(UnknownStatusError):
        fresh().member("refunded")


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, 7])
def test_a_name_that_cannot_be_one_is_refused(name: Any) -> None:
    with pytest.raises(DefinitionError):
        Workflow(name, object_type=Order, status_type=Status)


def test_a_name_has_no_slash_because_a_run_is_named_workflow_slash_foreign_id() -> None:
    with pytest.raises(DefinitionError, match=r"no '/', unlike 'shop/orders': .* Write e\.g\. 'shop-orders'\."):
        Workflow("shop/orders", object_type=Order, status_type=Status)


def test_names_that_would_not_fit_into_the_tables_are_refused_where_they_are_declared() -> None:
    workflow = Workflow("注文" * 40, object_type=Order, status_type=Status)
    with pytest.raises(DefinitionError, match="Shorten the names"):
        workflow.step(from_=Status.CREATED, to=Status.PAID)


def test_workflow_defaults_hold_for_steps_that_say_nothing() -> None:
    workflow = fresh(defaults={"pause_after_err_count": 3, "consume_lag": timedelta(seconds=5)})
    workflow.step(from_=Status.CREATED, to=Status.PAID)(charge)
    workflow.step(from_=Status.PAID, to=Status.SHIPPED, pause_after_err_count=0)(ship)
    first, second = workflow.steps.values()
    assert (first.options.pause_after_err_count, second.options.pause_after_err_count) == (3, 0)
    assert second.options.consume_lag == timedelta(seconds=5)
