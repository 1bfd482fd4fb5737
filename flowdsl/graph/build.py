"""The graph of statuses, over networkx."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import networkx as nx

from flowdsl.graph.diagram import Diagram, extract
from flowdsl.graph.dot import dot
from flowdsl.graph.edge import Edge, EdgeCause
from flowdsl.graph.mermaid import Direction, mermaid


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
    def starts(self) -> tuple[str, ...]:
        """Statuses that something leaves and nothing but themselves leads to."""
        reached = {edge.target for edge in self.edges if edge.source != edge.target}
        return tuple(dict.fromkeys(edge.source for edge in self.edges if edge.source not in reached))

    @property
    def terminal(self) -> tuple[str, ...]:
        """Statuses that nothing leaves."""
        left = {edge.source for edge in self.edges}
        return tuple(node for node in self.nodes if node not in left)

    def diagram(self) -> Diagram:
        """What every renderer reads."""
        return extract(self.name, self.nodes, self.edges, self.labels, frozenset(self.starts), frozenset(self.terminal))

    def mermaid(self, direction: Direction | str = "LR") -> str:
        """A Mermaid stateDiagram-v2. `direction`: LR, RL, TB or BT."""
        return mermaid(self.diagram(), Direction(direction))

    def dot(self) -> str:
        """Graphviz DOT text."""
        return dot(self.diagram())


__all__ = ["Direction", "Edge", "EdgeCause", "FlowGraph"]
