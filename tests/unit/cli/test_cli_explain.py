"""Why a run is where it is, on the command line."""

from __future__ import annotations

import json

from tests.unit.cli.conftest import Shop


def test_a_run_is_explained_in_sentences_with_what_would_change_it(shop: Shop) -> None:
    shop.trigger("o-1")
    done = shop.ask("explain", "orders/o-1")

    assert done.exit_code == 0
    head, due, nobody, remedy = done.stdout.splitlines()
    assert head.startswith("orders/o-1  initiated  in new  (")
    assert due.startswith("- The step of 'new' is due since ")
    assert due.endswith(" ago)")
    assert nobody == "- No instance is alive: nobody works on runs."
    assert remedy == "  Start one with the workflow's code: flowdsl run MODULE:ENGINE."


def test_what_goes_on_in_the_next_line_is_indented(shop: Shop) -> None:
    shop.trigger("o-1")
    _, *narrow = shop.ask("explain", "orders/o-1", columns=50).stdout.splitlines()

    assert all(line.startswith(("- ", "  ")) and len(line) <= 50 for line in narrow[1:])
    assert len(narrow) > 4


def test_with_the_code_the_step_has_its_name(shop: Shop) -> None:
    shop.trigger("o-1")

    assert "- Step charge is due since" in shop.run("explain", "orders/o-1", "--app", shop.target).stdout


def test_an_explanation_is_one_object_for_programs(shop: Shop) -> None:
    shop.trigger("o-1")
    shop.ask("pause", "orders/o-1", "--reason", "stock\x07", "--actor", "ada")
    found = json.loads(shop.ask("explain", "orders/o-1", "--json").stdout)
    text = shop.ask("explain", "orders/o-1").stdout

    assert [(reason["because"], reason["at"] is not None) for reason in found["reasons"]] == [("paused", True)]
    assert "\x07" not in text
    assert "ada paused it at" in text


def test_a_run_that_is_not_there_is_code_4(shop: Shop) -> None:
    shop.trigger("o-1")

    assert shop.ask("explain", "orders/nope").exit_code == 4
