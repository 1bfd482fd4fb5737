"""A diagram for a terminal: the main way straight down, what leaves it indented, every status once.

    ● Received
    ├─ validate ─▶ ◉ Rejected
    ▼ validate
    ○ Validated

A reference to a status that stands elsewhere has an arrow up or down behind it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from flowdsl.graph.diagram import Arrow, Branch, Diagram, Mark, Node, NodeKind
from flowdsl.graph.spelling import printable

_DEEPEST = 60
"""Columns beyond which what hangs on a branch is indented by three alone."""


@dataclass(frozen=True, slots=True)
class Characters:
    """What lines and marks are drawn with."""

    start: str
    middle: str
    terminal: str
    current: str
    side: str
    bar: str
    arrow: str
    down: str
    above: str
    below: str


UNICODE = Characters("●", "○", "◉", "◆", "├─", "│", "─▶", "▼", "↑", "↓")
ASCII = Characters("(*)", "( )", "(x)", "(@)", "+-", "|", "->", "v", "^ above", "v below")


@dataclass(frozen=True, slots=True)
class _Way:
    """One branch of one arrow."""

    arrow: Arrow
    branch: Branch

    @property
    def caption(self) -> str:
        return f"{printable(self.arrow.caption)}{_badge(self.branch.badge)}"


@dataclass(slots=True)
class _Drawing:
    """What stands where so far. `claimed` statuses have a place of their own, `drawn` ones are above already."""

    characters: Characters
    nodes: dict[str, Node]
    ways: dict[str, list[_Way]]
    claimed: set[str] = field(default_factory=set[str])
    drawn: set[str] = field(default_factory=set[str])

    def column(self, first: str, prefix: str) -> Iterator[str]:
        """The main way from a status downwards, and what hangs on it."""
        spine = self._spine(first)
        for number, (id_, onward) in enumerate(spine):
            if number:
                yield f"{prefix}{self._mark(id_)} {self._text(id_)}"
            self.drawn.add(id_)
            for way in self.ways[id_]:
                if way is not onward:
                    yield from self._side(way, prefix, onward is None and way is self.ways[id_][-1])
            if onward is not None:
                yield f"{prefix}{self.characters.down} {onward.caption}"

    def head(self, id_: str) -> str:
        return f"{self._mark(id_)} {self._text(id_)}"

    def _spine(self, first: str) -> list[tuple[str, _Way | None]]:
        """The longest way through statuses that have no place yet; they get theirs now."""
        spine: list[tuple[str, _Way | None]] = []
        id_ = first
        self.claimed.add(id_)
        while True:
            free = [way for way in self.ways[id_] if way.branch.target not in self.claimed]
            onward = max(free, key=lambda way: self.nodes[way.branch.target].distance, default=None)
            spine.append((id_, onward))
            if onward is None:
                return spine
            id_ = onward.branch.target
            self.claimed.add(id_)

    def _side(self, way: _Way, prefix: str, last: bool) -> Iterator[str]:
        chars, target = self.characters, way.branch.target
        lead = f"{prefix}{'└─' if last and chars is UNICODE else chars.side} {way.caption} {chars.arrow} "
        if target in self.claimed:
            where = chars.above if target in self.drawn else chars.below
            yield f"{lead}{self._text(target)} {where}"
            return
        yield f"{lead}{self.head(target)}"
        bar = " " if last else chars.bar
        width = len(lead) - len(prefix) if len(lead) <= _DEEPEST else 3
        yield from self.column(target, f"{prefix}{bar}{' ' * (width - len(bar))}")

    def _mark(self, id_: str) -> str:
        node = self.nodes[id_]
        if node.mark is Mark.CURRENT:
            return self.characters.current
        if NodeKind.START in node.kinds:
            return self.characters.start
        return self.characters.terminal if NodeKind.TERMINAL in node.kinds else self.characters.middle

    def _text(self, id_: str) -> str:
        node = self.nodes[id_]
        return f"{printable(node.label)}{_badge(node.badge)}"


def terminal(diagram: Diagram, characters: Characters = UNICODE) -> str:
    """The drawing, ending with a newline."""
    ways: dict[str, list[_Way]] = {node.id: [] for node in diagram.nodes}
    for arrow in diagram.arrows:
        ways[arrow.source] += (_Way(arrow, branch) for branch in arrow.branches)
    starts = [node.id for node in diagram.nodes if NodeKind.START in node.kinds]
    drawing = _Drawing(characters, {node.id: node for node in diagram.nodes}, ways)
    lines = [printable(diagram.title)]
    for id_ in [*starts, *ways]:  # what no start leads to comes last
        if id_ not in drawing.claimed:
            lines += ["", drawing.head(id_), *drawing.column(id_, "")]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _badge(badge: tuple[str, ...]) -> str:
    return f"  [{printable(', '.join(badge))}]" if badge else ""
