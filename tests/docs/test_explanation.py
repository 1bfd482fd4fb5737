"""The pages that explain tell the truth: the tests and commands that they name are there, tables and figures are the code's."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from docs.drawings import WAYS
from flowdsl.model.limits import MAX_EVENT, MAX_NOTE, MAX_PAYLOAD, MAX_TEXT
from flowdsl.model.run_state import ALLOWED_MOVES, RunState
from tests.docs.test_docs import ROOT
from tests.house.test_repository import nox_sessions
from tests.unit.test_behaviours import unknown_test

GUARANTEES = (ROOT / "docs" / "guarantees.md").read_text("utf-8")
THREATS = (ROOT / "docs" / "threats.md").read_text("utf-8")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
NAMED = re.compile(r"`((?:tests|flowdsl)/[\w/]+\.py::[\w:]+)`")


@pytest.mark.parametrize("page", [GUARANTEES, THREATS], ids=["guarantees", "threats"])
def test_every_test_that_is_named_is_there(page: str) -> None:
    named = NAMED.findall(page)

    assert len(named) > 10
    assert [name for name in named if unknown_test(name)] == []


def test_every_promise_names_its_tests() -> None:
    promised = GUARANTEES.split("\n## What is promised\n")[1].split("\n## ")[0]
    defended = THREATS.split("\n## What is defended\n")[1].split("\n## ")[0]
    sections = [section for page in (promised, defended) for section in page.split("\n### ")[1:]]

    assert len(sections) > 15
    assert [section.splitlines()[0] for section in sections if not NAMED.search(section)] == []


def test_every_invariant_of_the_simulation_is_mentioned() -> None:
    assert set(re.findall(r"I\d+", GUARANTEES)) == {f"I{number}" for number in range(1, 13)}


def test_the_commands_that_repeat_are_there() -> None:
    assert set(re.findall(r"`nox -s (\w+)`", GUARANTEES)) <= nox_sessions()
    files = re.findall(r"`python -m pytest -q ([\w/.]+)`", GUARANTEES)
    modules = re.findall(r"`python -m (tests\.\w+)`", GUARANTEES)

    assert (len(files), len(modules)) == (4, 1)
    assert [name for name in files if not (ROOT / name).exists()] == []
    assert [name for name in modules if not (ROOT / name.replace(".", "/") / "__main__.py").exists()] == []


@pytest.mark.slow
def test_the_simulation_is_started_as_it_says() -> None:
    (command,) = re.findall(r"^```sh\n(.*?)\n```$", GUARANTEES, re.MULTILINE | re.DOTALL)
    program, *words = command.split()
    assert program == "python"

    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_picture_of_states_has_every_allowed_move() -> None:
    allowed = {(before, after) for before, moves in ALLOWED_MOVES.items() for after in moves if before is not RunState.UNKNOWN}

    assert set(WAYS) == allowed


def test_the_floors_are_those_that_the_checker_holds() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract["id"] == "floors"]
    table = ARCHITECTURE.split("| floor | rooms |\n| --- | --- |\n")[1].split("\n\n")[0]

    told = [set(re.findall(r"`(\w+)`", line)) for line in table.splitlines()]

    assert told == [set(re.findall(r"\w+", floor)) for floor in layers]


def test_the_limits_are_the_librarys() -> None:
    said = "an event that a step publishes 512 KiB, a reason or an error 4,000 characters, an id, a name or a tag 255."

    assert f"An object has at most 1 MiB, {said}" in THREATS
    assert (MAX_PAYLOAD, MAX_EVENT, MAX_NOTE, MAX_TEXT) == (1024 * 1024, 512 * 1024, 4000, 255)


def test_the_index_leads_to_every_page() -> None:
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    pages: list[Path] = [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "reference").glob("*.md")]

    for page in pages:
        if page.name != "index.md":
            assert f"({page.relative_to(ROOT / 'docs').as_posix()})" in index
