"""Graphviz: the diagram as a pydot graph, its DOT text, and pictures by Graphviz's own `dot`. pydot is imported when it is
used: it comes with the extra `graphviz`."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from enum import Enum
from typing import Any

from flowdsl.errors import ConfigurationError, MissingExtraError
from flowdsl.graph.diagram import Arrow, Branch, Diagram, Mark, Node, NodeKind
from flowdsl.graph.direction import Direction
from flowdsl.graph.edge import EdgeCause
from flowdsl.graph.palette import TEXT, line, look
from flowdsl.graph.spelling import printable

_FONT = "Helvetica"
_WRAP = 24
"""Characters of a label after which it is broken at a space."""
_FITTING = 'style="max-width: 100%; height: auto"'
"""An attribute that keeps a picture inside the page that it stands in."""
_STRAIGHT = "8"
"""Graphviz's weight of an edge that is to be short and straight; others have 1."""
_STYLES = {EdgeCause.STEP: "solid", EdgeCause.CALLBACK: "solid", EdgeCause.TIMEOUT: "dashed", EdgeCause.MIGRATION: "dotted"}


class Picture(Enum):
    """What Graphviz can make of a diagram here."""

    SVG = "svg"
    PNG = "png"
    PDF = "pdf"


def dot(diagram: Diagram, direction: Direction = Direction.LR) -> str:
    """DOT text. Raises MissingExtraError without pydot."""
    text: str = pydot_graph(diagram, direction).to_string()
    return text if text.endswith("\n") else f"{text}\n"


def pydot_graph(diagram: Diagram, direction: Direction = Direction.LR) -> Any:
    """A pydot.Dot, to be changed before it is drawn. Raises MissingExtraError without pydot."""
    pydot = _pydot()
    graph = pydot.Dot(
        graph_name=_quoted(diagram.title),
        graph_type="digraph",
        rankdir=direction.value,
        bgcolor="transparent",
        nodesep="0.35",
        ranksep="0.4",
    )
    graph.set_node_defaults(fontname=_FONT, fontsize="11", fontcolor=_quoted(TEXT), shape="box", margin=_quoted("0.14,0.07"))
    graph.set_edge_defaults(fontname=_FONT, fontsize="9", arrowsize="0.7")
    for node in diagram.nodes:
        graph.add_node(pydot.Node(node.id, **_look(node)))
    main = diagram.main_targets()
    for arrow in diagram.arrows:
        _draw(pydot, graph, arrow, main.get(arrow.source))
    return graph


def svg_texts(dots: Sequence[str]) -> list[str]:
    """The pictures of several DOT texts, by one process. Each is an `<svg>` element alone, ready to stand in a page.
    Raises ConfigurationError without Graphviz."""
    if not dots:
        return []
    found = _dot("".join(dots), Picture.SVG).decode("utf-8")
    pictures = re.findall(r"<svg\b.*?</svg>", found, re.DOTALL)
    if len(pictures) != len(dots):
        raise ConfigurationError(f"Graphviz made {len(pictures)} pictures of {len(dots)} diagrams.")
    return [picture.replace("<svg ", f"<svg {_FITTING} ", 1) for picture in pictures]


def picture(diagram: Diagram, kind: Picture, direction: Direction = Direction.LR) -> bytes:
    """A picture as a file's content. Raises MissingExtraError without pydot, ConfigurationError without Graphviz."""
    return _dot(dot(diagram, direction), kind)


def _dot(text: str, kind: Picture) -> bytes:
    command = ["dot", f"-T{kind.value}"]
    if kind is Picture.PNG:
        command.append("-Gdpi=144")
        command.append("-Gbgcolor=white")
    try:
        done = subprocess.run(command, input=text.encode("utf-8"), capture_output=True, check=True)
    except FileNotFoundError as error:
        raise ConfigurationError(
            "Graphviz's command `dot` is not installed.", remedy="Install Graphviz (Debian, macOS: the package graphviz)."
        ) from error
    except subprocess.CalledProcessError as error:
        raise ConfigurationError(f"Graphviz failed: {error.stderr.decode('utf-8', 'replace').strip()}") from error
    return done.stdout


def _draw(pydot: Any, graph: Any, arrow: Arrow, main: str | None) -> None:
    """In: the target that lies on the longest way; the arrow to it is kept straight."""
    if arrow.choice is None:
        (branch,) = arrow.branches
        way = _line(arrow, branch, main, arrow.label, arrow.aside, *branch.badge)
        graph.add_edge(pydot.Edge(arrow.source, branch.target, **way))
        return
    graph.add_node(
        pydot.Node(
            arrow.choice,
            label=_quoted(""),
            shape="diamond",
            width="0.22",
            height="0.22",
            style="filled",
            fillcolor=_quoted("#ffffff"),
            color=_quoted(line(arrow.cause, arrow.mark)),
        )
    )
    straight = arrow.choice if main in arrow.targets else None
    way = _line(arrow, Branch(arrow.choice, mark=arrow.mark), straight, arrow.label, arrow.aside)
    graph.add_edge(pydot.Edge(arrow.source, arrow.choice, **way, arrowhead="none"))
    for branch in arrow.branches:
        graph.add_edge(pydot.Edge(arrow.choice, branch.target, **_line(arrow, branch, main, *branch.badge)))


def _look(node: Node) -> dict[str, str]:
    found = look(node)
    bold = ",bold" if NodeKind.START in node.kinds or node.mark is not Mark.NONE else ""
    attributes = {
        "label": _label(node.label, *node.badge),
        "style": _quoted(f"rounded,filled{bold}"),
        "fillcolor": _quoted(found.fill),
        "color": _quoted(found.line),
    }
    if NodeKind.TERMINAL in node.kinds:
        attributes["peripheries"] = "2"
    return attributes


def _line(arrow: Arrow, branch: Branch, main: str | None, *texts: str) -> dict[str, str]:
    colour = _quoted(line(arrow.cause, branch.mark))
    attributes = {"style": _STYLES[arrow.cause], "color": colour, "fontcolor": colour}
    if any(texts):
        attributes["label"] = _label(*texts)
    if branch.target == main:
        attributes["weight"] = _STRAIGHT
    if branch.mark is not Mark.NONE:
        attributes["penwidth"] = "2.2"
    return attributes


def _label(*texts: str) -> str:
    """Each text that is not empty on lines of its own."""
    lines = [part for text in texts if text for part in _wrapped(text)]
    return '"' + r"\n".join(map(_body, lines)) + '"'


def _wrapped(text: str) -> list[str]:
    lines: list[str] = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + len(word) >= _WRAP:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}" if lines[-1] else word
    return lines


def _quoted(text: str) -> str:
    return f'"{_body(text)}"'


def _body(text: str) -> str:
    """Inside a quoted DOT string: no escape sequence and no entity is left to be read."""
    return printable(text).replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')


def _pydot() -> Any:
    try:
        import pydot
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "Graphviz diagrams are built with pydot, which is not installed.", remedy="pip install 'flowdsl[graphviz]'"
        ) from error
    return pydot
