"""MODULE:NAME leads to an object, or to a line that says why not."""

from __future__ import annotations

import pytest

from tests.unit.cli.conftest import Shop


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("{module}", "'{module}' names no engine. Write {module}:engine."),
        ("{module}:", "names no engine"),
        ("{module}:enigne", "Did you mean {module}:engine?"),
        ("{module}:orders", "{module}:orders is a Workflow, not an Engine"),
        ("{module}:Order", "not an Engine"),
        ("{module}.py:engine", "is a file, not a module. Write {module}, as in an import."),
        ("no such:engine", "is not the name of a module"),
        ("nowhere_at_all:engine", "there is no module 'nowhere_at_all'."),
        ("x{module}:engine", "Did you mean {module}?"),
    ],
)
def test_a_target_that_leads_nowhere_is_explained(shop: Shop, target: str, says: str) -> None:
    done = shop.run("trigger", target.format(module=shop.module), "orders", "1")

    assert done.exit_code == 2
    assert says.format(module=shop.module) in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_module_that_fails_is_named_with_file_and_line(shop: Shop) -> None:
    module = shop.write("broken", "import os\n\nprint(1 / 0)\n")
    done = shop.run("trigger", f"{module}:engine", "orders", "1")

    assert done.exit_code == 2
    assert f"{module}.py:3: ZeroDivisionError" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_import_inside_the_module_is_not_taken_for_the_module(shop: Shop) -> None:
    module = shop.write("lacking", "import nowhere_at_all\n")
    done = shop.run("trigger", f"{module}:engine", "orders", "1")

    assert f"{module} failed at" in done.stderr
    assert "No module named 'nowhere_at_all'" in done.stderr


def test_debug_shows_the_traceback(shop: Shop) -> None:
    module = shop.write("broken_too", "1 / 0\n")
    done = shop.run("--debug", "trigger", f"{module}:engine", "orders", "1")

    assert "Traceback" in done.stderr
    assert done.exit_code == 2


def test_an_error_nobody_expected_is_one_line_and_code_70(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("of its own\nkind")

    monkeypatch.setattr("flowdsl.cli.commands.runs.connected", fails)
    done = shop.run("runs")

    assert done.exit_code == 70
    assert "unexpected RuntimeError: of its own kind. flowdsl --debug ... shows where." in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_environment_names_app_and_store(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.trigger("o-1")
    monkeypatch.setenv("FLOWDSL_APP", shop.target)
    by_app = shop.run("runs", "--json")
    monkeypatch.delenv("FLOWDSL_APP")
    monkeypatch.setenv("FLOWDSL_STORE", shop.url)
    by_store = shop.run("runs", "--json")

    assert by_app.stdout == by_store.stdout
    assert '"foreign_id":"o-1"' in by_app.stdout


def test_an_app_on_the_command_line_is_not_sent_to_the_environments_store(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.trigger("o-1")
    monkeypatch.setenv("FLOWDSL_STORE", "sqlite:///elsewhere.db")

    assert "o-1" in shop.run("runs", "--app", shop.target).stdout


def test_a_namespace_sees_its_own_runs_only(shop: Shop) -> None:
    shop.trigger("o-1")

    assert shop.ask("runs", "--json", "--namespace", "other").stdout == ""
    assert "o-1" in shop.ask("runs", "--json", "--namespace", "default").stdout
