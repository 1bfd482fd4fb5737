"""The drawing for terminals."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given

from flowdsl.graph.build import FlowGraph
from tests.unit.graph.graphs import LOAN, PICKUP, graph_of, graphs, written


def test_the_main_way_goes_down_and_what_leaves_it_hangs_on_it() -> None:
    graph = written(
        "orders",
        "received -> rejected, paid: step charge",
        "paid -> reserved, refunding: step reserve",
        "refunding -> refunded: step refund",
        "reserved -> shipped: step ship",
    )
    assert graph.text() == (
        "orders\n"
        "\n"
        "● Received\n"
        "├─ charge ─▶ ◉ Rejected\n"
        "▼ charge\n"
        "○ Paid\n"
        "├─ reserve ─▶ ○ Refunding\n"
        "│             ▼ refund\n"
        "│             ◉ Refunded\n"
        "▼ reserve\n"
        "○ Reserved\n"
        "▼ ship\n"
        "◉ Shipped\n"
    )


def test_a_status_stands_once_and_elsewhere_an_arrow_says_where() -> None:
    lines = PICKUP.text().splitlines()

    assert "├─ nobody_came (after 3 days) ─▶ Cancelled ↑" in lines
    assert "├─ refused (callback) ─▶ Paid ↑" in lines
    assert "▼ from_the_old_shop (migration)" not in lines
    assert lines[-2:] == ["○ Old paid", "└─ from_the_old_shop (migration) ─▶ Paid ↑"]


def test_ascii_is_ascii() -> None:
    text = PICKUP.text(ascii_only=True)

    assert text.isascii()
    assert "(*) Created\n+- charge -> (x) Cancelled\nv charge\n( ) Paid\n" in text
    assert "+- refused (callback) -> Paid ^ above\n" in text


def test_thirty_statuses_stay_narrow() -> None:
    assert len(LOAN.nodes) > 30
    assert max(map(len, LOAN.text().splitlines())) < 100


def test_many_branches_inside_each_other_do_not_run_off_the_page() -> None:
    pairs = []
    for number in range(40):
        pairs += [(f"s{number}", f"a{number}"), (f"s{number}", f"s{number + 1}")]
        pairs += [(f"a{number}", f"b{number}"), (f"b{number}", f"c{number}"), (f"s{number + 1}", "end")]
    assert max(map(len, graph_of(*pairs).text().splitlines())) < 130


@given(graph=graphs)
def test_every_status_has_one_line_of_its_own_whatever_its_name(graph: FlowGraph) -> None:
    text = graph.text()
    own = [line for line in text.splitlines() if any(mark in line for mark in "●○◉")]

    assert len(own) >= len(graph.nodes)
    assert not [char for char in text if char != "\n" and unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp")]
    assert text == FlowGraph(graph.name, list(graph.edges), dict(graph.labels)).text()


@pytest.mark.parametrize("graph", [LOAN, PICKUP], ids=lambda graph: graph.name)
def test_every_way_of_every_function_is_drawn_once(graph: FlowGraph) -> None:
    ways = len({(edge.source, edge.target, edge.name) for edge in graph.edges})

    assert sum(line.count("▼") + line.count("─▶") for line in graph.text().splitlines()) == ways
