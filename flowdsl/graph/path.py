"""The way that one run took, drawn on the diagram."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from flowdsl.graph.build import FlowGraph
from flowdsl.graph.diagram import Arrow, Branch, Diagram, Mark, Node, NodeKind
from flowdsl.graph.edge import Edge, EdgeCause
from flowdsl.graph.moves import Move, Way, moves
from flowdsl.graph.spelling import rough_text
from flowdsl.model.history import Cause, HistoryRow
from flowdsl.model.record import RunRecord

_CAUSES = {
    Cause.STEP: EdgeCause.STEP,
    Cause.CALLBACK: EdgeCause.CALLBACK,
    Cause.TIMEOUT: EdgeCause.TIMEOUT,
    Cause.MIGRATION: EdgeCause.MIGRATION,
}


def with_moves(graph: FlowGraph, history: Sequence[HistoryRow]) -> FlowGraph:
    """The graph with the moves of a run that it does not have: by people, or by code that is gone. Without any code, a graph
    without edges, these are all there is to draw."""
    known = {(edge.source, edge.target, edge.name) for edge in graph.edges}
    found = [_edge(move) for move in moves(history) if tuple(move.way) not in known and not _bare(move, graph)]
    return FlowGraph(graph.name, [*graph.edges, *dict.fromkeys(found)], graph.labels)


def path(diagram: Diagram, record: RunRecord, history: Sequence[HistoryRow], now: datetime) -> Diagram:
    """The diagram with the run's way: arrows numbered in the order in which it took them, statuses with the time that it spent
    there."""
    statuses = {node.id: node.status for node in diagram.nodes}
    taken: dict[Way, list[str]] = {}
    spent: dict[str, timedelta] = {}
    entered = history[0].at if history else now
    for number, move in enumerate(moves(history), 1):
        taken.setdefault(move.way, []).append(str(number))
        spent[move.way.source] = spent.get(move.way.source, timedelta(0)) + move.stayed
        entered = move.row.at
    if not record.finished:
        spent[record.status] = spent.get(record.status, timedelta(0)) + max(now - entered, timedelta(0))

    def node(each: Node) -> Node:
        if each.status not in spent and each.status != record.status:
            return each
        badge = (rough_text(spent[each.status]),) if each.status in spent else ()
        if each.status != record.status:
            return replace(each, badge=badge, mark=Mark.PASSED)
        return replace(each, badge=badge if record.finished else ("here", *badge), mark=Mark.CURRENT)

    def branch(arrow: Arrow, each: Branch) -> Branch:
        numbers = taken.get(Way(statuses[arrow.source], statuses[each.target], arrow.function))
        return each if numbers is None else replace(each, badge=(", ".join(numbers),), mark=Mark.PASSED)

    nodes = diagram.nodes
    if record.status not in statuses.values():
        nodes = (*nodes, Node(f"s{len(nodes) + 1}", record.status, record.status, (NodeKind.MIDDLE,)))
    arrows = (replace(arrow, branches=tuple(branch(arrow, each) for each in arrow.branches)) for arrow in diagram.arrows)
    return replace(diagram, nodes=tuple(map(node, nodes)), arrows=tuple(arrows))


def _edge(move: Move) -> Edge:
    source, target, function = move.way
    row = move.row
    detail = "" if row.cause in _CAUSES else f"by {row.actor}" if row.actor else row.cause.value
    return Edge(source, target, _CAUSES.get(row.cause, EdgeCause.STEP), function, "", detail)


def _bare(move: Move, graph: FlowGraph) -> bool:
    """Whether it is a migration without a function, which graphs call by its way."""
    source, target, function = move.way
    return function == Cause.MIGRATION.value and any(edge.name == f"{source} -> {target}" for edge in graph.edges)
