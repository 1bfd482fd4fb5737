"""Mermaid texts back to their diagrams: where Mermaid itself is not there to draw, a picture can stand in their place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from flowdsl.graph.build import Direction
from flowdsl.graph.diagram import Diagram
from flowdsl_docs.extract import AnyWorkflow


@dataclass(frozen=True)
class Drawn:
    """What a Mermaid text shows."""

    diagram: Diagram
    direction: Direction


def mermaid_texts(workflows: Iterable[AnyWorkflow]) -> Mapping[str, Drawn]:
    """Every Mermaid text that the library makes of these workflows, without the white space around it, and what it shows."""
    return {text.strip(): drawn for workflow in workflows for text, drawn in _of(workflow)}


def _of(workflow: AnyWorkflow) -> Iterator[tuple[str, Drawn]]:
    graph = workflow.graph
    diagram = graph.diagram()
    for direction in Direction:
        for notes in (False, True):
            yield graph.mermaid(direction, notes=notes), Drawn(diagram, direction)
            yield graph.flowchart(direction, notes=notes), Drawn(diagram, direction)
