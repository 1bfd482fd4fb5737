"""The diagram model: kinds of statuses, arrows with their causes, and what is the main way."""

from __future__ import annotations

import json

from flowdsl.graph.build import Direction, Edge, FlowGraph
from flowdsl.graph.diagram import NodeKind
from tests.unit.graph.graphs import LOAN, MIGRATION, PICKUP, STEP, graph_of, written


def kinds(graph: FlowGraph) -> dict[str, set[str]]:
    return {node.status: {kind.value for kind in node.kinds} for node in graph.diagram().nodes}


def test_a_status_is_a_start_an_end_or_between_and_says_what_it_waits_for() -> None:
    assert kinds(PICKUP) == {
        "created": {"start", "branching"},
        "paid": {"middle"},
        "cancelled": {"terminal"},
        "awaiting_pickup": {"middle", "waiting", "timed", "branching"},
        "shipped": {"terminal"},
        "old_paid": {"middle"},
    }


def test_kinds_are_in_the_order_of_their_enum() -> None:
    order = list(NodeKind)
    for node in LOAN.diagram().nodes:
        assert list(node.kinds) == sorted(node.kinds, key=order.index)


def test_a_way_back_to_itself_is_no_branching() -> None:
    assert kinds(graph_of(("a", "a"), ("a", "b")))["a"] == {"start"}


def test_an_arrow_is_a_function_with_its_cause_detail_and_docstring() -> None:
    arrows = {arrow.label: arrow for arrow in PICKUP.diagram().arrows}

    assert len(arrows["charge"].branches) == 2
    assert arrows["charge"].choice is not None
    assert (arrows["picked_up"].caption, arrows["picked_up"].choice) == ("picked_up (callback)", None)
    assert arrows["nobody_came"].caption == "nobody_came (after 3 days)"
    assert arrows["from_the_old_shop"].caption == "from_the_old_shop (migration)"
    assert arrows["charge"].caption == "charge"
    assert arrows["charge"].doc == "Charge."


def test_a_migration_without_a_function_is_called_one() -> None:
    edge = Edge("old", "paid", MIGRATION, "old -> paid", "")
    (arrow,) = FlowGraph("g", [edge], {}).diagram().arrows

    assert (arrow.label, arrow.caption) == ("migration", "migration")


def test_an_edge_that_is_declared_twice_is_one_arrow() -> None:
    edge = Edge("a", "b", STEP, "go", "")
    (arrow,) = FlowGraph("g", [edge, edge], {}).diagram().arrows

    assert arrow.targets == ("s2",)


def test_a_label_is_the_member_s_name_as_people_would_write_it() -> None:
    graph = FlowGraph("g", [Edge("1", "2", STEP, "go", "")], {"1": "AWAITING_PICKUP", "2": "Done"})

    assert [node.label for node in graph.diagram().nodes] == ["Awaiting pickup", "Done"]


def test_the_main_way_is_the_longest_and_ways_back_do_not_count() -> None:
    diagram = PICKUP.diagram()
    status = {node.id: node.status for node in diagram.nodes}

    assert {status[source]: status[target] for source, target in diagram.main_targets().items()} == {
        "created": "paid",
        "paid": "awaiting_pickup",
        "awaiting_pickup": "shipped",
        "old_paid": "paid",
    }


def test_a_status_that_only_leads_back_is_as_near_the_end_as_an_end() -> None:
    graph = written("g", "a -> b: step one", "b -> c: step two", "c -> a, d: step three", "z -> b: step four")

    assert {node.status: node.distance for node in graph.diagram().nodes} == {"a": 0, "b": 2, "c": 1, "d": 0, "z": 3}


def test_a_long_diagram_goes_down_a_page_and_a_short_one_along_it() -> None:
    assert PICKUP.diagram().fitting is Direction.LR
    assert LOAN.diagram().fitting is Direction.TB


def test_json_has_the_model_s_own_words() -> None:
    found = json.loads(PICKUP.json())

    assert found["title"] == "orders"
    assert found["nodes"][3]["kinds"] == ["middle", "waiting", "timed", "branching"]
    assert {arrow["cause"] for arrow in found["arrows"]} == {"step", "callback", "timeout", "migration"}
    assert found["arrows"][0]["branches"][1]["target"] == "s3"


def test_a_notebook_gets_every_form_that_can_be_made() -> None:
    bundle = PICKUP._repr_mimebundle_()

    assert bundle["text/plain"] == PICKUP.text()
    assert bundle["text/vnd.mermaid"] == PICKUP.mermaid()
    assert bundle["text/markdown"] == f"```mermaid\n{PICKUP.mermaid()}```\n"
