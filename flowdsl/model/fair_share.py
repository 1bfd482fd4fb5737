"""Who should hold which roles: one rule for every role scheduler."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set


def allot(member: str, roles: Sequence[str], wanted: Mapping[str, Set[str]], holders: Mapping[str, str]) -> tuple[str, ...]:
    """The roles that `member` keeps and takes now.

    In: the roles it wants in order; what every live member wants (itself included); who holds which role, lapsed leases left out.
    Out: what it holds and wants, less what a poorer member should have; then free roles, up to its share or while nobody who
    wants them has less; and free roles that nobody else wants.

    Roles are spread evenly within each group first, the consumers of one status say, then over all: a member gives back only
    while it has at least two more of a group than another that wants the role, or two more altogether and more of the group, so
    that roles do not wander without need. The share is the number of roles divided by the members that want any of them, rounded
    up.
    """
    wanted_here = list(dict.fromkeys(roles))
    rivals = [name for name, theirs in wanted.items() if name != member and not theirs.isdisjoint(wanted_here)]
    book = _Book(wanted_here, holders)
    mine = [role for role in wanted_here if holders.get(role) == member]
    for role in reversed(list(mine)):
        of_it, all_of_mine = book.has(member, role)
        poorer = [
            name
            for name in rivals
            if role in wanted[name]
            and (book.has(name, role)[0] + 2 <= of_it or book.has(name, role)[0] < of_it and book.total(name) + 2 <= all_of_mine)
        ]
        if poorer:
            mine.remove(role)
            book.pass_on(role, member, min(poorer, key=lambda name: book.has(name, role)))
    share = _share(len(wanted_here), len(rivals))
    for role in wanted_here:
        if role in holders:
            continue
        others = [name for name in rivals if role in wanted[name]]
        of_it, all_of_mine = book.has(member, role)
        below = of_it < _share(book.size(role), len(others)) and all_of_mine < share
        if not others or below or all((of_it, all_of_mine) <= book.has(name, role) for name in others):
            mine.append(role)
            book.pass_on(role, None, member)
    return tuple(mine)


def group(role: str) -> str:
    """What is spread as one: the roles whose names differ in their last part only."""
    return role.rpartition("/")[0]


def _share(roles: int, rivals: int) -> int:
    return -(-roles // (rivals + 1))


class _Book:
    """How many of these roles everybody has, by group and altogether."""

    def __init__(self, roles: Sequence[str], holders: Mapping[str, str]) -> None:
        self._sizes = Counter(map(group, roles))
        self._of_group: Counter[tuple[str, str]] = Counter()
        self._all: Counter[str] = Counter()
        for role in roles:
            if role in holders:
                self.pass_on(role, None, holders[role])

    def has(self, name: str, role: str) -> tuple[int, int]:
        """Of the role's group, and altogether."""
        return self._of_group[name, group(role)], self._all[name]

    def total(self, name: str) -> int:
        return self._all[name]

    def size(self, role: str) -> int:
        """How many roles there are in the role's group."""
        return self._sizes[group(role)]

    def pass_on(self, role: str, giver: str | None, taker: str) -> None:
        if giver is not None:
            self._of_group[giver, group(role)] -= 1
            self._all[giver] -= 1
        self._of_group[taker, group(role)] += 1
        self._all[taker] += 1
