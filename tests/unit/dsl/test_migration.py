"""Declaring migrations."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest

from flowdsl.dsl.run import Run
from flowdsl.dsl.workflow import Workflow
from flowdsl.errors import DefinitionError, WorkflowDefinitionError


class Status(StrEnum):
    NEW = "new"
    PAID = "paid"
    SENT = "sent"
    FORMER = "former"


def flow() -> Workflow[dict[str, Any], Status]:
    made: Workflow[dict[str, Any], Status] = Workflow("orders", object_type=dict[str, Any], status_type=Status)

    @made.step(from_=Status.NEW, to=Status.PAID)
    def charge(run: Run[dict[str, Any], Status]) -> None: ...

    @made.step(from_=Status.PAID, to=Status.SENT)
    def send(run: Run[dict[str, Any], Status]) -> None: ...

    return made


def test_a_member_that_only_a_migration_mentions_is_as_good_as_retired() -> None:
    made = flow()
    assert [finding.code for finding in made.check()] == ["unmentioned"]
    made.migrate(from_=Status.FORMER, to=Status.PAID)

    assert made.check() == []
    assert made.definition().migrations["former"].to_key == "paid"
    assert "former" not in made.definition().statuses


def test_a_decorated_function_is_still_the_function_and_replaces_an_earlier_declaration() -> None:
    made = flow()
    made.migrate(from_=Status.FORMER, to=Status.PAID)

    def rewrite(order: dict[str, Any]) -> None: ...

    assert made.migrate(from_="old", to=Status.PAID)(rewrite) is rewrite
    assert made.migrate(from_="old", to=Status.PAID)(rewrite) is rewrite
    assert made.definition().migrations["old"].fn is rewrite


@pytest.mark.parametrize(
    ("ways", "code", "says"),
    [
        ([("paid", Status.NEW)], "live-migration", "would take every run out of 'paid'"),
        ([("old", Status.NEW), ("old", Status.PAID)], "duplicate-migration", "both begin at status 'old'"),
        ([("old", Status.FORMER)], "lost-migration", "leads to 'former', which nothing mentions"),
        ([("old", Status.SENT), ("sent", Status.PAID)], "chained-migration", "leads to 'sent', which is migrated itself"),
    ],
)
def test_migrations_that_make_no_sense_are_found(ways: list[tuple[str, Status]], code: str, says: str) -> None:
    made = flow()
    made.migrate(from_=Status.FORMER, to=Status.PAID)
    if code == "lost-migration":
        made = flow()
    for from_, to in ways:
        made.migrate(from_=from_, to=to)

    assert code in [finding.code for finding in made.check()]
    with pytest.raises(WorkflowDefinitionError, match=says):
        made.definition()


async def coroutine(order: dict[str, Any]) -> None: ...


@pytest.mark.parametrize(
    ("declare", "says"),
    [
        (lambda made: made.migrate(from_="", to=Status.PAID), "is neither a status nor the text of one"),
        (lambda made: made.migrate(from_=7, to=Status.PAID), "is neither a status nor the text of one"),
        (lambda made: made.migrate(from_="old", to="piad"), r"Did you mean Status\.PAID"),
        (lambda made: made.migrate(from_="old", to=Status.PAID)(coroutine), "`async def`"),
        (lambda made: made.migrate(from_="old", to=Status.PAID)("text"), "is not a function"),
    ],
)
def test_a_declaration_that_cannot_be_is_refused_at_once(declare: Any, says: str) -> None:
    with pytest.raises(DefinitionError, match=says):
        declare(flow())
