"""The colours that every drawing shares. Each fill comes with a dark text colour, so that it can be read on a dark page too."""

from __future__ import annotations

from dataclasses import dataclass

from flowdsl.graph.diagram import Mark, Node, NodeKind
from flowdsl.graph.edge import EdgeCause

TEXT = "#0f172a"
GREY = "#475569"


@dataclass(frozen=True, slots=True)
class Look:
    """How a status is filled and outlined. `name` is what diagram languages call it."""

    name: str
    fill: str
    line: str


PLAIN = Look("plain", "#f8fafc", GREY)
CURRENT = Look("current", "#fde047", "#a16207")
PASSED = Look("passed", "#bfdbfe", "#1d4ed8")
FAILING = Look("failing", "#fecaca", "#b91c1c")
START = Look("start", "#dbeafe", "#1d4ed8")
TERMINAL = Look("terminal", "#dcfce7", "#15803d")
WAITING = Look("waiting", "#fef3c7", "#b45309")

_MARKED = {Mark.CURRENT: CURRENT, Mark.PASSED: PASSED, Mark.FAILING: FAILING}
_KINDS = ((NodeKind.TERMINAL, TERMINAL), (NodeKind.WAITING, WAITING), (NodeKind.TIMED, WAITING), (NodeKind.START, START))


def look(node: Node) -> Look:
    """What is known about runs shows before what the status is."""
    if node.mark in _MARKED:
        return _MARKED[node.mark]
    return next((found for kind, found in _KINDS if kind in node.kinds), PLAIN)


def line(cause: EdgeCause, mark: Mark) -> str:
    """The colour of an arrow."""
    if mark in _MARKED:
        return _MARKED[mark].line
    return {EdgeCause.CALLBACK: START.line, EdgeCause.TIMEOUT: WAITING.line}.get(cause, GREY)
