"""Schedules as they are declared: what is understood, what is refused, and where."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import pytest

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.errors import DefinitionError
from flowdsl.model.schedule import IfRunning, Misfire
from flowdsl.timetable import Gap, OverlapHour

HERE = __file__
MINUTE = timedelta(minutes=1)


class Status(StrEnum):
    NEW = "new"
    CHECKED = "checked"
    DONE = "done"


@dataclass
class Order:
    total: int = 0


def shop() -> Workflow[Order, Status]:
    workflow = Workflow("shop", object_type=Order, status_type=Status)

    @workflow.step(from_=Status.NEW, to=Status.CHECKED)
    def check(run: Run[Order, Status]) -> Status:
        return Status.CHECKED

    @workflow.step(from_=Status.CHECKED, to=Status.DONE)
    def finish(run: Run[Order, Status]) -> Status:
        return Status.DONE

    return workflow


def morning(fire_time: datetime) -> Order | None:
    return Order(1)


async def evening(fire_time: datetime) -> Order:
    return Order(2)


def test_the_decorator_returns_the_function_and_keeps_what_was_asked_for() -> None:
    workflow = shop()
    declared = workflow.schedule(
        "0 9 * * 1-5",
        foreign_id="daily",
        timezone="Europe/London",
        gap=Gap.SKIP,
        overlap_hour=OverlapHour.TWICE,
        misfire=Misfire.ALL,
        misfire_grace=2 * MINUTE,
        max_catch_up=7,
        if_running=IfRunning.WAIT,
        start_status=Status.CHECKED,
    )(morning)
    (spec,) = workflow.registry.schedules
    rule = spec.rule

    assert declared is morning
    assert (spec.fn, spec.is_async, spec.label) == (morning, False, "daily")
    assert (rule.spec, rule.foreign_id, rule.timezone, rule.start_status) == ("0 9 * * 1-5", "daily", "Europe/London", "checked")
    assert (rule.gap, rule.overlap_hour) == (Gap.SKIP, OverlapHour.TWICE)
    assert (rule.misfire, rule.misfire_grace, rule.max_catch_up) == (Misfire.ALL, 2 * MINUTE, 7)
    assert rule.if_running is IfRunning.WAIT
    assert not workflow.check()


def test_left_out_everything_has_a_default() -> None:
    workflow = shop()
    workflow.schedule("@daily", foreign_id="daily", name="nightly")(evening)
    (spec,) = workflow.registry.schedules
    rule = spec.rule

    assert (spec.label, spec.is_async) == ("nightly", True)
    assert (rule.timezone, rule.gap, rule.overlap_hour) == ("UTC", Gap.NEXT, OverlapHour.AUTO)
    assert (rule.misfire, rule.misfire_grace, rule.if_running) == (Misfire.ONCE, MINUTE, IfRunning.SKIP)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"spec": "0 0 31 2 *"}, "never fires"),
        ({"spec": "* * * *"}, "has 4 fields"),
        ({"timezone": "Europe/Londn"}, "Did you mean 'Europe/London'?"),
        ({"timezone": 1}, "is no time zone"),
        ({"gap": "skipp"}, "gap='skipp' is not known. Give one of Gap.NEXT, Gap.SKIP."),
        ({"overlap_hour": Gap.NEXT}, "overlap_hour=<Gap.NEXT: 'next'> is not known"),
        ({"misfire": "never"}, "Misfire.SKIP, Misfire.ONCE, Misfire.ALL"),
        ({"if_running": "kill"}, "IfRunning.SKIP, IfRunning.WAIT, IfRunning.ALLOW"),
        ({"misfire_grace": 5}, "misfire_grace=5 is no duration"),
        ({"misfire_grace": -MINUTE}, "is no duration of zero or more"),
        ({"max_catch_up": 3}, "is for misfire=Misfire.ALL"),
        ({"max_catch_up": 0, "misfire": Misfire.ALL}, "is not a number from 1 to"),
        ({"max_catch_up": True, "misfire": Misfire.ALL}, "is not a number from 1 to"),
        ({"timezon": "UTC"}, "has no option 'timezon'. Did you mean 'timezone'?"),
        ({"foreign_id": ""}, "is a text of 1 to"),
        ({"foreign_id": 7}, "is a text of 1 to"),
        ({"foreign_id": "x" * 300, "name": "n"}, "foreign_id is a text of 1 to"),
        ({"foreign_id": "\ud800"}, "lone surrogate"),
        ({"name": "n" * 101}, "a schedule's name is a text of 1 to 100 characters"),
        ({"start_status": "nowhere"}, "nowhere"),
    ],
)
def test_what_cannot_work_is_refused_where_it_is_declared(given: dict[str, Any], says: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        shop().schedule(**{"spec": "@daily", "foreign_id": "daily", **given})
    assert says in str(refused.value)
    assert str(refused.value).startswith(f"{HERE}:")


def findings(*declare: Any) -> list[tuple[str, str]]:
    workflow = shop()
    for each in declare:
        each(workflow)
    return [(finding.code, finding.message) for finding in workflow.check()]


def test_a_function_that_cannot_be_called_with_a_time_is_a_finding() -> None:
    ((code, message),) = findings(lambda workflow: workflow.schedule("@daily", foreign_id="d")(lambda: Order()))

    assert code == "parameters"
    assert "cannot be called with the time of the firing alone" in message


def test_a_function_that_says_it_answers_something_else_is_a_finding() -> None:
    def wrong(fire_time: datetime) -> Status:
        return Status.NEW

    ((code, message),) = findings(lambda workflow: workflow.schedule("@daily", foreign_id="d")(wrong))

    assert (code, message.endswith("is annotated to return Status.")) == ("return", True)


def test_a_start_where_nothing_leads_on_is_a_finding() -> None:
    found = findings(lambda workflow: workflow.schedule("@daily", foreign_id="d", start_status=Status.DONE)(morning))

    assert [code for code, _ in found] == ["start-status"]


def test_two_schedules_of_one_name_are_a_finding_and_another_name_mends_it() -> None:
    def first(workflow: Any) -> None:
        workflow.schedule("@daily", foreign_id="d")(morning)

    def second(workflow: Any, name: str | None = None) -> None:
        workflow.schedule("@hourly", foreign_id="d", name=name)(evening)

    def stacked(workflow: Any) -> None:
        workflow.schedule("@hourly", foreign_id="d")(morning)

    assert [code for code, _ in findings(first, second)] == ["duplicate-schedule"]
    assert [code for code, _ in findings(first, stacked)] == ["duplicate-schedule"]
    assert findings(first, lambda workflow: second(workflow, "other")) == []


def test_the_same_function_declared_again_replaces_the_earlier_declaration() -> None:
    workflow = shop()
    for spec in ("@daily", "@hourly"):

        def reloaded(fire_time: datetime) -> Order:
            return Order()

        workflow.schedule(spec, foreign_id="d")(reloaded)

    assert [spec.rule.spec for spec in workflow.registry.schedules] == ["@hourly"]
    assert not workflow.check()


def test_a_generator_and_what_is_no_function_are_refused() -> None:
    def generator(fire_time: datetime) -> Any:
        yield Order()

    decorate: Any = shop().schedule("@daily", foreign_id="d")
    with pytest.raises(DefinitionError, match="is a generator"):
        decorate(generator)
    with pytest.raises(DefinitionError, match="is not a function"):
        decorate("daily")
