"""Who should hold which roles: one rule for every role scheduler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set


def allot(member: str, roles: Sequence[str], wanted: Mapping[str, Set[str]], holders: Mapping[str, str]) -> tuple[str, ...]:
    """The roles that `member` keeps and takes now.

    In: the roles it wants in order; what every live member wants (itself included); who holds which role, lapsed leases left out.
    Out: what it holds and wants, down to its share; then free roles up to its share; then free roles that nobody else wants.
    The share is the number of wanted roles divided by the members that want them, rounded up; a member above its share gives back
    only while another that wants the role is below it, so that roles do not wander without need.
    """
    rivals = [name for name, theirs in wanted.items() if name != member and not theirs.isdisjoint(roles)]
    share = -(-len(set(roles)) // (len(rivals) + 1))
    held = [role for role in dict.fromkeys(roles) if holders.get(role) == member]
    counts = dict.fromkeys(rivals, 0)
    for role in dict.fromkeys(roles):
        holder = holders.get(role)
        if holder in counts:
            counts[holder] += 1
    floor = len(set(roles)) // (len(rivals) + 1)
    hungry = [name for name, count in counts.items() if count < floor or (count < share and len(held) > share)]
    excess = len(held) - share
    kept = list(held)
    for role in reversed(held):
        if excess <= 0:
            break
        if any(role in wanted[name] for name in hungry):
            kept.remove(role)
            excess -= 1
    taken = kept
    for role in dict.fromkeys(roles):
        if role in holders or role in held:
            continue
        alone = not any(role in wanted[name] for name in rivals)
        if alone or len(taken) < share:
            taken = [*taken, role]
    return tuple(taken)
