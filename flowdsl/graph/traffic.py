"""What became of many runs, drawn on the diagram: where they are, how long they stayed, which ways they took and what failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from math import ceil

from flowdsl.graph.diagram import Arrow, Branch, Diagram, Mark, Node
from flowdsl.graph.moves import Way, moves
from flowdsl.graph.spelling import rough_text
from flowdsl.model.history import HistoryRow
from flowdsl.model.record import RunRecord
from flowdsl.model.run_state import RunState

FAILING_SHARE = 0.1
"""Failed attempts among all attempts at a way from which it is drawn as failing."""


_WORDS = {RunState.PAUSED: "paused", RunState.CANCELLED: "cancelled"}


class Traffic:
    """Counts runs one by one. No objects are looked at."""

    def __init__(self) -> None:
        self.runs = 0
        self._found: dict[str, Counter[str]] = {word: Counter() for word in ("here", "paused", "ended", "cancelled")}
        """How many runs each status has, by what they are."""
        self._stays: dict[str, list[timedelta]] = {}
        self._taken: Counter[Way] = Counter()
        self._failed: Counter[Way] = Counter()
        """Attempts that failed before the way was taken."""

    def add(self, record: RunRecord, history: Sequence[HistoryRow]) -> None:
        """In: a run as it is now, and every version of it, first to last."""
        self.runs += 1
        self._found[_WORDS.get(record.state, "ended" if record.finished else "here")][record.status] += 1
        for move in moves(history):
            self._taken[move.way] += 1
            self._failed[move.way] += move.row.attempt - 1
            self._stays.setdefault(move.way.source, []).append(move.stayed)

    def drawn(self, diagram: Diagram) -> Diagram:
        """The diagram with what is known. Ways that it does not have, those that people moved runs by, are left out."""
        statuses = {node.id: node.status for node in diagram.nodes}
        return replace(
            diagram,
            nodes=tuple(self._node(node) for node in diagram.nodes),
            arrows=tuple(
                replace(arrow, branches=tuple(self._branch(arrow, branch, statuses) for branch in arrow.branches))
                for arrow in diagram.arrows
            ),
        )

    def _node(self, node: Node) -> Node:
        counts = {word: found[node.status] for word, found in self._found.items()}
        stays = sorted(self._stays.get(node.status, []))
        lines = [
            ", ".join(f"{count} {word}" for word, count in counts.items() if count),
            ", ".join(f"p{percent} {rough_text(percentile(stays, percent))}" for percent in (50, 95) if stays),
        ]
        mark = Mark.FAILING if counts["paused"] else Mark.CURRENT if counts["here"] else Mark.NONE
        return replace(node, badge=tuple(line for line in lines if line), mark=mark)

    def _branch(self, arrow: Arrow, branch: Branch, statuses: dict[str, str]) -> Branch:
        way = Way(statuses[arrow.source], statuses[branch.target], arrow.function)
        taken, failed = self._taken[way], self._failed[way]
        if not taken:
            return branch
        lines = [f"{taken} run{'s' if taken != 1 else ''}"]
        lines += [f"{failed} failed attempt{'s' if failed != 1 else ''}"] if failed else []
        failing = failed / (taken + failed) >= FAILING_SHARE
        return replace(
            branch,
            badge=tuple(lines),
            mark=Mark.FAILING if failing else Mark.PASSED,
        )


def percentile(values: Sequence[timedelta], percent: int) -> timedelta:
    """By nearest rank. In: values in order, at least one."""
    return values[max(0, ceil(len(values) * percent / 100) - 1)]
