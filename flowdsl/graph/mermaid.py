"""Mermaid stateDiagram-v2 text."""

from __future__ import annotations

from enum import Enum

from flowdsl.graph.diagram import Diagram, NodeKind


class Direction(Enum):
    """Where the arrows point."""

    LR = "LR"
    RL = "RL"
    TB = "TB"
    BT = "BT"


_SPECIAL = frozenset('"#;:<>{}[]()|\\`&%')


def mermaid(diagram: Diagram, direction: Direction = Direction.LR) -> str:
    """The text, ending with a newline; to be put in a ```mermaid fence or read by Mermaid itself."""
    lines = ["---", f"title: {_quoted(diagram.title)}", "---", "stateDiagram-v2", f"    direction {direction.value}"]
    lines += [f'    state "{_escaped(node.label)}" as {node.id}' for node in diagram.nodes]
    lines += [
        f"    state {arrow.source}_c{number} <<choice>>"
        for number, arrow in enumerate(diagram.arrows, 1)
        if len(arrow.targets) > 1
    ]
    lines += [f"    [*] --> {node.id}" for node in diagram.nodes if node.kind is NodeKind.START]
    for number, arrow in enumerate(diagram.arrows, 1):
        label = f" : {_escaped(arrow.label)}"
        if len(arrow.targets) == 1:
            lines.append(f"    {arrow.source} --> {arrow.targets[0]}{label}")
        else:
            choice = f"{arrow.source}_c{number}"
            lines.append(f"    {arrow.source} --> {choice}{label}")
            lines += [f"    {choice} --> {target}" for target in arrow.targets]
    lines += [f"    {node.id} --> [*]" for node in diagram.nodes if node.kind is NodeKind.TERMINAL]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """Mermaid's entity codes for what its grammar would read; line breaks become spaces."""
    return "".join(f"#{ord(char)};" if char in _SPECIAL else char if char.isprintable() else " " for char in text)


def _quoted(text: str) -> str:
    """A YAML double-quoted scalar."""
    body = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(char if char.isprintable() else " " for char in body) + '"'
