"""Graphviz DOT text."""

from __future__ import annotations

from flowdsl.graph.diagram import Diagram, NodeKind

_STYLE = {
    NodeKind.START: 'shape=box, style="rounded,filled,bold", fillcolor="#dbeafe"',
    NodeKind.MIDDLE: 'shape=box, style="rounded,filled", fillcolor="#f8fafc"',
    NodeKind.TERMINAL: 'shape=box, style="rounded,filled", peripheries=2, fillcolor="#dcfce7"',
}


def dot(diagram: Diagram) -> str:
    """A digraph, ending with a newline."""
    lines = [
        f"digraph {_quoted(diagram.title)} {{",
        "    rankdir=LR;",
        '    node [fontname="Helvetica", fontsize=11];',
        '    edge [fontname="Helvetica", fontsize=9, color="#475569"];',
    ]
    lines += [f"    {node.id} [label={_quoted(node.label)}, {_STYLE[node.kind]}];" for node in diagram.nodes]
    for number, arrow in enumerate(diagram.arrows, 1):
        label = f"[label={_quoted(arrow.label)}]"
        if len(arrow.targets) == 1:
            lines.append(f"    {arrow.source} -> {arrow.targets[0]} {label};")
        else:
            choice = f"{arrow.source}_c{number}"
            lines.append(f'    {choice} [label="", shape=diamond, width=0.25, height=0.25, style=filled, fillcolor="#fef3c7"];')
            lines.append(f"    {arrow.source} -> {choice} {label};")
            lines += [f"    {choice} -> {target};" for target in arrow.targets]
    return "\n".join([*lines, "}"]) + "\n"


def _quoted(text: str) -> str:
    body = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(char if char.isprintable() else " " for char in body) + '"'
