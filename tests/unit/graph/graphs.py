"""Graphs to draw: small ones, one of thirty statuses, and any with awkward names."""

from __future__ import annotations

from hypothesis import strategies as st

from flowdsl.graph.build import Edge, EdgeCause, FlowGraph

STEP, CALLBACK, TIMEOUT, MIGRATION = EdgeCause.STEP, EdgeCause.CALLBACK, EdgeCause.TIMEOUT, EdgeCause.MIGRATION


def graph_of(*pairs: tuple[str, str], name: str = "g") -> FlowGraph:
    """Steps alone, one per source."""
    nodes = {node: node for pair in pairs for node in pair}
    return FlowGraph(name, [Edge(a, b, STEP, f"step_{a}", "") for a, b in pairs], nodes)


def written(name: str, *lines: str) -> FlowGraph:
    """A graph from lines such as `paid -> sent, lost: step ship` or `sent -> lost: timeout give_up after 3 days`."""
    edges: list[Edge] = []
    for line in lines:
        way, _, how = line.partition(": ")
        source, _, targets = way.partition(" -> ")
        cause, function, *detail = how.split(" ", 2)
        doc = f"{function.replace('_', ' ').capitalize()}."
        edges += [Edge(source, target, EdgeCause(cause), function, doc, *detail) for target in targets.split(", ")]
    return FlowGraph(name, edges, {edge_end: edge_end.upper() for edge in edges for edge_end in (edge.source, edge.target)})


PICKUP = written(
    "orders",
    "created -> paid, cancelled: step charge",
    "paid -> awaiting_pickup: step book_courier",
    "awaiting_pickup -> shipped: callback picked_up",
    "awaiting_pickup -> cancelled: timeout nobody_came after 3 days",
    "awaiting_pickup -> paid: callback refused",
    "old_paid -> paid: migration from_the_old_shop",
)
"""Every cause, a branching, a cycle."""

LOAN = written(
    "loan",
    "received -> applied: step register",
    "applied -> identity_check, incomplete: step read_application",
    "incomplete -> applied: callback completed",
    "incomplete -> withdrawn: timeout never_completed after 30 days",
    "identity_check -> identity_confirmed, identity_review: step check_identity",
    "identity_review -> identity_confirmed, rejected: callback identity_decided",
    "identity_review -> escalated: timeout review_too_slow after 2 days",
    "identity_confirmed -> credit_requested: step ask_bureau",
    "credit_requested -> credit_scored: callback bureau_answered",
    "credit_requested -> identity_confirmed: timeout bureau_silent after 15 min",
    "credit_scored -> offer_drafted, second_opinion, rejected: step judge_score",
    "second_opinion -> offer_drafted, rejected: callback opinion_given",
    "second_opinion -> escalated: timeout opinion_missing after 1 day",
    "escalated -> offer_drafted, rejected: callback manager_decided",
    "escalated -> withdrawn: timeout manager_silent after 14 days",
    "offer_drafted -> offer_priced: step price",
    "offer_priced -> offer_sent: step send_offer",
    "offer_sent -> offer_accepted, offer_declined: callback customer_answered",
    "offer_sent -> offer_expired: timeout offer_runs_out after 21 days",
    "offer_accepted -> contract_drafted: step draft_contract",
    "contract_drafted -> contract_sent: step send_contract",
    "contract_sent -> contract_signed: callback signed",
    "contract_sent -> offer_expired: timeout never_signed after 10 days",
    "contract_signed -> collateral_check, payout_scheduled: step collateral_needed",
    "collateral_check -> collateral_registered, rejected: step check_collateral",
    "collateral_registered -> payout_scheduled: callback registered",
    "collateral_registered -> escalated: timeout registry_silent after 5 days",
    "payout_scheduled -> payout_sent: step pay_out",
    "payout_sent -> paid_out, payout_failed: callback bank_confirmed",
    "payout_failed -> payout_scheduled, escalated: step retry_payout",
    "paid_out -> active: step open_account",
    "active -> in_arrears, settled: callback ledger_event",
    "in_arrears -> active, collections: callback arrears_event",
    "in_arrears -> collections: timeout arrears_too_old after 90 days",
    "collections -> settled, written_off: step collect",
)
"""More than thirty statuses: what a real process may grow to."""

names = st.text(min_size=1, max_size=12) | st.sampled_from(
    [
        "end", "state", "note", "[*]", "class", '"', "a b", "ü", "-->", "A;B", "graph", "subgraph", "<b>", "{", "%%",
        "#quot;", "\n", "end note", "direction", "classDef", "click", "style", "default", "fork", "<<choice>>",
        "note right of s1", "---", "title:", "digraph", "node", "edge", "strict", "&amp;", "\\n", "\\", "\\N", "<br/>",
        "</script>", "`md`", "**b**", "%%{init: {}}%%", "日本", "\u202e", "\x00", " ", "@{ shape: rect }", "|", "$$x$$", ":::",
        "#", "accTitle: x", "e1@-->", "'", "state s1 {", "==",
    ]
)  # fmt: skip
edges = st.builds(
    Edge,
    source=names,
    target=names,
    cause=st.sampled_from(EdgeCause),
    name=names,
    doc=names | st.just(""),
    detail=names | st.just(""),
)
graphs = st.builds(
    lambda title, edges: FlowGraph(title, edges, {node: node for edge in edges for node in (edge.source, edge.target)}),
    names,
    st.lists(edges, min_size=1, max_size=10),
)
"""Graphs whose every text is awkward."""
