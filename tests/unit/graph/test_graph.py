"""The graph: what is read off its edges, and what is found wrong with it."""

from __future__ import annotations

import networkx as nx
import pytest

from flowdsl.graph.validate import validate
from tests.unit.graph.graphs import PICKUP, graph_of


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


def test_an_old_status_that_a_migration_leaves_is_no_start() -> None:
    assert PICKUP.starts == ("created",)
    assert PICKUP.terminal == ("cancelled", "shipped")


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
