"""Everything that can be wrong with a graph, found in one go."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import networkx as nx

from flowdsl.graph.build import FlowGraph
from flowdsl.graph.finding import Finding


def validate(
    graph: FlowGraph,
    steps: Sequence[tuple[str, str, str]],
    movers: Sequence[tuple[str, str, str]],
    *,
    place: str,
    statuses: Sequence[str],
    retired: Collection[str],
    allow_cycles: bool,
) -> list[Finding]:
    """In: the graph; (status, function, place) of every step, and of everything that leads from one status to another; the
    workflow's place; all statuses; those that are retired. Out: the findings, in the order in which a reader would mend them."""
    if not movers:
        return [
            Finding(
                "empty", f"workflow {graph.name!r} has no steps.", place, "Declare one with @workflow.step(from_=..., to=...)."
            )
        ]
    found = _duplicates(steps)
    found += _unmentioned(graph, place, statuses, retired)
    found += _starts(graph, place, movers)
    if not allow_cycles:
        found += _cycles(graph, place, movers)
    return found


def _duplicates(consumers: Sequence[tuple[str, str, str]]) -> list[Finding]:
    first: dict[str, tuple[str, str]] = {}
    found = []
    for status, name, place in consumers:
        if status in first:
            other, elsewhere = first[status]
            found.append(
                Finding(
                    "duplicate-consumer",
                    f"steps {other} ({elsewhere}) and {name} both consume {status!r}.",
                    place,
                    "A status has one step: join them, or put a status between.",
                )
            )
        else:
            first[status] = (name, place)
    return found


def _unmentioned(graph: FlowGraph, place: str, statuses: Sequence[str], retired: Collection[str]) -> list[Finding]:
    mentioned = set(graph.nodes)
    return [
        Finding(
            "unmentioned",
            f"no step of {graph.name!r} mentions status {status!r}.",
            place,
            "Use it, remove it, or list it in retired= while old runs may be in it.",
        )
        for status in statuses
        if status not in mentioned and status not in retired
    ]


def _starts(graph: FlowGraph, place: str, consumers: Sequence[tuple[str, str, str]]) -> list[Finding]:
    starts = graph.starts
    if not starts:
        return [
            Finding(
                "no-start",
                f"every status of {graph.name!r} is led to by another: no run could begin.",
                place,
                "Let one status be nobody's destination.",
            )
        ]
    # A status that is nobody's destination is a start, so what cannot be reached lies on a cycle that nothing enters.
    network = graph.networkx
    reached = set(starts).union(*(nx.descendants(network, start) for start in starts))
    places = {status: where for status, _, where in consumers}
    return [
        Finding(
            "unreachable",
            f"status {node!r} cannot be reached from {', '.join(map(repr, starts))}.",
            places.get(node, place),
            "Lead a step to it, or remove it.",
        )
        for node in graph.nodes
        if node not in reached
    ]


def _cycles(graph: FlowGraph, place: str, consumers: Sequence[tuple[str, str, str]]) -> list[Finding]:
    network: nx.DiGraph[str] = nx.DiGraph(graph.networkx)
    places = {status: where for status, _, where in consumers}
    found = []
    for component in nx.strongly_connected_components(network):
        ordered = [node for node in graph.nodes if node in component]
        if len(ordered) == 1 and not network.has_edge(ordered[0], ordered[0]):
            continue
        cycle = [source for source, _ in nx.find_cycle(network.subgraph(component), ordered[0])]
        path = " -> ".join(map(repr, [*cycle, cycle[0]]))
        found.append(
            Finding(
                "cycle",
                f"a run could go round: {path}.",
                places.get(cycle[0], place),
                "Pass allow_cycles=True to the Workflow if it is meant to, or answer run.save_and_repeat().",
            )
        )
    return found
