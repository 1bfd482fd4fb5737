"""flowdsl docs: build and check."""

from __future__ import annotations

import re
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

import flowdsl.cli.plugins as plugin_module
from flowdsl.cli.main import app
from flowdsl.cli.plugins import plugins

SHOP = "tests.unit.pages.shop"


def docs(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["docs", *arguments], prog_name="flowdsl")


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path("pages")


def test_pages_are_written_once_and_are_then_up_to_date(out: Path) -> None:
    made, again, checked = (docs(verb, SHOP, "--out", str(out)) for verb in ("build", "build", "check"))

    assert made.exit_code == again.exit_code == checked.exit_code == 0
    assert sorted(made.stdout.split()) == sorted(f"pages/{name}" for name in (
        "asyncapi.json", "index.html", "index.md", "orders.html", "orders.md",
    ))  # fmt: skip
    assert (again.stdout, again.stderr) == ("", "Everything was up to date.\n")
    assert checked.stdout == ""


def test_a_stale_page_is_a_diff_and_exit_code_1(out: Path) -> None:
    docs("build", SHOP, "--out", str(out), "--format", "markdown")
    page = out / "orders.md"
    page.write_text(page.read_text().replace("Take the money", "Give the money"))
    done = docs("check", SHOP, "--out", str(out), "--format", "markdown")

    assert done.exit_code == 1
    assert "--- pages/orders.md\n+++ pages/orders.md\n" in done.stdout
    assert re.search(r"^-Give the money", done.stdout, re.MULTILINE)
    assert re.search(r"^\+Take the money", done.stdout, re.MULTILINE)
    assert "flowdsl docs build" in done.stderr
    assert page.read_text().count("Give the money"), "a check changes nothing"


def test_a_missing_page_is_a_diff_too(out: Path) -> None:
    docs("build", SHOP, "--out", str(out))
    (out / "index.html").unlink()
    done = docs("check", SHOP, "--out", str(out))

    assert done.exit_code == 1
    assert done.stdout.startswith("--- /dev/null\n+++ pages/index.html\n")


def test_a_page_of_a_workflow_that_is_gone_is_stale_and_removed_and_others_are_left(out: Path) -> None:
    docs("build", SHOP, "--out", str(out))
    (out / "orders.md").rename(out / "gone.md")
    (out / "by-hand.md").write_text("# Mine\n")
    docs("build", SHOP, "--out", str(out))
    (out / "orders.html").rename(out / "also-gone.html")
    checked, built = docs("check", SHOP, "--out", str(out)), docs("build", SHOP, "--out", str(out))

    assert "--- pages/also-gone.html\n+++ /dev/null\n" in checked.stdout
    assert sorted(built.stdout.split()) == ["pages/also-gone.html", "pages/orders.html"]
    assert sorted(path.name for path in out.glob("*.md")) == ["by-hand.md", "index.md", "orders.md"]


def test_pictures_of_another_graphviz_are_not_stale(out: Path) -> None:
    docs("build", SHOP, "--out", str(out))
    page = out / "orders.html"
    page.write_text(re.sub(r"<svg.*?</svg>", "<svg>drawn elsewhere</svg>", page.read_text(), flags=re.DOTALL))
    same = docs("check", SHOP, "--out", str(out))
    page.write_text(page.read_text().replace('data-of="', 'data-of="0'))
    other = docs("check", SHOP, "--out", str(out))

    assert (same.exit_code, other.exit_code) == (0, 1)


def test_marked_parts_are_filled_and_checked(out: Path) -> None:
    readme = Path("README.md")
    readme.write_text("# Mine\n\n<!-- flowdsl: diagram orders -->\n<!-- /flowdsl -->\n")
    stale, built, checked = (docs(verb, f"{SHOP}:orders", "--inject", "README.md") for verb in ("check", "build", "check"))

    assert (stale.exit_code, built.exit_code, checked.exit_code) == (1, 0, 0)
    assert "+```mermaid" in stale.stdout
    assert built.stdout == "README.md\n"
    assert "stateDiagram-v2" in readme.read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((SHOP,), "there is nothing to make. Give --out FOLDER, --inject FILE, or both."),
        ((SHOP, "--inject", "nowhere.md"), "there is no file nowhere.md."),
        (("json", "--out", "x"), "json has no workflows."),
        (("no_such_module_here", "--out", "x"), "there is no module 'no_such_module_here'."),
        ((SHOP, "examples.workflows", "--out", "x"), "two workflows are called 'orders'."),
    ],
)
@pytest.mark.parametrize("verb", ["build", "check"])
def test_what_cannot_be_done_is_explained(out: Path, verb: str, arguments: tuple[str, ...], said: str) -> None:
    done = docs(verb, *arguments)

    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
    assert not Path("x").exists()


def test_a_plugin_that_cannot_be_imported_is_left_out_with_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    points = [
        EntryPoint("broken", "no_such_module_here:app", plugin_module.COMMANDS),
        EntryPoint("docs", "flowdsl_docs.commands:docs", plugin_module.COMMANDS),
        EntryPoint("strange", "json:dumps", plugin_module.COMMANDS),
    ]
    monkeypatch.setattr(plugin_module, "entry_points", lambda group: points)
    found = dict(plugins())

    assert list(found) == ["docs"]
    assert isinstance(found["docs"], typer.Typer)
    assert "The command broken" in capsys.readouterr().err
