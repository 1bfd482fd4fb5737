"""Sharing roles out: whoever campaigns when, everybody ends with the same, and then nothing moves any more."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from flowdsl.model.fair_share import allot, group

MOST_ROUNDS = 40


class Leases:
    """Who holds what, as a scheduler without a clock would keep it."""

    def __init__(self, roles: Sequence[str]) -> None:
        self.roles = roles
        self.wanted: dict[str, frozenset[str]] = {}
        self.holders: dict[str, str] = {}

    def campaign(self, member: str, roles: Sequence[str] | None = None) -> None:
        roles = self.roles if roles is None else roles
        self.wanted[member] = frozenset(roles)
        mine = allot(member, roles, self.wanted, self.holders)
        self.holders = {role: holder for role, holder in self.holders.items() if holder != member}
        self.holders.update(dict.fromkeys(mine, member))

    def leave(self, member: str) -> None:
        del self.wanted[member]
        self.holders = {role: holder for role, holder in self.holders.items() if holder != member}

    def settle(self, members: Sequence[str], rng: random.Random) -> None:
        """Let everybody campaign, each round in another order, until two rounds have changed nothing."""
        quiet = 0
        for _ in range(MOST_ROUNDS):
            before = dict(self.holders)
            for member in rng.sample(members, len(members)):
                self.campaign(member)
            quiet = quiet + 1 if before == self.holders else 0
            if quiet == 2:
                return
        pytest.fail(f"roles still wander after {MOST_ROUNDS} rounds: {self.holders}")

    def counts(self, members: Sequence[str], of: str | None = None) -> list[int]:
        held = [holder for role, holder in self.holders.items() if of is None or group(role) == of]
        return [held.count(member) for member in members]


@pytest.mark.parametrize("seed", range(300))
def test_whatever_the_groups_and_the_order_all_is_held_evenly_and_nothing_wanders(seed: int) -> None:
    rng = random.Random(seed)
    sizes = [rng.randint(1, 6) for _ in range(rng.randint(1, 5))]
    roles = [f"status-{which}/{slot}" for which, size in enumerate(sizes) for slot in range(size)]
    leases, members = Leases(roles), [f"m{number}" for number in range(rng.randint(2, 6))]
    for count in (1, len(members), len(members) - 1):  # one alone, then all, then one is gone
        for gone in set(leases.wanted) - set(members[:count]):
            leases.leave(gone)
        leases.settle(members[:count], rng)
        assert sorted(leases.holders) == sorted(roles)
        for of in (None, *{group(role) for role in roles}):
            counts = leases.counts(members[:count], of)
            assert max(counts) - min(counts) <= 1, (of, counts)


def test_three_instances_with_three_consumers_and_two_housekeeping_roles_have_a_consumer_each() -> None:
    consumers = [f"shop/orders/paid/consumer/{slot}-of-3" for slot in (1, 2, 3)]
    leases, members = Leases(["shop//sweeper", "shop//auto-resumer", *consumers]), ["a", "b", "c"]
    leases.settle(members, random.Random(1))
    assert leases.counts(members, "shop/orders/paid/consumer") == [1, 1, 1]


def test_a_member_keeps_what_it_has_while_nobody_is_two_poorer() -> None:
    leases = Leases(["r/1", "r/2", "r/3"])
    leases.settle(["a", "b"], random.Random(1))
    held = dict(leases.holders)
    for _ in range(5):
        leases.campaign("b")
        leases.campaign("a")
        assert leases.holders == held


def test_what_only_one_wants_is_taken_whatever_the_share() -> None:
    leases = Leases([])
    leases.campaign("b", ["x/1"])
    leases.campaign("a", ["x/1", "y/1", "y/2", "y/3"])
    assert leases.holders == {"x/1": "b", "y/1": "a", "y/2": "a", "y/3": "a"}
