"""Mermaid stateDiagram-v2 text."""

from __future__ import annotations

import re

from flowdsl.graph.diagram import Arrow, Branch, Diagram, Node, NodeKind
from flowdsl.graph.direction import Direction
from flowdsl.graph.mermaid_text import Theme, class_lines, escaped, front_matter, lines_of
from flowdsl.graph.palette import PLAIN, START, TERMINAL, look

_NOTE_S_END = re.compile(r"e(?=nd\s+note)", re.IGNORECASE)
"""Where a note would end too early; the letter gives way to its entity code."""
_UNSTYLED = (PLAIN, START, TERMINAL)
"""Mermaid marks starts and ends itself; what has no style takes the colours of the page's theme."""


def mermaid(diagram: Diagram, direction: Direction = Direction.LR, *, notes: bool = False, theme: Theme | None = None) -> str:
    """The text, ending with a newline; to be put in a ```mermaid fence or read by Mermaid itself. With `notes`, what the
    functions say about themselves stands beside the statuses."""
    lines = [*front_matter(diagram.title, theme), "stateDiagram-v2", f"    direction {direction.value}"]
    lines += [f'    state "{lines_of(node.label, *node.badge)}" as {node.id}' for node in diagram.nodes]
    lines += [f"    state {arrow.choice} <<choice>>" for arrow in diagram.arrows if arrow.choice is not None]
    lines += [f"    [*] --> {node.id}" for node in diagram.nodes if NodeKind.START in node.kinds]
    for arrow in diagram.arrows:
        lines += _arrow(arrow)
    lines += [f"    {node.id} --> [*]" for node in diagram.nodes if NodeKind.TERMINAL in node.kinds]
    if notes:
        lines += [line for node in diagram.nodes for line in _note(diagram, node)]
    lines += class_lines((look(node), node.id) for node in diagram.nodes if look(node) not in _UNSTYLED)
    return "\n".join(lines) + "\n"


def _arrow(arrow: Arrow) -> list[str]:
    if arrow.choice is None:
        (branch,) = arrow.branches
        return [f"    {arrow.source} --> {branch.target} : {lines_of(arrow.label, arrow.aside, *branch.badge)}"]
    return [
        f"    {arrow.source} --> {arrow.choice} : {lines_of(arrow.label, arrow.aside)}",
        *(f"    {arrow.choice} --> {branch.target}{_badge(branch)}" for branch in arrow.branches),
    ]


def _badge(branch: Branch) -> str:
    return f" : {lines_of(*branch.badge)}" if branch.badge else ""


def _note(diagram: Diagram, node: Node) -> list[str]:
    found = diagram.notes(node)
    lines = [f"        {_NOTE_S_END.sub('#101;', escaped(text))}" for text in found]
    return [f"    note right of {node.id}", *lines, "    end note"] if found else []
