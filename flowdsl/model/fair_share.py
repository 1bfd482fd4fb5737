"""Who should hold which roles: one rule for every role scheduler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set


def allot(member: str, roles: Sequence[str], wanted: Mapping[str, Set[str]], holders: Mapping[str, str]) -> tuple[str, ...]:
    """The roles that `member` keeps and takes now.

    In: the roles it wants in order; what every live member wants (itself included); who holds which role, lapsed leases left out.
    Out: what it holds and wants, less what a poorer member should have; then free roles up to its share; then free roles that
    nobody else wants. The share is the number of wanted roles divided by the members that want any of them, rounded up. A member
    gives back only while it has at least two more than another that wants the role, so that roles do not wander without need.
    """
    wanted_here = list(dict.fromkeys(roles))
    rivals = [name for name, theirs in wanted.items() if name != member and not theirs.isdisjoint(wanted_here)]
    share = -(-len(wanted_here) // (len(rivals) + 1))
    counts = dict.fromkeys(rivals, 0)
    for role in wanted_here:
        holder = holders.get(role)
        if holder in counts:
            counts[holder] += 1
    mine = [role for role in wanted_here if holders.get(role) == member]
    for role in reversed(list(mine)):
        poorer = [name for name in rivals if role in wanted[name] and counts[name] + 2 <= len(mine)]
        if poorer:
            mine.remove(role)
            counts[min(poorer, key=counts.__getitem__)] += 1
    for role in wanted_here:
        free = role not in holders
        if free and (len(mine) < share or not any(role in wanted[name] for name in rivals)):
            mine.append(role)
    return tuple(mine)
