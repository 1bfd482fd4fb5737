"""What the papers around the code say about it is true."""

from __future__ import annotations

import ast
import os
import re
import tomllib

import pytest

from tests.house.source import ROOT

NOT_IN_CI = {
    "tests": "its command is the README's, which CI runs as it stands",
    "contracts": "the tests hold them, and CI's fail where a server is missing",
    "bench": "numbers of a shared machine decide nothing",
    "soak": "it takes an hour; the chaos does the same things to a fleet for two minutes",
    "matrix": "it takes twenty minutes; the pairs that people choose most are in the tests",
}
"""Sessions that CI does not run: why."""


def read(path: str) -> str:
    return (ROOT / path).read_text("utf-8")


def nox_sessions() -> set[str]:
    functions = (node for node in ast.parse(read("noxfile.py")).body if isinstance(node, ast.FunctionDef))
    return {f.name for f in functions if any(ast.unparse(d).startswith("nox.session") for d in f.decorator_list)}


def section(text: str, heading: str) -> str:
    match = re.search(rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert match is not None, f"no heading {heading!r}"
    return match[1]


def test_contributing_lists_every_nox_session_and_no_other() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", section(read("CONTRIBUTING.md"), "Sessions"), re.MULTILINE)

    assert sorted(rows) == sorted(nox_sessions())


def test_ci_runs_every_session_that_it_should() -> None:
    listed = re.search(r"^sessions=\((.*?)\)$", read(".ci/run"), re.MULTILINE)

    assert listed is not None
    assert set(listed[1].split()) == nox_sessions() - set(NOT_IN_CI)


def test_ci_can_be_started() -> None:
    assert os.access(ROOT / ".ci/run", os.X_OK)


@pytest.mark.parametrize("heading", ["Run it", "Test it"])
def test_the_readme_has_one_command_under_each_of_its_headings(heading: str) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```$", section(read("README.md"), heading), re.MULTILINE | re.DOTALL)

    assert len(blocks) == 1
    assert len(blocks[0].splitlines()) == 1


def test_every_dependency_of_users_has_one_lower_bound_and_no_upper() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    extras = project["optional-dependencies"]
    texts = [*project["dependencies"], *(text for name in extras if name not in ("all", "dev") for text in extras[name])]

    assert [text for text in texts if not re.fullmatch(r"[\w.-]+(\[\w+\])?>=[\d.]+", text)] == []


def test_the_extra_all_is_all_that_users_may_need() -> None:
    extras = tomllib.loads(read("pyproject.toml"))["project"]["optional-dependencies"]
    (every,) = extras["all"]

    assert set(every.removeprefix("flowdsl[").removesuffix("]").split(",")) == set(extras) - {"all", "site", "dev"}


def test_the_changelog_begins_with_what_is_not_released() -> None:
    headings = re.findall(r"^## (.+)$", read("CHANGELOG.md"), re.MULTILINE)

    assert headings[0] == "Unreleased"
