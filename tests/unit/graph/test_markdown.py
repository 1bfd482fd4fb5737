"""The table of transitions, read by a Markdown parser."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from flowdsl.graph.build import FlowGraph
from flowdsl.graph.markdown import code, escaped
from tests.unit.graph.graphs import PICKUP, graphs, names

PARSER = MarkdownIt("commonmark").enable("table")


def shown(markdown: str) -> str:
    """The text that a reader sees of a line, without its ends."""
    (inline,) = [token for token in PARSER.parse(f"x {markdown} x") if token.type == "inline"]
    assert {child.type for child in inline.children or ()} <= {"text", "code_inline", "text_special"}
    return "".join(child.content for child in inline.children or ()).removeprefix("x").removesuffix("x").strip()


def cells(markdown: str) -> list[list[str]]:
    rows: list[list[str]] = []
    for token in PARSER.parse(markdown):
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            rows[-1].append(token.content)
    return rows


def printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text).strip()


def test_a_row_says_from_where_by_what_where_to_and_what_for() -> None:
    head, *rows = PICKUP.table().splitlines()

    assert head == "| From | By | To | What it does |"
    assert rows[1] == "| Created *(start)* | `charge` | Paid, Cancelled *(end)* | Charge. |"
    assert rows[4] == "| Awaiting pickup | `nobody_came` (after 3 days) | Cancelled *(end)* | Nobody came. |"


@given(graph=graphs)
def test_any_names_make_one_table_with_four_cells_a_row(graph: FlowGraph) -> None:
    found = cells(graph.table())

    assert len(found) == len(graph.diagram().arrows) + 1
    assert {len(row) for row in found} == {4}


@given(text=names | st.text(alphabet="`*_[]<>|&~\\ ab!$#"))
def test_escaped_text_is_shown_as_it_is(text: str) -> None:
    assert " ".join(shown(escaped(text)).split()) == " ".join(printable(text).split())


@given(text=st.text(alphabet="`ab _*<"))
def test_code_is_shown_as_it_is(text: str) -> None:
    assert shown(code(text)) == printable(text)
