"""The mutants follow the code: each still is a change of one place, and of its own. Whether they are found is for the session
`mutants` to say."""

from __future__ import annotations

import ast
from collections import Counter

import pytest

from tests.mutants.__main__ import MUTANTS
from tests.mutants.mutant import Mutant, StaleMutantError
from tests.mutants.workshop import ROOT


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_changes_one_place_and_is_still_python(mutant: Mutant) -> None:
    text = (ROOT / mutant.file).read_text("utf-8")

    mutated = mutant.mutated(text)

    assert mutated != text
    ast.parse(mutated)


def test_a_mutant_whose_text_is_gone_is_an_error() -> None:
    mutant = Mutant(name="m", file="f", old="gone", new="", why="")

    with pytest.raises(StaleMutantError, match="0 times"):
        mutant.mutated("something else")


def test_there_are_enough_mutants_and_no_two_alike() -> None:
    assert len(MUTANTS) >= 30
    assert max(Counter(mutant.name for mutant in MUTANTS).values()) == 1
    assert max(Counter((mutant.file, mutant.old) for mutant in MUTANTS).values()) == 1
