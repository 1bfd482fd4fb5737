"""The blocks that a page is made of. Text in them is plain: each renderer escapes it for its own language."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flowdsl.graph.diagram import Diagram


@dataclass(frozen=True, slots=True)
class Plain:
    """Words."""

    text: str


@dataclass(frozen=True, slots=True)
class Code:
    """A name, as it stands in code."""

    text: str


@dataclass(frozen=True, slots=True)
class Strong:
    """Words that matter."""

    text: str


@dataclass(frozen=True, slots=True)
class Link:
    """To another page, by its slug, or to a heading of this one, by its anchor."""

    text: str
    page: str = ""
    anchor: str = ""


Inline = Plain | Code | Strong | Link
Line = Sequence[Inline]


@dataclass(frozen=True, slots=True)
class Heading:
    level: int
    line: Line
    anchor: str = ""
    """Fit for a URL; empty: nothing leads here."""


@dataclass(frozen=True, slots=True)
class Paragraph:
    line: Line


@dataclass(frozen=True, slots=True)
class Bullets:
    items: Sequence[Line]


@dataclass(frozen=True, slots=True)
class Table:
    head: Sequence[str]
    rows: Sequence[Sequence[Line]]


@dataclass(frozen=True, slots=True)
class Listing:
    """Text in a language, shown as it is."""

    language: str
    text: str


@dataclass(frozen=True, slots=True)
class Folded:
    """Blocks that are long and seldom read, under a title that unfolds them."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True, slots=True)
class Drawing:
    diagram: Diagram


Block = Heading | Paragraph | Bullets | Table | Listing | Folded | Drawing


@dataclass(frozen=True, slots=True)
class Page:
    slug: str
    title: str
    blocks: Sequence[Block]
