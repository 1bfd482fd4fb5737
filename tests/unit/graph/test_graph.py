"""The graph: what is found wrong with it, and how it is written down."""

from __future__ import annotations

import re
from enum import StrEnum

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowdsl.graph.build import Direction, Edge, EdgeCause, FlowGraph
from flowdsl.graph.validate import validate


def graph_of(*pairs: tuple[str, str], name: str = "g") -> FlowGraph:
    nodes = {node: node for pair in pairs for node in pair}
    return FlowGraph(name, [Edge(a, b, EdgeCause.STEP, f"step_{a}", "") for a, b in pairs], nodes)


def codes(
    *pairs: tuple[str, str], allow_cycles: bool = False, extra: tuple[str, ...] = (), retired: tuple[str, ...] = ()
) -> list[str]:
    graph = graph_of(*pairs)
    consumers = [(source, f"step_{source}", "file.py:1") for source in dict.fromkeys(a for a, _ in pairs)]
    findings = validate(
        graph, consumers, consumers, place="w.py:1", statuses=[*graph.nodes, *extra], retired=retired, allow_cycles=allow_cycles
    )
    return [finding.code for finding in findings]


def test_starts_and_ends_are_read_off_the_edges() -> None:
    graph = graph_of(("a", "b"), ("a", "c"), ("x", "c"))
    assert graph.starts == ("a", "x")
    assert graph.terminal == ("b", "c")
    assert graph.nodes == ("a", "b", "c", "x")


def test_a_self_loop_does_not_take_away_a_start() -> None:
    graph = graph_of(("a", "a"), ("a", "b"))
    assert graph.starts == ("a",)
    assert codes(("a", "a"), ("a", "b"), allow_cycles=True) == []


@pytest.mark.parametrize(
    ("pairs", "found"),
    [
        ([("a", "b"), ("b", "c")], []),
        ([("a", "b"), ("b", "b"), ("b", "c")], ["cycle"]),
        ([("a", "b"), ("b", "c"), ("c", "b")], ["cycle"]),
        ([("a", "b"), ("b", "a")], ["no-start", "cycle"]),
        ([("a", "b"), ("x", "y"), ("y", "x")], ["unreachable", "unreachable", "cycle"]),
    ],
)
def test_what_cannot_work_is_found(pairs: list[tuple[str, str]], found: list[str]) -> None:
    assert codes(*pairs) == found


def test_cycles_are_fine_where_they_are_allowed() -> None:
    assert codes(("a", "b"), ("b", "c"), ("c", "b"), allow_cycles=True) == []


def test_a_status_that_nothing_mentions_is_found_unless_it_is_retired() -> None:
    assert codes(("a", "b"), extra=("old",)) == ["unmentioned"]
    assert codes(("a", "b"), extra=("old",), retired=("old",)) == []


def test_networkx_gets_a_copy() -> None:
    graph = graph_of(("a", "b"))
    network = graph.networkx
    network.add_edge("b", "z")
    assert isinstance(network, nx.MultiDiGraph)
    assert graph.nodes == ("a", "b")
    assert network.edges["a", "b", 0]["cause"] == "step"


names = st.text(min_size=1, max_size=12) | st.sampled_from(
    ["end", "state", "note", "[*]", "class", '"', "a b", "ü", "-->", "A;B", "graph", "subgraph", "<b>", "{", "%%", "#quot;", "\n"]
)


@given(st.lists(st.tuples(names, names), min_size=1, max_size=12, unique=True), names)
def test_any_names_give_well_formed_deterministic_text(pairs: list[tuple[str, str]], title: str) -> None:
    graph = graph_of(*pairs, name=title)
    mermaid = graph.mermaid()
    assert mermaid == graph_of(*pairs, name=title).mermaid()
    body = mermaid.split("stateDiagram-v2\n", 1)[1]
    ident = r"(?:\[\*\]|s\d+(?:_c\d+)?)"
    for line in body.splitlines()[1:]:
        assert re.fullmatch(
            rf'    (?:state "[^"\\]*" as {ident}|state {ident} <<choice>>|{ident} --> {ident}(?: : [^"<>{{}}\[\]]*)?)', line
        ), line
    dot = graph.dot()
    assert dot.count("{") - dot.count("}") == _braces(graph)
    assert dot.startswith('digraph "')


def _braces(graph: FlowGraph) -> int:
    texts = [
        graph.name.replace("\n", " "),
        *(node.label for node in graph.diagram().nodes),
        *(a.label for a in graph.diagram().arrows),
    ]
    return sum(text.count("{") - text.count("}") for text in texts)


class Status(StrEnum):
    A = "a"


def test_a_branching_is_drawn_as_a_choice_and_ends_are_marked() -> None:
    text = graph_of(("a", "b"), ("a", "c")).mermaid(Direction.TB)
    assert text.splitlines()[4:] == [
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


def test_a_diagram_has_a_title_statuses_and_arrows_in_this_order() -> None:
    edge = Edge("new", "waiting", EdgeCause.STEP, "Shop.charge_card", "")
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


def test_an_unknown_direction_is_refused() -> None:
    with pytest.raises(ValueError, match="XX"):
        graph_of(("a", "b")).mermaid("XX")
