"""The graph of statuses, over networkx."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import networkx as nx

from flowdsl.errors import ConfigurationError
from flowdsl.graph.diagram import Diagram, extract
from flowdsl.graph.diagram_json import as_json
from flowdsl.graph.direction import Direction
from flowdsl.graph.edge import Edge, EdgeCause
from flowdsl.graph.flowchart import flowchart
from flowdsl.graph.graphviz import Picture, dot, picture, svg_texts
from flowdsl.graph.markdown import table
from flowdsl.graph.mermaid import mermaid
from flowdsl.graph.mermaid_text import Theme
from flowdsl.graph.terminal import ASCII, UNICODE, terminal


@dataclass(frozen=True, slots=True)
class FlowGraph:
    """Statuses and what leads from one to another. `nodes`, `starts` and `terminal` are in order of first mention."""

    name: str
    edges: Sequence[Edge]
    labels: Mapping[str, str]
    """Stored text to the name people read."""

    @property
    def networkx(self) -> nx.MultiDiGraph[str]:
        """A copy, with an edge's cause and function as attributes."""
        graph: nx.MultiDiGraph[str] = nx.MultiDiGraph(name=self.name)
        for edge in self.edges:
            graph.add_edge(edge.source, edge.target, cause=edge.cause.value, name=edge.name, doc=edge.doc)
        return graph

    @property
    def nodes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(node for edge in self.edges for node in (edge.source, edge.target)))

    @property
    def living(self) -> FlowGraph:
        """The same without migrations, which lead out of statuses that are no more."""
        return FlowGraph(self.name, self._living, self.labels)

    @property
    def _living(self) -> Sequence[Edge]:
        return [edge for edge in self.edges if edge.cause is not EdgeCause.MIGRATION]

    @property
    def starts(self) -> tuple[str, ...]:
        """Statuses that something leaves and nothing but themselves leads to. Migrations do not count."""
        reached = {edge.target for edge in self._living if edge.source != edge.target}
        return tuple(dict.fromkeys(edge.source for edge in self._living if edge.source not in reached))

    @property
    def terminal(self) -> tuple[str, ...]:
        """Statuses that nothing leaves. Migrations do not count."""
        left = {edge.source for edge in self._living}
        return tuple(dict.fromkeys(edge.target for edge in self.edges if edge.target not in left))

    def leads(self, source: str, goal: str) -> bool:
        """Whether a run that is in `source` may still enter `goal`."""
        network = self.networkx
        return source in network and (goal in nx.descendants(network, source) or network.has_edge(source, goal))

    def diagram(self) -> Diagram:
        """What every renderer reads."""
        return extract(self.name, self.nodes, self.edges, self.labels, frozenset(self.starts), frozenset(self.terminal))

    def mermaid(self, direction: Direction | str = "LR", *, notes: bool = False, theme: Theme | str | None = None) -> str:
        """A Mermaid stateDiagram-v2. `direction`: LR, RL, TB or BT. `notes`: what the functions say about themselves beside the
        statuses. `theme`: one of Mermaid's; None: the page's."""
        return mermaid(self.diagram(), Direction(direction), notes=notes, theme=None if theme is None else Theme(theme))

    def flowchart(self, direction: Direction | str = "LR", *, notes: bool = False, theme: Theme | str | None = None) -> str:
        """A Mermaid flowchart, as `mermaid`."""
        return flowchart(self.diagram(), Direction(direction), notes=notes, theme=None if theme is None else Theme(theme))

    def dot(self, direction: Direction | str = "LR") -> str:
        """Graphviz DOT text. Raises MissingExtraError without pydot, the extra `graphviz`."""
        return dot(self.diagram(), Direction(direction))

    def svg(self, direction: Direction | str = "LR") -> str:
        """An `<svg>` element, drawn by Graphviz. Raises MissingExtraError without pydot, ConfigurationError without Graphviz."""
        return svg_texts([self.dot(direction)])[0]

    def picture(self, kind: Picture | str, direction: Direction | str = "LR") -> bytes:
        """The content of an svg, png or pdf file, drawn by Graphviz. Raises as `svg`."""
        return picture(self.diagram(), Picture(kind), Direction(direction))

    def table(self) -> str:
        """The transitions as a Markdown table."""
        return table(self.diagram())

    def text(self, *, ascii_only: bool = False) -> str:
        """A drawing for a terminal."""
        return terminal(self.diagram(), ASCII if ascii_only else UNICODE)

    def json(self) -> str:
        """The diagram as JSON: nodes with their kinds, arrows with cause, function, detail and docstring's first line."""
        return as_json(self.diagram())

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """What a notebook shows: a picture where Graphviz is there, else what it can make of Mermaid text."""
        source = self.mermaid()
        bundle = {"text/plain": self.text(), "text/vnd.mermaid": source, "text/markdown": f"```mermaid\n{source}```\n"}
        try:
            bundle["image/svg+xml"] = self.svg()
        except ConfigurationError:  # no pydot or no Graphviz: the others do
            return bundle
        return bundle


__all__ = ["Direction", "Edge", "EdgeCause", "FlowGraph", "Picture", "Theme"]
