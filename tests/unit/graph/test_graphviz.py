"""Graphviz: the DOT text is what pydot makes of the model, Graphviz reads it whatever the names are, and pictures come of it."""

from __future__ import annotations

import sys
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings

from flowdsl.errors import ConfigurationError, MissingExtraError
from flowdsl.graph.build import Direction, FlowGraph
from flowdsl.graph.graphviz import Picture, pydot_graph, svg_texts
from tests.readers import graphviz, read_by_graphviz
from tests.unit.graph.graphs import PICKUP, graph_of, graphs
from tests.unit.graph.test_mermaid import GALLERY

SVG = "{http://www.w3.org/2000/svg}"


def drawn_labels(graph: FlowGraph) -> set[str]:
    """Every text that Graphviz says is in the picture, lines joined by spaces."""
    found = read_by_graphviz(graph.dot())
    parts = [*found.get("objects", ()), *found.get("edges", ())]
    return {part["label"].replace("\\n", " ") for part in parts if part.get("label")}


def test_every_status_and_function_is_in_the_picture() -> None:
    assert drawn_labels(PICKUP) == {
        "Created", "Paid", "Cancelled", "Awaiting pickup", "Shipped", "Old paid",
        "charge", "book_courier", "picked_up callback", "nobody_came after 3 days", "refused callback",
        "from_the_old_shop migration",
    }  # fmt: skip


def test_causes_have_lines_of_their_own() -> None:
    edges = {edge["label"].partition("\\n")[0]: edge for edge in read_by_graphviz(PICKUP.dot())["edges"] if "label" in edge}

    assert {name: edges[name]["style"] for name in ("book_courier", "picked_up", "nobody_came", "from_the_old_shop")} == {
        "book_courier": "solid",
        "picked_up": "solid",
        "nobody_came": "dashed",
        "from_the_old_shop": "dotted",
    }
    assert edges["book_courier"]["color"] != edges["picked_up"]["color"] != edges["nobody_came"]["color"]


def test_the_direction_is_left_to_right_unless_another_is_asked_for() -> None:
    assert read_by_graphviz(PICKUP.dot())["rankdir"] == "LR"
    assert [read_by_graphviz(PICKUP.dot(one))["rankdir"] for one in Direction] == [one.value for one in Direction]


@pytest.mark.parametrize("graph", GALLERY, ids=lambda graph: graph.name)
def test_graphviz_reads_every_example(graph: FlowGraph) -> None:
    assert read_by_graphviz(graph.dot())["name"] == graph.name


@pytest.mark.slow
@settings(max_examples=60)
@given(graph=graphs)
def test_graphviz_reads_any_names(graph: FlowGraph) -> None:
    found = read_by_graphviz(graph.dot())
    statuses = [part for part in found["objects"] if part["shape"] == "box"]

    assert len(statuses) == len(graph.nodes)


@given(graph=graphs)
def test_the_same_workflow_gives_the_same_dot(graph: FlowGraph) -> None:
    assert graph.dot() == FlowGraph(graph.name, list(graph.edges), dict(graph.labels)).dot()


def test_a_name_is_shown_as_it_is_whatever_it_means_to_graphviz() -> None:
    graphviz()
    awkward = '<b>&amp;"\\N\\n|{x}'
    picture = ElementTree.fromstring(graph_of((awkward, "b"), name=awkward).svg())

    assert awkward in {text.text for text in picture.iter(f"{SVG}text")}


def test_pictures_are_files_of_their_kind() -> None:
    graphviz()
    begins = {Picture.PNG: b"\x89PNG", Picture.PDF: b"%PDF", Picture.SVG: b"<?xml"}

    assert {kind: PICKUP.picture(kind).startswith(begins[kind]) for kind in Picture} == dict.fromkeys(Picture, True)


def test_many_pictures_come_from_one_process_in_order() -> None:
    graphviz()
    dots = [graph_of(("a", f"status {number}")).dot() for number in range(30)]
    pictures = svg_texts(dots)

    assert svg_texts([]) == []
    assert [f">status {number}</text>" in picture for number, picture in enumerate(pictures)] == [True] * 30
    assert all(ElementTree.fromstring(picture).tag == f"{SVG}svg" for picture in pictures)


def test_the_pydot_graph_can_be_changed_before_it_is_drawn() -> None:
    graph = pydot_graph(PICKUP.diagram())
    graph.set_bgcolor('"#123456"')

    assert read_by_graphviz(graph.to_string())["bgcolor"] == "#123456"


def test_without_pydot_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydot", None)

    with pytest.raises(MissingExtraError, match=r"pip install 'flowdsl\[graphviz\]'"):
        PICKUP.dot()
    assert "image/svg+xml" not in PICKUP._repr_mimebundle_()


def test_without_graphviz_it_is_named_and_dot_text_is_made_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")

    assert PICKUP.dot().startswith('digraph "orders" {')
    with pytest.raises(ConfigurationError, match="Install Graphviz"):
        PICKUP.svg()
    assert "image/svg+xml" not in PICKUP._repr_mimebundle_()


def test_a_notebook_shows_the_picture_where_it_can_be_drawn() -> None:
    graphviz()
    assert PICKUP._repr_mimebundle_()["image/svg+xml"].startswith("<svg")


def test_what_graphviz_says_about_a_text_that_is_none_is_the_error() -> None:
    graphviz()
    with pytest.raises(ConfigurationError, match="syntax error"):
        svg_texts(["digraph {"])
