"""The diagram languages of the command line, and what may be asked of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from flowdsl.cli.problem import UsageProblem
from flowdsl.graph.diagram import Diagram
from flowdsl.graph.diagram_json import as_json
from flowdsl.graph.direction import Direction
from flowdsl.graph.flowchart import flowchart
from flowdsl.graph.graphviz import Picture, dot, picture
from flowdsl.graph.markdown import table
from flowdsl.graph.mermaid import mermaid
from flowdsl.graph.mermaid_text import Theme
from flowdsl.graph.terminal import ASCII, terminal


class Format(StrEnum):
    """What a diagram can be made into."""

    MERMAID = "mermaid"
    FLOWCHART = "flowchart"
    DOT = "dot"
    SVG = "svg"
    PNG = "png"
    PDF = "pdf"
    TABLE = "table"
    JSON = "json"
    TEXT = "text"
    ASCII = "ascii"


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """What was asked for; None and False: nothing."""

    direction: Direction | None = None
    notes: bool = False
    theme: Theme | None = None


_MERMAIDS = {Format.MERMAID: mermaid, Format.FLOWCHART: flowchart}
_PICTURES = {Format.SVG: Picture.SVG, Format.PNG: Picture.PNG, Format.PDF: Picture.PDF}
_PLAIN: dict[Format, Callable[[Diagram], str]] = {
    Format.TABLE: table,
    Format.JSON: as_json,
    Format.TEXT: terminal,
    Format.ASCII: lambda diagram: terminal(diagram, ASCII),
}


def drawn(diagram: Diagram, format_: Format, style: Style) -> bytes:
    """The content of a file. Raises UsageProblem for a style that the format cannot have."""
    if format_ not in _MERMAIDS and (style.notes or style.theme is not None):
        raise UsageProblem(f"{'--notes' if style.notes else '--theme'} is for Mermaid, not for {format_.value}.")
    if format_ in _PLAIN:
        if style.direction is not None:
            raise UsageProblem(f"--direction is for diagrams with arrows, not for {format_.value}.")
        return _PLAIN[format_](diagram).encode()
    direction = style.direction or Direction.LR
    if format_ in _MERMAIDS:
        return _MERMAIDS[format_](diagram, direction, notes=style.notes, theme=style.theme).encode()
    return dot(diagram, direction).encode() if format_ is Format.DOT else picture(diagram, _PICTURES[format_], direction)
