"""Names that are typed: of workflows, statuses, runs and places in a list, and what is said when there is none of that name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Shop
from tests.unit.cli.test_cli_runs import lines


@pytest.mark.parametrize("more", [("--status", "nwe"), ("--workflow", "orders", "--status", "nwe"), ("--where", "status=nwe")])
def test_with_the_code_at_hand_an_unknown_status_is_refused(shop: Shop, more: tuple[str, ...]) -> None:
    shop.trigger("o-1")
    done = shop.run("runs", "--app", shop.target, *more)

    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "has no status 'nwe'" in done.stderr
    assert "Did you mean 'new'? It has new, paid, sent." in done.stderr


@pytest.mark.parametrize(
    "more", [("--status", "paused_by_hand"), ("-w", "orders", "--status", "paused_by_hand"), ("--where", "status=paused_by_hand")]
)
def test_a_status_that_only_stored_runs_have_is_never_refused(shop: Shop, more: tuple[str, ...]) -> None:
    shop.trigger("o-1", "--status", "paid")
    newer = shop.write("newer", Path(f"{shop.module}.py").read_text("utf-8").replace('"paid"', '"paused_by_hand"'))
    shop.run("trigger", f"{newer}:engine", "orders", "o-2", "-o", '{"total": 1}', "--status", "PAID")
    done = shop.run("runs", "--app", shop.target, "--json", *more)

    assert [run["foreign_id"] for run in lines(done)] == ["o-2"]


def test_a_workflow_that_only_stored_runs_have_is_listed_beside_other_code(shop: Shop) -> None:
    shop.trigger("o-1")
    other = shop.write("other", Path(f"{shop.module}.py").read_text("utf-8").replace('Workflow("orders"', 'Workflow("returns"'))
    found = shop.run("runs", "--app", f"{other}:engine", "--workflow", "orders", "--json")
    refused = shop.run("runs", "--app", f"{other}:engine", "--workflow", "ordres")

    assert [run["foreign_id"] for run in lines(found)] == ["o-1"]
    assert (refused.exit_code, "the engine has no workflow 'ordres'" in refused.stderr) == (2, True)


def test_an_empty_list_says_what_no_stored_run_has(shop: Shop) -> None:
    shop.trigger("o-1")
    status, as_json, workflow, namespace = (
        shop.ask("runs", *more)
        for more in (
            ("--status", "nwe"),
            ("--status", "nwe", "--json"),
            ("-w", "ordres", "--status", "new"),
            ("--namespace", "elsewhere"),
        )
    )
    known = shop.run("runs", "--app", shop.target, "--status", "sent")

    assert (status.exit_code, status.stdout) == (0, "No runs match.\n")
    assert status.stderr == "No stored run is in a status 'nwe'. Did you mean 'new'? The newest are in new.\n"
    assert (as_json.stdout, as_json.stderr) == ("", status.stderr)
    assert workflow.stderr == "No stored run is of a workflow 'ordres'. Did you mean 'orders'? The newest runs are of orders.\n"
    assert namespace.stderr == "This store has no runs in the namespace 'elsewhere'.\n"
    assert (known.stdout, known.stderr) == ("No runs match.\n", "")
    assert shop.ask("runs", "--status", "new", "--state", "paused").stderr == ""


@pytest.mark.parametrize("command", [("runs",), ("audit",), ("dead-letters", "list")])
def test_a_place_that_no_list_ended_at_is_refused(shop: Shop, command: tuple[str, ...]) -> None:
    shop.trigger("o-1")
    done = shop.ask(*command, "--after", "nope")

    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("flowdsl: --after 'nope' is no place in this list. Give what a list says under it")


def test_letters_are_listed_after_one_that_is_gone(shop: Shop) -> None:
    shop.trigger("o-1")

    assert shop.ask("dead-letters", "list", "--after", "01a219ee-0c0b-713c-a646-29d51bcabae6").exit_code == 0


@pytest.mark.parametrize(
    "command", [("dead-letters", "list"), ("schedules", "list"), ("dead-letters", "drop", "--all", "-r", "x")]
)
def test_other_lists_that_are_empty_say_that_there_is_no_such_workflow(shop: Shop, command: tuple[str, ...]) -> None:
    shop.trigger("o-1")
    known, unknown = (shop.ask(*command, "--workflow", name) for name in ("orders", "ordres"))

    assert (known.exit_code, unknown.exit_code) == (0, 0)
    assert "No stored run" not in known.stderr
    assert "No stored run is of a workflow 'ordres'. Did you mean 'orders'?" in unknown.stderr


def test_letters_of_an_origin_that_there_is_not_are_told_apart_from_none(shop: Shop) -> None:
    shop.trigger("o-1")
    listed_, dropped = (
        shop.ask("dead-letters", *more, "--origin", "hok") for more in (("list", "--json"), ("drop", "--all", "--reason", "x"))
    )

    assert listed_.stdout == dropped.stdout == ""
    assert listed_.stderr == "No letter is from a 'hok'. Did you mean 'hook'? They come from a connector, a hook, a callback.\n"
    assert dropped.stderr == f"No dead letters match.\n{listed_.stderr}"
    assert shop.ask("dead-letters", "list", "--origin", "hook").stderr == ""


def test_a_refusal_names_the_run_as_it_was_typed_and_its_id_beside_it(shop: Shop) -> None:
    (run,) = lines(shop.trigger("o-1", "--json"))
    run_id = run["run_id"]
    shop.ask("pause", "orders/o-1", "--reason", "stock")
    said = [
        shop.ask("pause", "orders/o-1", "--reason", "stock").stderr,
        shop.ask("delete", "orders/o-1", "--reason", "asked").stderr,
        shop.ask("retry", "orders/o-1").stderr,
        shop.run("move", "orders/o-1", "--to", "new", "--reason", "x", "--app", shop.target).stderr,
        shop.run("restart", "orders/o-1", "--app", shop.target).stderr,
    ]
    by_id = shop.ask("pause", run_id, "--reason", "stock").stderr

    assert [text.startswith(f"flowdsl: orders/o-1 (run {run_id}) ") for text in said] == [True] * 5, said
    assert said[0].endswith(" is paused already.\n")
    assert by_id == f"flowdsl: run {run_id} is paused already.\n"


def test_a_run_of_a_workflow_that_there_is_not_is_told_apart(shop: Shop) -> None:
    shop.trigger("o-1")
    done = shop.ask("show", "ordres/o-1")

    assert done.exit_code == 4
    assert "no stored run is of a workflow 'ordres'. Did you mean 'orders'?" in done.stderr
