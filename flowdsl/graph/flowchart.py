"""Mermaid flowchart text: for readers of Mermaid that cannot draw state diagrams, and where arrows are to show their causes."""

from __future__ import annotations

from flowdsl.graph.diagram import Arrow, Diagram, Mark, Node, NodeKind
from flowdsl.graph.direction import Direction
from flowdsl.graph.edge import EdgeCause
from flowdsl.graph.mermaid_text import Theme, class_lines, escaped, front_matter, lines_of
from flowdsl.graph.palette import PLAIN, line, look

_STROKES = {EdgeCause.STEP: "-->", EdgeCause.CALLBACK: "==>", EdgeCause.TIMEOUT: "-.->", EdgeCause.MIGRATION: "-.->"}


def flowchart(diagram: Diagram, direction: Direction = Direction.LR, *, notes: bool = False, theme: Theme | None = None) -> str:
    """The text, ending with a newline. Callbacks are thick arrows, timeouts dotted ones."""
    lines = [*front_matter(diagram.title, theme), f"flowchart {direction.value}"]
    lines += [f"    {node.id}{_shape(node)}" for node in diagram.nodes]
    lines += [f"    {arrow.choice}{{ }}" for arrow in diagram.arrows if arrow.choice is not None]
    strokes: list[tuple[EdgeCause, Mark]] = []
    for arrow in diagram.arrows:
        found, drawn = _arrow(arrow)
        lines += found
        strokes += drawn
    if notes:
        lines += [text for node in diagram.nodes for text in _note(diagram, node)]
    lines += class_lines((look(node), node.id) for node in diagram.nodes if look(node) != PLAIN)
    lines += _line_styles(strokes)
    return "\n".join(lines) + "\n"


def _shape(node: Node) -> str:
    label = lines_of(node.label, *node.badge)
    if NodeKind.START in node.kinds or NodeKind.TERMINAL in node.kinds:
        return f'(["{label}"])'
    if NodeKind.WAITING in node.kinds or NodeKind.TIMED in node.kinds:
        return f'{{{{"{label}"}}}}'
    return f'["{label}"]'


def _arrow(arrow: Arrow) -> tuple[list[str], list[tuple[EdgeCause, Mark]]]:
    stroke = _STROKES[arrow.cause]
    if arrow.choice is None:
        (branch,) = arrow.branches
        text = lines_of(arrow.label, arrow.aside, *branch.badge)
        return [f'    {arrow.source} {stroke}|"{text}"| {branch.target}'], [(arrow.cause, branch.mark)]
    lines = [f'    {arrow.source} {stroke}|"{lines_of(arrow.label, arrow.aside)}"| {arrow.choice}']
    for branch in arrow.branches:
        badge = f'|"{lines_of(*branch.badge)}"|' if branch.badge else ""
        lines.append(f"    {arrow.choice} {stroke}{badge} {branch.target}")
    return lines, [(arrow.cause, arrow.mark), *((arrow.cause, branch.mark) for branch in arrow.branches)]


def _note(diagram: Diagram, node: Node) -> list[str]:
    found = diagram.notes(node)
    if not found:
        return []
    text = "<br/>".join(map(escaped, found))
    return [f'    {node.id}_n@{{ shape: comment, label: "{text}" }}', f"    {node.id} ~~~ {node.id}_n"]


def _line_styles(strokes: list[tuple[EdgeCause, Mark]]) -> list[str]:
    """Colours of marked arrows, by their number in the text."""
    return [
        f"    linkStyle {number} stroke:{line(cause, mark)},stroke-width:3px"
        for number, (cause, mark) in enumerate(strokes)
        if mark is not Mark.NONE
    ]
