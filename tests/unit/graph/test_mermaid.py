"""Mermaid text: what it says, and that Mermaid reads it whatever the names are."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import workflows
from flowdsl.cli.demo_workflow import orders as demo_orders
from flowdsl.graph.build import Direction, Edge, FlowGraph, Theme
from flowdsl.graph.diagram import Diagram, Mark
from flowdsl.graph.flowchart import flowchart
from flowdsl.graph.mermaid import mermaid
from tests.readers import Mermaid
from tests.unit.graph.graphs import LOAN, PICKUP, STEP, graph_of, graphs, names

GALLERY = [LOAN, PICKUP, demo_orders.graph, *(getattr(workflows, name).graph for name in workflows.__all__)]
STATE, FLOWCHART = "stateDiagram", "flowchart-v2"


def body(graph: FlowGraph, **style: object) -> list[str]:
    return graph.mermaid(**style).splitlines()[4:]  # type: ignore[arg-type]


def test_a_branching_is_drawn_as_a_choice_and_ends_are_marked() -> None:
    assert body(graph_of(("a", "b"), ("a", "c")), direction=Direction.TB) == [
        "    direction TB",
        '    state "a" as s1',
        '    state "b" as s2',
        '    state "c" as s3',
        "    state s1_c1 <<choice>>",
        "    [*] --> s1",
        "    s1 --> s1_c1 : step_a",
        "    s1_c1 --> s2",
        "    s1_c1 --> s3",
        "    s2 --> [*]",
        "    s3 --> [*]",
    ]


def test_a_diagram_points_to_the_right_unless_told_otherwise() -> None:
    graph = graph_of(("a", "b"))

    assert "    direction LR\n" in graph.mermaid()
    assert [f"    direction {one.value}\n" in graph.mermaid(one) for one in Direction] == [True] * 4
    assert [f"flowchart {one.value}\n" in graph.flowchart(one.value) for one in Direction] == [True] * 4


def test_a_diagram_has_a_title_statuses_and_arrows_in_this_order() -> None:
    edge = Edge("new", "waiting", STEP, "Shop.charge_card", "")
    graph = FlowGraph("orders", [edge], {"new": "NEW", "waiting": "AWAITING_PICKUP"})

    assert graph.mermaid().splitlines() == [
        "---",
        'title: "orders"',
        "---",
        "stateDiagram-v2",
        "    direction LR",
        '    state "New" as s1',
        '    state "Awaiting pickup" as s2',
        "    [*] --> s1",
        "    s1 --> s2 : charge_card",
        "    s2 --> [*]",
    ]


def test_callbacks_and_timeouts_say_so_and_what_waits_has_a_colour() -> None:
    lines = body(PICKUP)

    assert "    s4 --> s5 : picked_up<br/>callback" in lines
    assert "    s4 --> s3 : nobody_came<br/>after 3 days" in lines
    assert lines[-1] == "    class s4 waiting"


def test_notes_are_the_docstrings_and_only_there_when_asked_for() -> None:
    assert "note right" not in PICKUP.mermaid()
    lines = body(PICKUP, notes=True)
    begin = lines.index("    note right of s4")

    assert lines[begin + 1 : begin + 5] == [
        "        picked_up#58; Picked up.",
        "        nobody_came#58; Nobody came.",
        "        refused#58; Refused.",
        "    end note",
    ]


@pytest.mark.parametrize("doc", ["end note", "The END  Note", "weekend notes", "end\nnote"])
def test_a_docstring_does_not_end_its_note(doc: str, mermaid_parser: Mermaid) -> None:
    text = FlowGraph("g", [Edge("a", "b", STEP, "go", doc)], {}).mermaid(notes=True)

    assert mermaid_parser.type_of(text) == STATE
    assert len(re.findall(r"end\s+note", text, re.IGNORECASE)) == 1


def test_a_theme_is_in_the_front_matter() -> None:
    assert PICKUP.mermaid(theme="dark").splitlines()[2:4] == ["config:", "  theme: dark"]


def test_an_unknown_direction_or_theme_is_refused() -> None:
    with pytest.raises(ValueError, match="XX"):
        PICKUP.mermaid("XX")
    with pytest.raises(ValueError, match="pink"):
        PICKUP.flowchart(theme="pink")


def test_a_flowchart_draws_callbacks_thick_and_timeouts_dotted() -> None:
    text = PICKUP.flowchart()

    assert '    s4 ==>|"picked_up<br/>callback"| s5\n' in text
    assert '    s4 -.->|"nobody_came<br/>after 3 days"| s3\n' in text
    assert '    s2 -->|"book_courier"| s4\n' in text


@pytest.mark.parametrize("graph", GALLERY, ids=lambda graph: graph.name)
def test_mermaid_reads_every_example(graph: FlowGraph, mermaid_parser: Mermaid) -> None:
    for direction in Direction:
        assert mermaid_parser.type_of(graph.mermaid(direction, notes=True, theme=Theme.NEUTRAL)) == STATE
        assert mermaid_parser.type_of(graph.flowchart(direction, notes=True, theme=Theme.FOREST)) == FLOWCHART
    assert mermaid_parser.type_of(graph.mermaid()) == STATE
    assert mermaid_parser.type_of(graph.flowchart()) == FLOWCHART


@pytest.mark.slow
@given(graph=graphs, notes=st.booleans())
def test_mermaid_reads_any_names(graph: FlowGraph, notes: bool, mermaid_parser: Mermaid) -> None:
    assert mermaid_parser.type_of(graph.mermaid(notes=notes)) == STATE
    assert mermaid_parser.type_of(graph.flowchart(notes=notes)) == FLOWCHART


@pytest.mark.slow
@settings(max_examples=25)
@given(graph=graphs, badge=st.lists(names, max_size=2).map(tuple), mark=st.sampled_from(Mark))
def test_mermaid_reads_what_is_known_of_runs(
    graph: FlowGraph, badge: tuple[str, ...], mark: Mark, mermaid_parser: Mermaid
) -> None:
    marked = known(graph.diagram(), badge, mark)

    assert mermaid_parser.type_of(mermaid(marked)) == STATE
    assert mermaid_parser.type_of(flowchart(marked)) == FLOWCHART


def known(diagram: Diagram, badge: tuple[str, ...], mark: Mark) -> Diagram:
    """With a badge and a mark everywhere."""
    nodes = tuple(replace(node, badge=badge, mark=mark) for node in diagram.nodes)
    arrows = tuple(
        replace(arrow, branches=tuple(replace(branch, badge=badge, mark=mark) for branch in arrow.branches))
        for arrow in diagram.arrows
    )
    return replace(diagram, nodes=nodes, arrows=arrows)


@given(graph=graphs)
def test_the_same_workflow_gives_the_same_text(graph: FlowGraph) -> None:
    again = FlowGraph(graph.name, list(graph.edges), dict(graph.labels))

    assert graph.mermaid(notes=True) == again.mermaid(notes=True)
    assert graph.flowchart(notes=True) == again.flowchart(notes=True)


def test_the_parser_refuses_what_is_no_diagram(mermaid_parser: Mermaid) -> None:
    with pytest.raises(AssertionError, match="Parse error"):
        mermaid_parser.type_of("stateDiagram-v2\n    a -> b\n")
