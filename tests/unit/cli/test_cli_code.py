"""What is said about workflows and tables: graph, check, db."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.readers import graphviz
from tests.unit.cli.conftest import Shop

UNSOUND = """
from enum import StrEnum
from flowdsl import Workflow

class Status(StrEnum):
    A = "a"
    B = "b"
    LOST = "lost"

loops = Workflow("loops", object_type=dict, status_type=Status)

@loops.step(from_=Status.A, to=Status.B)
def there(run):
    return Status.B

@loops.step(from_=Status.B, to=Status.A)
def back(run):
    return Status.A
"""


DOUBTFUL = """
from enum import StrEnum
from flowdsl import Workflow

class Status(StrEnum):
    A = "a"
    B = "b"

doubtful = Workflow("doubtful", object_type=dict, status_type=Status)

@doubtful.step(from_=Status.A, to=Status.B, pause_after_err_count=0)
def go(run):
    return Status.B
"""


def test_a_graph_is_printed_for_mermaid_or_graphviz(shop: Shop) -> None:
    assert "stateDiagram-v2\n    direction LR\n" in shop.run("graph", shop.module).stdout
    assert "direction TB\n" in shop.run("graph", f"{shop.module}:orders", "--direction", "tb").stdout
    assert "flowchart BT\n" in shop.run("graph", shop.module, "-f", "flowchart", "-d", "BT").stdout
    assert shop.run("graph", f"{shop.module}:orders", "--format", "dot").stdout.startswith('digraph "orders" {')
    assert "rankdir=TB" in shop.run("graph", shop.module, "-f", "dot", "-d", "TB").stdout


def test_a_graph_is_printed_as_a_table_as_json_or_for_a_terminal(shop: Shop) -> None:
    assert "| New *(start)* | `charge` | Paid |  |" in shop.run("graph", shop.module, "-f", "table").stdout
    assert json.loads(shop.run("graph", shop.module, "-f", "json").stdout)["title"] == "orders"
    assert "● New\n▼ charge\n○ Paid\n" in shop.run("graph", shop.module, "-f", "text").stdout
    assert shop.run("graph", shop.module, "-f", "ascii").stdout.isascii()


def test_a_graph_is_written_to_a_file_whose_name_says_what_it_is(shop: Shop) -> None:
    graphviz()
    begins = {"a.svg": b"<?xml", "a.png": b"\x89PNG", "a.pdf": b"%PDF", "a.dot": b"digraph", "a.mmd": b"---", "a.txt": b"orders"}
    for name in begins:
        assert (shop.run("graph", shop.module, "--out", f"made/here/{name}").exit_code, name) == (0, name)

    folder = shop.folder / "made" / "here"
    assert {name: (folder / name).read_bytes().startswith(begin) for name, begin in begins.items()} == dict.fromkeys(begins, True)


def test_a_graph_shows_what_became_of_the_newest_runs(shop: Shop) -> None:
    for number in range(3):
        shop.trigger(f"order-{number}")
    shop.work("order-0", "order-1", "order-2")
    shop.trigger("order-3")
    done = shop.run("graph", shop.module, "-f", "json", "--runs", shop.url)
    drawn = json.loads(done.stdout)
    badges = {node["status"]: node["badge"] for node in drawn["nodes"]}

    assert (done.exit_code, done.stderr, drawn["title"]) == (0, "", "orders: 4 runs")
    assert badges["new"][0] == "1 here"
    assert badges["sent"] == ["3 ended"]
    assert [arrow["branches"][0]["badge"] for arrow in drawn["arrows"]] == [["3 runs"], ["3 runs"]]
    few = shop.run("graph", shop.module, "-f", "text", "--runs", shop.url, "--limit", "2")
    assert few.stdout.startswith("orders: 2 runs\n")
    assert "Count more: --limit" in few.stderr


def test_a_graph_of_runs_that_are_nowhere_is_explained(shop: Shop) -> None:
    assert shop.run("graph", shop.module, "--runs", "sqlite:///nowhere.db").exit_code == 3
    assert "--namespace is for --runs" in shop.run("graph", shop.module, "--namespace", "x").stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("{module}:Order",), "{module}:Order is a type, not a Workflow."),
        (("{module}", "-f", "table", "-d", "TB"), "--direction is for diagrams with arrows"),
        (("{module}", "-f", "dot", "--notes"), "--notes is for Mermaid"),
        (("{module}", "-f", "svg", "--theme", "dark"), "--theme is for Mermaid"),
        (("{module}", "-o", "picture"), "'picture' does not say what to make. Give --format"),
        (("json",), "json has no workflows"),
    ],
)
def test_a_graph_that_cannot_be_drawn_is_explained(shop: Shop, arguments: tuple[str, ...], says: str) -> None:
    done = shop.run("graph", *(argument.format(module=shop.module) for argument in arguments))

    assert (done.exit_code, done.stdout) == (2, "")
    assert says.format(module=shop.module) in done.stderr


def test_a_sound_workflow_has_no_findings(shop: Shop) -> None:
    done = shop.run("check", shop.module)

    assert (done.exit_code, done.stdout) == (0, "orders: sound, 2 steps, 3 statuses\n")
    assert shop.run("check", f"{shop.module}:orders", "--json").stdout == ""


def test_every_finding_is_a_line_with_its_place_and_the_code_is_1(shop: Shop) -> None:
    module = shop.write("unsound", UNSOUND)
    text, as_json = shop.run("check", module), shop.run("check", module, "--json")
    findings = [json.loads(line) for line in as_json.stdout.splitlines()]

    assert (text.exit_code, as_json.exit_code) == (1, 1)
    assert len(findings) == len(text.stdout.splitlines()) > 1
    assert all(f"{module}.py:" in line for line in text.stdout.splitlines())
    assert {finding["workflow"] for finding in findings} == {"loops"}
    assert all(finding["code"] and finding["message"] and finding["remedy"] for finding in findings)


def test_warnings_are_lines_and_only_strict_ends_with_1(shop: Shop) -> None:
    module = shop.write("doubtful", DOUBTFUL)
    text, strict = shop.run("check", module), shop.run("check", module, "--strict")
    (finding,) = [json.loads(line) for line in shop.run("check", module, "--json").stdout.splitlines()]

    assert (text.exit_code, strict.exit_code, text.stdout) == (0, 1, strict.stdout)
    assert f"{module}.py:11: warning: [unbounded-retry] step go is tried again without end" in text.stdout
    assert "doubtful: sound, 1 step, 2 statuses" in text.stdout
    assert (finding["level"], finding["code"], finding["workflow"]) == ("warning", "unbounded-retry", "doubtful")


def test_an_unsound_workflow_is_drawn_all_the_same(shop: Shop) -> None:
    assert "stateDiagram-v2" in shop.run("graph", shop.write("unsound_too", UNSOUND)).stdout


def test_findings_that_stop_the_module_are_lines_as_well(shop: Shop) -> None:
    module = shop.write(
        "unsound_engine", UNSOUND + "\nfrom flowdsl import Engine\nengine = Engine.from_url(loops, store='sqlite:///x')\n"
    )
    done = shop.run("check", module)

    assert done.exit_code == 1
    assert len(done.stdout.splitlines()) > 1


def test_a_declaration_that_is_refused_at_once_is_a_finding(shop: Shop) -> None:
    module = shop.write("refused", UNSOUND.replace("to=Status.B)", "to=Status.B, concurrency=0)"))
    done = shop.run("check", module)

    assert (done.exit_code, done.stderr) == (1, "")
    assert "[declaration] concurrency=0" in done.stdout
    assert done.stdout.count(f"{module}.py:") == 1


def test_tables_are_made_looked_at_and_checked(shop: Shop) -> None:
    missing = shop.ask("db", "check")
    made = shop.ask("db", "upgrade", "--json")
    current, checked = shop.ask("db", "current"), shop.ask("db", "check", "--json")

    assert missing.exit_code == 3
    assert json.loads(made.stdout)["version"] == current.stdout.strip()
    assert json.loads(checked.stdout)["fits"] is True


def test_tables_that_are_missing_are_a_finding(shop: Shop) -> None:
    (shop.folder / "empty.db").touch()
    done = shop.run("db", "check", "--store", "sqlite:///empty.db")

    assert done.exit_code == 1
    assert "flowdsl db upgrade" in done.stdout


def test_the_statements_are_printed_without_a_connection(shop: Shop) -> None:
    pytest.importorskip("psycopg")
    done = shop.run("db", "sql", "--store", "postgresql+psycopg://nobody:hunter2@nowhere.invalid/x")

    assert done.exit_code == 0
    assert "CREATE TABLE flowdsl_run" in done.stdout
    assert "hunter2" not in done.output


def test_help_loads_no_database_library() -> None:
    code = "import sys, flowdsl.cli.main; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)

    assert {"sqlalchemy", "alembic", "flowdsl_sql"} & set(done.stdout.split()) == set()
