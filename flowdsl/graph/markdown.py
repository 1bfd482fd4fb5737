"""A diagram as a Markdown table of transitions, and the escaping that Markdown needs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from flowdsl.graph.diagram import Diagram, NodeKind
from flowdsl.graph.spelling import printable

_ESCAPES = str.maketrans({char: f"\\{char}" for char in "\\`*_{}[]<>#|~&$!"})
_INSIDE_WORD = re.compile(r"(?<=\w)\\_(?=\w)")


def table(diagram: Diagram) -> str:
    """One row per arrow, ending with a newline. Starts and ends are marked as such."""
    names = {node.id: _named(node.label, node.kinds) for node in diagram.nodes}
    badges = {node.id: _badge(node.badge) for node in diagram.nodes}
    rows = [("From", "By", "To", "What it does")]
    for arrow in diagram.arrows:
        by = code(arrow.label) + escaped(arrow.caption.removeprefix(arrow.label))
        targets = ", ".join(names[branch.target] + _badge(branch.badge) for branch in arrow.branches)
        rows.append((names[arrow.source] + badges[arrow.source], by, targets, escaped(arrow.doc)))
    return grid(rows)


def grid(rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are Markdown already. In: the head and the rows; pipes in them must be escaped."""
    head, *body = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([head, "|" + " --- |" * len(rows[0]), *body]) + "\n"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _INSIDE_WORD.sub("_", printable(text).translate(_ESCAPES))


def code(text: str) -> str:
    """A code span, fit for a table's cell."""
    line = printable(text).replace("|", "\\|")
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") or not line.strip() else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def _named(label: str, kinds: tuple[NodeKind, ...]) -> str:
    asides = [kind.value for kind in kinds if kind in (NodeKind.START, NodeKind.TERMINAL)]
    return escaped(label) + "".join(f" *({'end' if aside == 'terminal' else aside})*" for aside in asides)


def _badge(badge: tuple[str, ...]) -> str:
    return f" ({escaped(', '.join(badge))})" if badge else ""
