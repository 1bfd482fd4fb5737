"""The pages on operating and upgrading tell the truth: their code runs, their commands exist, their table is complete."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from flowdsl.cli.main import app
from flowdsl.model.condition import FIELDS, METADATA, OPS, STATES, Kind
from flowdsl.model.where import Where
from tests.docs.test_readme import FIRST

ROOT = Path(__file__).parent.parent.parent
OPERATING = (ROOT / "docs" / "operating.md").read_text("utf-8")
UPGRADING = (ROOT / "docs" / "upgrading.md").read_text("utf-8")
COMMANDS = re.findall(
    r"^ *(flowdsl .*)$", "\n".join(re.findall(r"```sh\n(.*?)```", OPERATING + UPGRADING, re.DOTALL)), re.MULTILINE
)


def call(folder: Path, *command: str) -> str:
    """What a command prints, started in the folder as a reader would; it has to succeed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *command], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def flowdsl(folder: Path, *words: str) -> str:
    return call(folder, "-c", "from flowdsl.cli.main import main; main()", *words)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder with shop.py, which was started once."""
    (tmp_path / "shop.py").write_text(FIRST)
    call(tmp_path, "shop.py")
    return tmp_path


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_does_what_it_says(shop: Path, line: str) -> None:
    words = shlex.split(line.replace("postgresql+psycopg://user@host/db", "sqlite:///first.db"))[1:]
    more = [] if words[0] == "check" else ["--store", "sqlite:///first.db"]
    if words[:2] == ["runs", "retry"] and "--dry-run" not in words:
        more.append("--yes")

    assert flowdsl(shop, *words, *more)


def test_the_python_of_the_page_on_operating_runs(shop: Path) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", OPERATING, re.DOTALL)
    (shop / "mend.py").write_text(block)

    assert call(shop, "mend.py") == "0 0 {}\n"


def test_the_workflow_of_the_page_on_upgrading_is_sound_and_takes_the_shops_runs_over(shop: Path) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", UPGRADING, re.DOTALL)
    (shop / "newer.py").write_text(
        block + '\nfrom flowdsl import Engine\n\nengine = Engine.from_url(orders, store="sqlite:///first.db")\n'
    )
    flowdsl(shop, "trigger", "shop:engine", "orders", "order-7", "--object", '{"total": 5}', "--status", "paid")

    assert "1 to be migrated" in flowdsl(shop, "check", "newer:engine", "--against", "sqlite:///first.db")
    flowdsl(shop, "migrate", "newer:engine")
    shown = json.loads(flowdsl(shop, "show", "orders/order-7", "--store", "sqlite:///first.db", "--json"))
    assert shown["run"]["status"] == "charged"
    assert (shown["object"]["cents"], shown["object"]["was_paid"]) == (500, True)


def rows() -> dict[str, tuple[str, str]]:
    """Field to what it is and its operators, as the page has them."""
    table = OPERATING.split("| field | what it is | operators |\n", 1)[1].split("\n\n", 1)[0]
    found: dict[str, tuple[str, str]] = {}
    for line in table.splitlines()[1:]:
        names, says, operators = (cell.strip() for cell in line.strip("|").split("|"))
        found.update(dict.fromkeys(re.findall(r"`([^`]+)`", names), (says, operators)))
    return found


def test_the_table_of_fields_is_complete_and_right() -> None:
    assert set(rows()) == {*FIELDS, f"{METADATA}NAME"}
    for name, (says, operators) in rows().items():
        kind = FIELDS[name].kind if name in FIELDS else Kind.TEXT
        known = {op.value for op in OPS[kind] if op.value != "not in"}
        if operators == "all but `~`":
            assert kind is Kind.NUMBER
        else:
            assert set(re.findall(r"`([^`]+)`", operators)) == known, name
        if kind is Kind.STATE:
            assert set(says.split(", ")) == set(STATES)


def test_the_wheres_of_the_pages_mean_something() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    wheres = re.findall(r'(?:--where|retry\() ?"([^"]+)"', OPERATING + readme)

    assert len(wheres) >= 4
    for where in wheres:
        Where.parse(where)


def test_the_commands_in_the_table_exist() -> None:
    commands: Any = get_command(app)
    many = commands.commands["runs"].commands

    assert set(many) == {"retry", "move", "pause", "resume", "cancel", "delete"}
    for name in re.findall(r"`flowdsl ([a-z][a-z-]+)", OPERATING):
        assert name in commands.commands
