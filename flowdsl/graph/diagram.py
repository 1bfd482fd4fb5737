"""The diagram model: what every renderer reads, and nothing a renderer has to work out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from flowdsl.graph.direction import Direction
from flowdsl.graph.edge import Edge, EdgeCause
from flowdsl.graph.longest_way import longest_ways

_LONGEST_IN_A_ROW = 7
"""Statuses in a row beyond which a picture from left to right is too small on a page."""


class NodeKind(Enum):
    """What a status is in its graph. Exactly one of the first three, and any of the others."""

    START = "start"
    MIDDLE = "middle"
    TERMINAL = "terminal"
    WAITING = "waiting"
    """A callback leads on."""
    TIMED = "timed"
    """A timeout leads on."""
    BRANCHING = "branching"
    """It leads to more than one other status."""


class Mark(Enum):
    """What is known about runs, drawn on a status or an arrow."""

    NONE = "none"
    PASSED = "passed"
    CURRENT = "current"
    FAILING = "failing"


@dataclass(frozen=True, slots=True)
class Node:
    """A status to draw. `id` is safe in any diagram language; every other text is for people and must be escaped by the
    renderer."""

    id: str
    status: str
    """As it is stored."""
    label: str
    kinds: tuple[NodeKind, ...]
    """In the order of NodeKind."""
    distance: int = 0
    """The length of the longest way from here to an end."""
    badge: tuple[str, ...] = ()
    """Lines under the label: what is known about its runs."""
    mark: Mark = Mark.NONE


@dataclass(frozen=True, slots=True)
class Branch:
    """One destination of an arrow."""

    target: str
    badge: tuple[str, ...] = ()
    mark: Mark = Mark.NONE


@dataclass(frozen=True, slots=True)
class Arrow:
    """One function's way out of a status; several branches are drawn through a choice."""

    source: str
    branches: tuple[Branch, ...]
    cause: EdgeCause
    function: str
    """The qualified name."""
    detail: str
    doc: str
    choice: str | None
    """The id of the choice that its branches part at; None when there is one branch."""

    @property
    def label(self) -> str:
        """The function's own name."""
        return self.function.rpartition(".")[2]

    @property
    def aside(self) -> str:
        """What calls the function, when that is not a step."""
        known = self.cause is EdgeCause.STEP or self.label == self.cause.value
        return self.detail or ("" if known else self.cause.value)

    @property
    def caption(self) -> str:
        """What to write at the arrow, on one line."""
        return f"{self.label} ({self.aside})" if self.aside else self.label

    @property
    def targets(self) -> tuple[str, ...]:
        return tuple(branch.target for branch in self.branches)

    @property
    def mark(self) -> Mark:
        """Of the way to the choice: that of its most telling branch."""
        return max((branch.mark for branch in self.branches), key=list(Mark).index)


@dataclass(frozen=True, slots=True)
class Diagram:
    """Nodes and arrows in order of first mention, so that the same workflow gives the same text."""

    title: str
    nodes: tuple[Node, ...]
    arrows: tuple[Arrow, ...]

    @property
    def fitting(self) -> Direction:
        """The direction in which it is readable on a page: long ones go down."""
        return Direction.LR if all(node.distance <= _LONGEST_IN_A_ROW for node in self.nodes) else Direction.TB

    def main_targets(self) -> Mapping[str, str]:
        """From each node's id to that of the one that is next on the longest way."""
        distances = {node.id: node.distance for node in self.nodes}
        found: dict[str, str] = {}
        for arrow in self.arrows:
            for target in arrow.targets:
                if distances[target] == distances[arrow.source] - 1:
                    found.setdefault(arrow.source, target)
        return found

    def node(self, id_: str) -> Node:
        """The node of an id. Raises KeyError."""
        for node in self.nodes:
            if node.id == id_:
                return node
        raise KeyError(id_)

    def notes(self, node: Node) -> tuple[str, ...]:
        """What the functions that lead on from a status say about themselves."""
        return tuple(f"{arrow.label}: {arrow.doc}" for arrow in self.arrows if arrow.source == node.id and arrow.doc)


def extract(
    title: str,
    nodes: Sequence[str],
    edges: Sequence[Edge],
    labels: Mapping[str, str],
    starts: Collection[str],
    terminal: Collection[str],
) -> Diagram:
    """The diagram of a graph."""
    ids = {node: f"s{number}" for number, node in enumerate(nodes, 1)}
    ways: dict[tuple[str, EdgeCause, str, str], dict[str, str]] = {}
    for edge in edges:
        name = edge.cause.value if edge.name == f"{edge.source} -> {edge.target}" else edge.name  # there is no function
        targets = ways.setdefault((edge.source, edge.cause, name, edge.detail), {})
        targets.setdefault(edge.target, edge.doc)
    arrows: list[Arrow] = []
    for number, ((source, cause, name, detail), targets) in enumerate(ways.items(), 1):
        arrows.append(
            Arrow(
                source=ids[source],
                branches=tuple(Branch(ids[target]) for target in targets),
                cause=cause,
                function=name,
                detail=detail,
                doc=next(iter(targets.values())),
                choice=f"{ids[source]}_c{number}" if len(targets) > 1 else None,
            )
        )
    leaving: dict[str, list[Edge]] = {}
    for edge in edges:
        leaving.setdefault(edge.source, []).append(edge)
    distances = longest_ways(
        {node: [edge.target for edge in leaving.get(node, ())] for node in nodes}, sorted(starts, key=nodes.index)
    )
    return Diagram(
        title,
        tuple(
            Node(
                id=ids[node],
                status=node,
                label=_words(labels.get(node, node)),
                kinds=_kinds(node, leaving.get(node, []), starts, terminal),
                distance=distances[node],
            )
            for node in nodes
        ),
        tuple(arrows),
    )


def _kinds(node: str, leaving: Sequence[Edge], starts: Collection[str], terminal: Collection[str]) -> tuple[NodeKind, ...]:
    causes = {edge.cause for edge in leaving}
    found = [NodeKind.START if node in starts else NodeKind.TERMINAL if node in terminal else NodeKind.MIDDLE]
    if EdgeCause.CALLBACK in causes:
        found.append(NodeKind.WAITING)
    if EdgeCause.TIMEOUT in causes:
        found.append(NodeKind.TIMED)
    if len({edge.target for edge in leaving} - {node}) > 1:
        found.append(NodeKind.BRANCHING)
    return tuple(found)


def _words(name: str) -> str:
    """A member's name as people read it: AWAITING_PICKUP gives Awaiting pickup."""
    return name.replace("_", " ").capitalize() if name.isupper() or "_" in name else name
