"""The table of behaviours in tests/behaviours: every entry says what flowdsl does and which tests would fail if it did not, or
why it does something else, or what will bring it."""

from __future__ import annotations

import ast
import itertools
import re
import tomllib
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "tests" / "behaviours"

SECTIONS: dict[str, tuple[int, int]] = {
    "a": (1, 29),
    "b": (30, 43),
    "c": (44, 75),
    "d": (76, 97),
    "e": (98, 108),
    "f": (109, 125),
    "g": (126, 142),
    "h": (143, 151),
    "i": (152, 161),
    "j": (162, 173),
    "k": (174, 185),
    "l": (186, 200),
    "m": (201, 206),
    "n": (207, 210),
    "o": (211, 233),
    "p": (234, 241),
    "q": (242, 251),
    "r": (252, 259),
    "s": (260, 271),
    "t": (272, 300),
    "u": (301, 305),
    "v": (306, 319),
    "w": (320, 342),
    "x": (343, 346),
    "defects": (1, 96),
}
"""File: the first and the last number of its entries, none left out."""

ANSWERS = frozenset({"tests", "why_not", "later"})
WHERE_TESTS_ARE = ("tests/", "flowdsl/testing/contracts/")
NAMED = re.compile(r"[\w./]+\.py::[\w:]+")
"""A test that the text of an entry names."""


def entries(section: str) -> list[dict[str, Any]]:
    """The entries of a file, as they are written."""
    return tomllib.loads((TABLE / f"{section}.toml").read_text("utf-8"))["entry"]  # type: ignore[no-any-return]


def expected(section: str) -> list[str]:
    first, last = SECTIONS[section]
    return [f"{'D' if section == 'defects' else ''}{number}" for number in range(first, last + 1)]


@cache
def defined_in(path: str) -> frozenset[str]:
    """The tests that a file defines: `test_x`, and `Suite::test_x` for those of a class."""
    file = ROOT / path
    if not file.is_file():
        return frozenset()
    found: set[str] = set()
    for node in ast.parse(file.read_text("utf-8")).body:
        found |= functions(node)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{name}" for part in node.body for name in functions(part)}
    return frozenset(name for name in found if name.rpartition("::")[2].startswith("test_"))


def functions(node: ast.AST) -> set[str]:
    """The name of the function that this is, if it is one."""
    return {node.name} if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else set()


def unknown_test(name: str) -> bool:
    """Whether no test has this name, `file::test_x` or `file::Suite::test_x`."""
    path, _, test = name.partition("::")
    return not path.startswith(WHERE_TESTS_ARE) or test not in defined_in(path)


def faults(entry: Mapping[str, Any]) -> list[str]:
    """Everything that is wrong with one entry."""
    found = [f"the key {key!r} is unknown" for key in entry if key not in {"id", "says", *ANSWERS}]
    if len(ANSWERS & entry.keys()) != 1:
        found.append(f"exactly one of {', '.join(sorted(ANSWERS))} is needed")
    for key in {"id", "says", "why_not", "later"} & {"id", "says", *entry}:
        text = entry.get(key)
        if not isinstance(text, str) or not text.strip() or "\n" in text:
            found.append(f"{key} is not a line of text")
        else:
            found += [f"there is no test {name}" for name in NAMED.findall(text) if unknown_test(name)]
    named = entry.get("tests", ["none is asked for"])
    if not isinstance(named, list) or not named or not all(isinstance(name, str) for name in named):
        return [*found, "tests is not a list of names"]
    found += [f"{name} is named twice" for name, count in Counter(named).items() if count > 1]
    return found + [f"there is no test {name}" for name in entry.get("tests", ()) if unknown_test(name)]


def test_every_file_of_the_table_is_a_section() -> None:
    assert {file.name for file in TABLE.iterdir()} == {f"{section}.toml" for section in SECTIONS}


def test_no_number_is_left_out_between_two_sections() -> None:
    ranges = [numbers for section, numbers in SECTIONS.items() if section != "defects"]

    assert all(later[0] == earlier[1] + 1 for earlier, later in itertools.pairwise(ranges))
    assert (ranges[0][0], ranges[-1][1], SECTIONS["defects"]) == (1, 346, (1, 96))


@pytest.mark.parametrize("section", SECTIONS)
def test_every_behaviour_is_there_once_and_in_order(section: str) -> None:
    assert [entry.get("id") for entry in entries(section)] == expected(section)


@pytest.mark.parametrize("section", SECTIONS)
def test_every_entry_says_what_happens_and_names_tests_that_exist_or_a_reason(section: str) -> None:
    found = {entry.get("id"): faults(entry) for entry in entries(section)}

    assert {number: wrong for number, wrong in found.items() if wrong} == {}


HERE = "tests/unit/test_behaviours.py::test_every_file_of_the_table_is_a_section"
SUITE = "flowdsl/testing/contracts/runs.py::RunRules::test_one_unfinished_run_per_foreign_id"


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ({"tests": [HERE, SUITE]}, []),
        ({"why_not": f"Because; see {HERE}."}, []),
        ({"later": "With callbacks."}, []),
        ({}, ["exactly one of later, tests, why_not is needed"]),
        ({"tests": [HERE], "later": "x"}, ["exactly one of later, tests, why_not is needed"]),
        ({"tests": []}, ["tests is not a list of names"]),
        ({"tests": HERE}, ["tests is not a list of names"]),
        ({"tests": [HERE, HERE]}, [f"{HERE} is named twice"]),
        ({"tests": [f"{HERE}_x"]}, [f"there is no test {HERE}_x"]),
        ({"tests": ["tests/unit/no_such.py::test_x"]}, ["there is no test tests/unit/no_such.py::test_x"]),
        ({"tests": ["tests/unit/test_behaviours.py::faults"]}, ["there is no test tests/unit/test_behaviours.py::faults"]),
        ({"tests": ["test_one_unfinished_run_per_foreign_id"]}, ["there is no test test_one_unfinished_run_per_foreign_id"]),
        ({"why_not": "see tests/unit/x.py::test_x"}, ["there is no test tests/unit/x.py::test_x"]),
        ({"why_not": " "}, ["why_not is not a line of text"]),
        ({"later": ["x"]}, ["later is not a line of text"]),
        ({"later": "x", "says": ""}, ["says is not a line of text"]),
        ({"later": "x", "note": "y"}, ["the key 'note' is unknown"]),
    ],
)
def test_an_entry_that_does_not_answer_is_found(answer: dict[str, Any], found: list[str]) -> None:
    assert faults({"id": "1", "says": "What happens.", **answer}) == found
