"""Every error ends in the code that the help promises."""

from __future__ import annotations

import pytest

from flowdsl.cli.exit_code import MEANINGS, ExitCode, exit_code_of
from flowdsl.cli.problem import TargetProblem
from flowdsl.cli.run_view import StateName
from flowdsl.errors import (
    ConfigurationError,
    DefinitionError,
    FlowError,
    IllegalMoveError,
    MissingExtraError,
    PayloadTooLargeError,
    RunNotFoundError,
    SchemaError,
    StoreUnavailableError,
    WorkflowDefinitionError,
    WorkflowInProgressError,
)
from flowdsl.model.query import QueryError
from flowdsl.model.run_state import RunState
from tests.unit.cli.conftest import Shop


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StoreUnavailableError(), 3),
        (SchemaError(), 3),
        (RunNotFoundError(), 4),
        (WorkflowInProgressError(), 5),
        (IllegalMoveError(), 5),
        (TargetProblem(), 2),
        (ConfigurationError(), 2),
        (MissingExtraError(), 2),
        (PayloadTooLargeError(), 2),
        (QueryError(), 2),
        (DefinitionError(), 1),
        (WorkflowDefinitionError("w", []), 1),
        (FlowError("other"), 1),
        (ZeroDivisionError(), 70),
    ],
)
def test_an_error_has_its_exit_code(error: Exception, code: int) -> None:
    assert exit_code_of(error) == code


def test_every_code_has_a_meaning_in_the_help(shop: Shop) -> None:
    text = " ".join(shop.run("--help").stdout.split())

    assert set(MEANINGS) == set(ExitCode)
    assert all(f"{code.value} {meaning}" in text for code, meaning in MEANINGS.items()), text


def test_the_states_that_can_be_typed_are_all_but_unknown() -> None:
    assert {name.state for name in StateName} == set(RunState) - {RunState.UNKNOWN}
    assert all(name.value == name.name.lower() for name in StateName)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nonsense",), "no such command 'nonsense'. See flowdsl --help."),
        (("runz",), " See flowdsl --help."),  # before it, with newer versions of typer, what may have been meant
        (("run", "shop:engine", "--metrics-host", "0.0.0.0"), "--metrics-host serves nothing by itself. Give --metrics-port"),
        (("runs", "--limit", "0"), "See flowdsl runs --help."),
        (("show",), "missing argument 'RUN'. See flowdsl show --help."),
        (("db",), "missing command. See flowdsl db --help."),
        (("runs", "--nope"), "no such option: --nope"),
        (("runs",), "there is no store to ask. Give --store URL"),
        (("runs", "--store", "memory://"), "a store in memory is seen by its own process only."),
        (("runs", "--store", "sqlite://"), "in memory is seen by its own process only."),
        (("runs", "--store", "sqlit:///x"), "Did you mean 'sqlite'?"),
        (("runs", "--store", "orders.db"), "'orders.db' is not a URL. Write sqlite:///orders.db, or a URL"),
        (("db", "current", "--store", "orders.db"), "'orders.db' is not a URL. Write sqlite:///orders.db"),
        (("db", "current", "--store", "u:secret@h"), "no store answers to 'u'."),
        (("db", "current", "--store", "memory://"), "a memory store has no tables to keep."),
        (("runs", "--watch", "--json", "--store", "sqlite:///x"), "--watch is for people"),
    ],
)
def test_wrong_usage_is_one_line_on_standard_error_and_code_2(shop: Shop, arguments: tuple[str, ...], says: str) -> None:
    done = shop.run(*arguments)

    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith("flowdsl: ")
    assert "?." not in done.stderr
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_run_that_needs_an_object_is_not_started_without(shop: Shop) -> None:
    done = shop.run("trigger", shop.target, "orders", "o-1")

    assert done.exit_code == 2
    assert done.stderr == "flowdsl: a run of orders needs an object. Give --object.\n"


def test_to_look_makes_no_database(shop: Shop) -> None:
    done = shop.run("runs", "--store", "sqlite:///typo.db")

    assert done.exit_code == 3
    assert "there is no database file typo.db" in done.stderr
    assert not (shop.folder / "typo.db").exists()


def test_a_store_that_cannot_be_reached_is_code_3_and_its_password_is_not_shown(shop: Shop) -> None:
    pytest.importorskip("psycopg")
    done = shop.run("runs", "--store", "postgresql+psycopg://root:hunter2@127.0.0.1:1/x")

    assert done.exit_code == 3
    assert done.stderr.count("\n") == 1
    assert "root:***@" in done.stderr
    assert "hunter2" not in done.stderr


def test_without_a_command_there_is_help_and_code_2(shop: Shop) -> None:
    done = shop.run()

    assert done.exit_code == 2
    assert "Usage: flowdsl" in done.stdout


def test_the_version_is_the_distributions(shop: Shop) -> None:
    done = shop.run("--version")

    assert (done.exit_code, done.stdout.split()[0]) == (0, "flowdsl")
