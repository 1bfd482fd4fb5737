"""Diagrams between markers in pages that people write."""

from __future__ import annotations

import pytest

from flowdsl.cli.problem import UsageProblem
from flowdsl_docs.inject import injected
from tests.unit.pages.shop import orders

BY_NAME = {"orders": orders, "my orders": orders}


def between(words: str, old: str = "old\n") -> str:
    return injected(f"# Shop\n\n<!-- flowdsl: {words} -->\n{old}<!-- /flowdsl -->\n\nEnd.\n", BY_NAME, "README.md")


def test_what_is_between_the_markers_is_made_anew_and_the_rest_is_left() -> None:
    text = between("diagram orders")

    assert text.startswith("# Shop\n\n<!-- flowdsl: diagram orders -->\n\n```mermaid\n---\n")
    assert text.endswith("```\n\n<!-- /flowdsl -->\n\nEnd.\n")
    assert "\nold\n" not in text
    assert orders.graph.mermaid() in text
    assert injected(text, BY_NAME, "README.md") == text


@pytest.mark.parametrize(
    ("words", "made"),
    [
        ("diagram orders direction=TB", orders.graph.mermaid("TB")),
        ("diagram orders notes", orders.graph.mermaid(notes=True)),
        ("flowchart 'my orders' direction=rl notes", orders.graph.flowchart("RL", notes=True)),
        ("table orders", orders.graph.table()),
        ("text orders", orders.graph.text()),
    ],
)
def test_the_marker_says_which_form_and_how(words: str, made: str) -> None:
    assert made.strip() in between(words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("diagrm orders", "README.md:3: there is no form 'diagrm'. Did you mean 'diagram'?"),
        ("diagram order", "README.md:3: there is no workflow 'order'. Did you mean 'orders'?"),
        ("diagram orders upwards", "README.md:3: 'upwards' says nothing. There are notes"),
        ("diagram", "README.md:3: 'diagram' does not say what to draw."),
        ("diagram 'orders", "does not say what to draw"),
    ],
)
def test_a_marker_that_cannot_be_followed_is_refused_with_its_line(words: str, said: str) -> None:
    with pytest.raises(UsageProblem) as error:
        between(words)
    assert said in str(error.value)


def test_a_part_without_an_end_and_a_text_without_a_part_are_refused() -> None:
    begin = "<!-- flowdsl: diagram orders -->"
    for text in (f"{begin}\nold", f"{begin}\n{begin}\n<!-- /flowdsl -->"):
        with pytest.raises(UsageProblem, match=r"a\.md:1: the part has no end"):
            injected(text, BY_NAME, "a.md")
    with pytest.raises(UsageProblem, match="has no place for a diagram"):
        injected("# Nothing\n", BY_NAME, "a.md")


def test_markers_in_fenced_code_are_left_alone() -> None:
    shown = "````markdown\n```\n<!-- flowdsl: diagram orders -->\n<!-- /flowdsl -->\n````\n"
    text = injected(f"{shown}\n<!-- flowdsl: text orders -->\n<!-- /flowdsl -->\n", BY_NAME, "a.md")

    assert text.startswith(shown)
    assert text.count("● Created") == 1
