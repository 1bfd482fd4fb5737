"""Warnings about graphs that can work."""

from __future__ import annotations

from flowdsl.graph.build import FlowGraph
from flowdsl.graph.lint import lint
from tests.unit.graph.graphs import LOAN, PICKUP, graph_of, written


def warnings(graph: FlowGraph, *paced: str) -> list[tuple[str, str]]:
    """Codes, and the status at whose place they are."""
    return [(finding.code, finding.place) for finding in lint(graph, lambda status: status, paced)]


def test_a_graph_that_ends_and_waits_with_a_time_limit_has_no_warnings() -> None:
    assert warnings(written("g", "a -> b: step one", "b -> c: callback two", "b -> d: timeout three after 1 day")) == []


def test_statuses_from_which_no_way_leads_to_an_end_are_named_together() -> None:
    graph = written("g", "a -> end, b: step one", "b -> c: callback two", "c -> b: timeout three", "b -> c: timeout four")
    found = lint(graph, lambda status: status, ())

    assert [(finding.code, finding.place) for finding in found] == [("never-finishes", "b")]
    assert "a run in 'b' or 'c' can never finish" in found[0].message


def test_two_traps_are_two_warnings() -> None:
    graph = written(
        "g",
        "a -> b, x, end: step one",
        "b -> b: timeout two after 1 day",
        "x -> x: timeout three after 1 day",
    )
    assert warnings(graph) == [("never-finishes", "b"), ("never-finishes", "x")]


def test_a_status_that_waits_for_a_callback_needs_a_timeout() -> None:
    assert warnings(written("g", "a -> b: step one", "b -> c: callback two")) == [("no-timeout", "b")]
    assert warnings(written("g", "a -> b: step one", "b -> c: callback two", "b -> c: step three")) == []


def test_a_way_round_by_steps_alone_is_named_with_its_statuses() -> None:
    graph = graph_of(("a", "b"), ("b", "c"), ("c", "b"), ("c", "d"))
    (found,) = lint(graph, lambda status: status, ())

    assert (found.code, found.place) == ("unguarded-cycle", "b")
    assert "'b' -> 'c' -> 'b'" in found.message
    assert warnings(graph_of(("a", "a"), ("a", "b"))) == [("unguarded-cycle", "a")]


def test_a_way_round_on_which_a_run_waits_is_fine() -> None:
    assert warnings(graph_of(("a", "b"), ("b", "c"), ("c", "b"), ("c", "d")), "c") == []
    assert warnings(written("g", "a -> b: step one", "b -> a: timeout two after 1 day", "b -> c: timeout two after 1 day")) == []


def test_warnings_come_in_the_order_of_the_statuses() -> None:
    codes = [code for code, _ in warnings(LOAN)]

    assert [place for _, place in warnings(LOAN)] == ["payout_sent", "active"]
    assert codes == ["no-timeout", "no-timeout"]
    assert warnings(PICKUP) == []
