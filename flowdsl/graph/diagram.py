"""The diagram model: what every renderer reads, and nothing a renderer has to work out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from flowdsl.graph.edge import Edge


class NodeKind(Enum):
    START = "start"
    MIDDLE = "middle"
    TERMINAL = "terminal"


@dataclass(frozen=True, slots=True)
class Node:
    """A status to draw. `id` is safe in any diagram language; `label` is for people and must be escaped by the renderer."""

    id: str
    status: str
    label: str
    kind: NodeKind


@dataclass(frozen=True, slots=True)
class Arrow:
    """One function's way out of a status; several targets are drawn as a choice."""

    source: str
    targets: tuple[str, ...]
    label: str


@dataclass(frozen=True, slots=True)
class Diagram:
    """Nodes and arrows in order of first mention, so that the same workflow gives the same text."""

    title: str
    nodes: tuple[Node, ...]
    arrows: tuple[Arrow, ...]


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
    kinds = {
        node: NodeKind.START if node in starts else NodeKind.TERMINAL if node in terminal else NodeKind.MIDDLE for node in nodes
    }
    ways: dict[tuple[str, str], list[str]] = {}
    for edge in edges:
        targets = ways.setdefault((edge.source, edge.name), [])
        if edge.target not in targets:
            targets.append(edge.target)
    return Diagram(
        title,
        tuple(Node(ids[node], node, _words(labels.get(node, node)), kinds[node]) for node in nodes),
        tuple(
            Arrow(ids[source], tuple(ids[t] for t in targets), name.rpartition(".")[2])
            for (source, name), targets in ways.items()
        ),
    )


def _words(name: str) -> str:
    """A member's name as people read it: AWAITING_PICKUP gives Awaiting pickup."""
    return name.replace("_", " ").capitalize() if name.isupper() or "_" in name else name
