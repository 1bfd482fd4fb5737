"""What Mermaid's diagram languages have in common: escaping, the front matter, classes."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from flowdsl.graph.palette import TEXT, Look
from flowdsl.graph.spelling import printable

_ENTITIES = str.maketrans({char: f"#{ord(char)};" for char in '"#;:<>{}[]|\\`&%@^'})


class Theme(Enum):
    """Mermaid's own themes."""

    DEFAULT = "default"
    NEUTRAL = "neutral"
    DARK = "dark"
    FOREST = "forest"
    BASE = "base"


def escaped(text: str) -> str:
    """Mermaid's entity codes for what its grammars would read; line breaks become spaces."""
    return printable(text).translate(_ENTITIES)


def lines_of(*texts: str) -> str:
    """Each text that is not empty on a line of its own."""
    return "<br/>".join(escaped(text) for text in texts if text) or " "


def front_matter(title: str, theme: Theme | None) -> list[str]:
    config = [] if theme is None else ["config:", f"  theme: {theme.value}"]
    return ["---", f"title: {_quoted(title)}", *config, "---"]


def class_lines(styled: Iterable[tuple[Look, str]]) -> list[str]:
    """The classes that are used, and who has them."""
    members: dict[Look, list[str]] = {}
    for look, id_ in styled:
        members.setdefault(look, []).append(id_)
    lines = [f"    classDef {look.name} fill:{look.fill},stroke:{look.line},color:{TEXT}" for look in members]
    return lines + [f"    class {','.join(ids)} {look.name}" for look, ids in members.items()]


def _quoted(text: str) -> str:
    """A YAML double-quoted scalar."""
    body = printable(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{body}"'
