"""Docstrings as blocks: paragraphs, lists, examples; names between backticks are code."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence

from flowdsl_docs.blocks import Block, Bullets, Code, Inline, Line, Listing, Paragraph, Plain

_CODE = re.compile(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)")
_ITEM = re.compile(r"[-*+] +|\d+[.)] +")


def line_of(text: str) -> Line:
    """One line of text: what stands between backticks, one or two, is code."""
    parts: list[Inline] = []
    end = 0
    for match in _CODE.finditer(text):
        parts += _plain(text[end : match.start()])
        parts.append(Code(match[2].strip()))
        end = match.end()
    parts += _plain(text[end:])
    return parts


def blocks_of(doc: str) -> Sequence[Block]:
    """The blocks of a docstring without its common indentation."""
    return list(_blocks(doc))


def _plain(text: str) -> list[Plain]:
    return [Plain(text)] if text else []


def _blocks(doc: str) -> Iterator[Block]:
    for chunk in re.split(r"\n\s*\n", doc.strip("\n")):
        lines = chunk.split("\n")
        if not chunk.strip():
            continue
        if all(line.startswith("    ") or not line for line in lines):
            yield Listing("", textwrap.dedent(chunk).strip("\n"))
        elif lines[0].lstrip().startswith(">>> "):
            yield Listing("python", textwrap.dedent(chunk))
        elif _ITEM.match(lines[0].strip()):
            yield Bullets([line_of(item) for item in _items(lines)])
        else:
            yield Paragraph(line_of(" ".join(line.strip() for line in lines)))


def _items(lines: Sequence[str]) -> Sequence[str]:
    """A line that begins no item goes on with the one before."""
    items: list[str] = []
    for line in map(str.strip, lines):
        match = _ITEM.match(line)
        if match is not None:
            items.append(line[match.end() :])
        else:
            items[-1] += f" {line}"
    return items
