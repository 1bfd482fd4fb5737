"""Blocks as docutils nodes, for Sphinx."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from docutils import nodes

from flowdsl.graph.diagram import Diagram
from flowdsl_docs.blocks import (
    Block,
    Bullets,
    Code,
    Drawing,
    Folded,
    Heading,
    Inline,
    Line,
    Link,
    Listing,
    Paragraph,
    Plain,
    Strong,
    Table,
)

_WIDEST = 50
"""Characters of a column where Sphinx writes text."""


class Nodes:
    """In: what the ids of the page begin with, so that two workflows may stand on one page; what makes the node of a diagram."""

    def __init__(self, prefix: str, drawn: Callable[[Diagram], nodes.Node]) -> None:
        self._prefix = prefix
        self._drawn = drawn

    def of(self, blocks: Sequence[Block]) -> list[nodes.Node]:
        """The nodes, headings as nested sections."""
        top: list[nodes.Node] = []
        open_sections: list[tuple[int, nodes.section]] = []
        for block in blocks:
            if isinstance(block, Heading):
                while open_sections and open_sections[-1][0] >= block.level:
                    open_sections.pop()
                section = nodes.section("", nodes.title("", "", *self._line(block.line)), ids=[self._id(block.anchor)])
                section["names"] = [section["ids"][0]]
                self._put(section, top, open_sections)
                open_sections.append((block.level, section))
            else:
                for node in self._block(block):
                    self._put(node, top, open_sections)
        return top

    def _put(self, node: nodes.Node, top: list[nodes.Node], open_sections: list[tuple[int, nodes.section]]) -> None:
        if open_sections:
            open_sections[-1][1].append(node)
        else:
            top.append(node)

    def _block(self, block: Block) -> list[nodes.Node]:
        match block:
            case Paragraph(line):
                return [nodes.paragraph("", "", *self._line(line))]
            case Bullets(items):
                points = [nodes.list_item("", nodes.paragraph("", "", *self._line(item))) for item in items]
                return [nodes.bullet_list("", *points, bullet="-")]
            case Table(head, rows):
                return [self._table([[Plain(name)] for name in head], rows)]
            case Listing(language, text):
                return [nodes.literal_block(text, text, language=language or "text")]
            case Folded(title, blocks):
                return [nodes.paragraph("", "", nodes.strong("", title)), *self.of(blocks)]
            case Drawing(diagram):
                return [self._drawn(diagram)]
            case Heading():
                return []

    def _table(self, head: Sequence[Line], rows: Sequence[Sequence[Line]]) -> nodes.table:
        widths = [max(_width(row[number]) for row in [head, *rows]) for number in range(len(head))]
        columns = [nodes.colspec(colwidth=min(width, _WIDEST)) for width in widths]
        body = nodes.tbody("", *(self._row(row) for row in rows))
        return nodes.table("", nodes.tgroup("", *columns, nodes.thead("", self._row(head)), body, cols=len(head)))

    def _row(self, cells: Sequence[Line]) -> nodes.row:
        return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", *self._line(cell))) for cell in cells))

    def _line(self, line: Line) -> list[nodes.Node]:
        return [self._inline(part) for part in line]

    def _inline(self, part: Inline) -> nodes.Node:
        match part:
            case Plain(text):
                return nodes.Text(text)
            case Code(text):
                return nodes.literal(text, text)
            case Strong(text):
                return nodes.strong("", text)
            case Link(text, "", anchor) if anchor:
                return nodes.reference("", text, internal=True, refid=self._id(anchor))
            case Link(text):  # to a page that is not part of this one
                return nodes.Text(text)

    def _id(self, anchor: str) -> str:
        return f"{self._prefix}-{anchor}".replace("_", "-")


def _width(line: Line) -> int:
    return sum(len(part.text) + 2 for part in line) or 1
