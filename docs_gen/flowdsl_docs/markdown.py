"""Pages as Markdown, for GitHub and its like: diagrams are Mermaid fences."""

from __future__ import annotations

import re
from collections.abc import Iterator

from flowdsl.graph.diagram import Diagram
from flowdsl.graph.markdown import code, escaped, grid
from flowdsl.graph.mermaid import mermaid
from flowdsl_docs.blocks import (
    Block,
    Bullets,
    Code,
    Drawing,
    Folded,
    Heading,
    Line,
    Link,
    Listing,
    Page,
    Paragraph,
    Plain,
    Strong,
    Table,
)

SUFFIX = ".md"
_BEGINS_A_BLOCK = re.compile(r"^(\d+)([.)])|^([-+=])")


def markdown(page: Page) -> str:
    """The page's text, ending with a newline."""
    return "\n\n".join(part for block in page.blocks for part in _block(block)) + "\n"


def fence(language: str, text: str) -> str:
    """A fenced block, whatever stands in it."""
    ticks = "`" * max(3, max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    body = text if text.endswith("\n") else f"{text}\n"
    return f"{ticks}{language}\n{body}{ticks}"


def mermaid_fence(diagram: Diagram) -> str:
    """A diagram as GitHub draws it, in the direction in which it is readable."""
    return fence("mermaid", mermaid(diagram, diagram.fitting))


def _block(block: Block) -> Iterator[str]:
    match block:
        case Heading(level, line, anchor):
            if anchor and anchor != _own_anchor(line):
                yield f'<a id="{anchor}"></a>'
            yield f"{'#' * level} {_line(line)}"
        case Paragraph(line):
            yield _BEGINS_A_BLOCK.sub(_defused, _line(line))
        case Bullets(items):
            yield "\n".join(f"- {_line(item)}" for item in items)
        case Table(head, rows):
            yield grid([[escaped(name) for name in head], *([_line(cell) for cell in row] for row in rows)]).rstrip("\n")
        case Listing(language, text):
            yield fence(language, text)
        case Folded(title, blocks):
            yield f"<details><summary>{escaped(title)}</summary>"
            for inner in blocks:
                yield from _block(inner)
            yield "</details>"
        case Drawing(diagram):
            yield mermaid_fence(diagram)


def _line(line: Line) -> str:
    return "".join(map(_inline, line)).strip()


def _inline(part: Plain | Code | Strong | Link) -> str:
    match part:
        case Plain(text):
            return escaped(text)
        case Code(text):
            return code(text)
        case Strong(text):
            return f"**{escaped(text)}**" if text.strip() else escaped(text)
        case Link(text, page, anchor):
            target = (f"{page}{SUFFIX}" if page else "") + (f"#{anchor}" if anchor else "")
            return f"[{escaped(text)}]({target})"


def _own_anchor(line: Line) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", "".join(part.text for part in line).lower()).replace(" ", "-")


def _defused(match: re.Match[str]) -> str:
    return f"{match[1]}\\{match[2]}" if match[1] else f"\\{match[3]}"
