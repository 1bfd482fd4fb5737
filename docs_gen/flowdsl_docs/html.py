"""Pages as HTML that stands alone: one file, no script, nothing fetched."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files

import msgspec

from flowdsl.graph.diagram import Diagram
from flowdsl.graph.spelling import printable
from flowdsl.graph.terminal import terminal
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

SUFFIX = ".html"
_PICTURE = re.compile(r"(<figure [^>]*>).*?(</figure>)", re.DOTALL)


def html(page: Page, *, title: str, pages: Sequence[Page], drawings: Mapping[Diagram, str]) -> str:
    """A page. In: the site's title and its pages, for the way to the others; `<svg>` elements of diagrams; one
    that has none is drawn with characters."""
    style = files("flowdsl_docs").joinpath("style.css").read_text("utf-8")
    links = "".join(_entry(other, other.slug == page.slug) for other in pages)
    body = "\n".join(_block(block, drawings) for block in page.blocks)
    heading = page.title if page.title == title else f"{page.title} - {title}"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(heading)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"<nav><ul>{links}</ul></nav>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _entry(page: Page, here: bool) -> str:
    current = ' aria-current="page"' if here else ""
    return f'<li><a href="{escape(page.slug)}{SUFFIX}"{current}>{escape(_printable(page.title))}</a></li>'


def _block(block: Block, drawings: Mapping[Diagram, str]) -> str:
    match block:
        case Heading(level, line, anchor):
            place = f' id="{escape(anchor)}"' if anchor else ""
            return f"<h{level}{place}>{_line(line)}</h{level}>"
        case Paragraph(line):
            return f"<p>{_line(line)}</p>"
        case Bullets(items):
            return f"<ul>{''.join(f'<li>{_line(item)}</li>' for item in items)}</ul>"
        case Table(head, rows):
            top = "".join(f"<th>{escape(name)}</th>" for name in head)
            body = "".join(f"<tr>{''.join(f'<td>{_line(cell)}</td>' for cell in row)}</tr>\n" for row in rows)
            return f'<div class="wide"><table>\n<thead><tr>{top}</tr></thead>\n<tbody>\n{body}</tbody>\n</table></div>'
        case Listing(_, text):
            return f"<pre><code>{escape(_printable(text))}</code></pre>"
        case Folded(title, blocks):
            inner = "\n".join(_block(part, drawings) for part in blocks)
            return f"<details><summary>{escape(title)}</summary>\n{inner}\n</details>"
        case Drawing(diagram):
            return _drawing(diagram, drawings.get(diagram))


def _drawing(diagram: Diagram, svg: str | None) -> str:
    picture = svg if svg is not None else f"<pre>{escape(terminal(diagram))}</pre>"
    attributes = f'class="wide" role="img" aria-label="{escape(_printable(diagram.title))}" data-of="{fingerprint(diagram)}"'
    return f"<figure {attributes}>{picture}</figure>"


def fingerprint(diagram: Diagram) -> str:
    """Tells whether a picture is of this diagram, whichever Graphviz drew it."""
    return hashlib.sha256(msgspec.json.encode(diagram)).hexdigest()[:16]


def without_pictures(page: str) -> str:
    """A page as far as it does not depend on the Graphviz that is installed."""
    return _PICTURE.sub(r"\1\2", page)


def _line(line: Line) -> str:
    return "".join(map(_inline, line)).strip()


def _inline(part: Plain | Code | Strong | Link) -> str:
    match part:
        case Plain(text):
            return escape(_printable(text))
        case Code(text):
            return f"<code>{escape(_printable(text))}</code>"
        case Strong(text):
            return f"<strong>{escape(_printable(text))}</strong>"
        case Link(text, page, anchor):
            target = (f"{page}{SUFFIX}" if page else "") + (f"#{anchor}" if anchor else "")
            return f'<a href="{escape(target)}">{escape(_printable(text))}</a>'


def _printable(text: str) -> str:
    """What HTML cannot hold, and what would turn the text around, becomes a space; lines are kept."""
    return "\n".join(map(printable, text.split("\n")))
