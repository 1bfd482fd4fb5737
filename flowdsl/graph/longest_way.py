"""How far it is from each status to the end: what makes one way through a graph the main one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def longest_ways(targets: Mapping[str, Sequence[str]], starts: Sequence[str]) -> Mapping[str, int]:
    """The length of the longest way from each node, not counting edges that lead back to where a way from the starts came from.
    In: each node's targets. Nodes that no start reaches are looked at last."""
    lengths: dict[str, int] = {}
    under_way: set[str] = set()
    for start in [*starts, *targets]:
        stack = [start]
        while stack:
            node = stack[-1]
            if node in lengths:
                stack.pop()
            elif node not in under_way:
                under_way.add(node)
                stack += (t for t in reversed(targets[node]) if t not in under_way and t not in lengths)
            else:  # everything beyond it is known, but for what leads back
                lengths[node] = max((lengths[t] + 1 for t in targets[node] if t in lengths), default=0)
                under_way.discard(node)
                stack.pop()
    return lengths
