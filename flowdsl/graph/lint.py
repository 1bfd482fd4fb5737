"""What may be wrong with a graph that can work: warnings, not findings that stop anything."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

import networkx as nx

from flowdsl.graph.build import FlowGraph
from flowdsl.graph.edge import EdgeCause
from flowdsl.graph.finding import Finding


def lint(graph: FlowGraph, place: Callable[[str], str], paced: Collection[str]) -> list[Finding]:
    """In: the graph; where what leads on from a status is declared; statuses whose step waits before it runs. Out: warnings in
    the order of the statuses."""
    found = [*_endless(graph, place), *_waiting(graph, place), *_cycles(graph, place, paced)]
    order = {place(status): number for number, status in reversed([*enumerate(graph.nodes)])}
    return sorted(found, key=lambda finding: order.get(finding.place, 0))


def _endless(graph: FlowGraph, place: Callable[[str], str]) -> list[Finding]:
    """Statuses from which no way leads to an end, those that run into each other together."""
    network: nx.DiGraph[str] = nx.DiGraph(graph.networkx)
    finishing = set(graph.terminal).union(*(nx.ancestors(network, end) for end in graph.terminal))
    trapped = network.subgraph([status for status in graph.nodes if status not in finishing])
    return [
        Finding(
            "never-finishes",
            f"a run in {_listed(together)} can never finish: no way leads from there to an end.",
            place(together[0]),
            "Lead one of them to a status that nothing leaves; or a person has to cancel such runs.",
        )
        for together in _in_order(graph, nx.weakly_connected_components(trapped))
    ]


def _waiting(graph: FlowGraph, place: Callable[[str], str]) -> list[Finding]:
    causes: dict[str, set[EdgeCause]] = {}
    for edge in graph.edges:
        causes.setdefault(edge.source, set()).add(edge.cause)
    return [
        Finding(
            "no-timeout",
            f"a run waits in {status!r} for a callback, however long that takes.",
            place(status),
            "Declare a timeout from it for the callback that never comes.",
        )
        for status in graph.nodes
        if EdgeCause.CALLBACK in causes.get(status, ()) and not causes[status] & {EdgeCause.TIMEOUT, EdgeCause.STEP}
    ]


def _cycles(graph: FlowGraph, place: Callable[[str], str], paced: Collection[str]) -> list[Finding]:
    """Ways round on which a run waits for nothing."""
    network: nx.DiGraph[str] = nx.DiGraph()
    network.add_edges_from(
        (edge.source, edge.target) for edge in graph.edges if edge.cause is EdgeCause.STEP and edge.source not in paced
    )
    found: list[Finding] = []
    for together in _in_order(graph, nx.strongly_connected_components(network)):
        first = together[0]
        if len(together) == 1 and not network.has_edge(first, first):
            continue
        cycle = [source for source, _ in nx.find_cycle(network.subgraph(together), first)]
        found.append(
            Finding(
                "unguarded-cycle",
                f"a run can go round by steps alone, without a wait: {' -> '.join(map(repr, [*cycle, cycle[0]]))}.",
                place(cycle[0]),
                "Let it wait (a timeout, a callback, consume_lag), or count the rounds in the object and leave.",
            )
        )
    return found


def _in_order(graph: FlowGraph, components: Iterable[Collection[str]]) -> Sequence[list[str]]:
    """Each component, and the components, in the graph's order."""
    order = {status: number for number, status in enumerate(graph.nodes)}
    listed = [sorted(component, key=order.__getitem__) for component in components]
    return sorted(listed, key=lambda component: order[component[0]])


def _listed(statuses: Sequence[str]) -> str:
    return " or ".join(map(repr, statuses))
