"""The role scheduler's contract. A subclass defines the fixture `scheduler_factory`: a function that opens another handle on the
same leases, taking its time from the fixture `clock`, a ManualClock. Where the server counts by a clock of its own, `clock` is
overridden by something whose `advance` lets that time pass, and `ttl` by what the server can count."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from flowdsl.errors import RoleSchedulerError
from flowdsl.ports.role_scheduler import RoleScheduler
from flowdsl.testing.clock import ManualClock

ROLES = [f"role-{number}" for number in range(6)]


class RoleSchedulerContract:
    """Every rule of `flowdsl.ports.role_scheduler.RoleScheduler`."""

    ttl = timedelta(seconds=15)

    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    @pytest.fixture
    def roles(self, scheduler_factory: Callable[[], RoleScheduler]) -> Iterator[RoleScheduler]:
        scheduler = scheduler_factory()
        yield scheduler
        scheduler.close()

    def test_a_member_alone_holds_everything_it_wants(self, roles: RoleScheduler) -> None:
        leases = roles.campaign("a", ROLES, self.ttl)
        assert sorted(lease.role for lease in leases) == ROLES
        assert {(lease.member, lease.ttl) for lease in leases} == {("a", self.ttl)}
        assert list(roles.campaign("b", [], self.ttl)) == []

    def test_a_role_has_one_holder(self, roles: RoleScheduler, scheduler_factory: Callable[[], RoleScheduler]) -> None:
        other = scheduler_factory()
        for _ in range(5):
            mine = {lease.role for lease in roles.campaign("a", ROLES, self.ttl)}
            theirs = {lease.role for lease in other.campaign("b", ROLES, self.ttl)}
            assert mine.isdisjoint(theirs)
        other.close()

    def test_renewing_keeps_role_and_token(self, roles: RoleScheduler, clock: ManualClock) -> None:
        (first,) = roles.campaign("a", ["r"], self.ttl)
        for _ in range(5):
            clock.advance(self.ttl / 2)
            assert list(roles.campaign("a", ["r"], self.ttl)) == [first]
            assert list(roles.campaign("b", ["r"], self.ttl)) == []

    def test_a_lease_that_runs_out_goes_to_another_with_a_greater_token(self, roles: RoleScheduler, clock: ManualClock) -> None:
        (first,) = roles.campaign("a", ["r"], self.ttl)
        clock.advance(self.ttl - timedelta(seconds=1))
        assert list(roles.campaign("b", ["r"], self.ttl)) == []
        clock.advance(timedelta(seconds=2))
        (second,) = roles.campaign("b", ["r"], self.ttl)
        assert second.token > first.token
        assert list(roles.campaign("a", ["r"], self.ttl)) == []

    def test_a_lease_that_ran_out_is_regained_with_a_greater_token(self, roles: RoleScheduler, clock: ManualClock) -> None:
        (first,) = roles.campaign("a", ["r"], self.ttl)
        clock.advance(self.ttl * 2)
        (second,) = roles.campaign("a", ["r"], self.ttl)
        assert second.token > first.token

    def test_roles_spread_evenly_when_members_come(self, roles: RoleScheduler) -> None:
        held = self.settle(roles, ["a", "b", "c"], ROLES)
        assert sorted(len(mine) for mine in held.values()) == [2, 2, 2]
        held = self.settle(roles, ["a", "b", "c", "d"], ROLES)
        assert sum(len(mine) for mine in held.values()) == len(ROLES)
        assert max(map(len, held.values())) - min(map(len, held.values())) <= 1

    def test_each_group_of_roles_is_spread_evenly_by_itself(self, roles: RoleScheduler) -> None:
        house, consumers = ["house/sweeper", "house/resumer"], [f"shop/paid/{number}-of-3" for number in (1, 2, 3)]
        held = self.settle(roles, ["a", "b", "c"], [*house, *consumers])
        assert sorted(role for mine in held.values() for role in mine) == sorted([*house, *consumers])
        assert [len(set(mine) & set(consumers)) for mine in held.values()] == [1, 1, 1]
        assert sorted(len(mine) for mine in held.values()) == [1, 2, 2]

    def test_roles_of_a_member_that_is_gone_are_taken_over(self, roles: RoleScheduler, clock: ManualClock) -> None:
        self.settle(roles, ["a", "b"], ROLES)
        clock.advance(self.ttl + timedelta(seconds=1))
        held = self.settle(roles, ["b"], ROLES)
        assert sorted(held["b"]) == ROLES

    def test_resigning_frees_at_once(self, roles: RoleScheduler) -> None:
        (first,) = roles.campaign("a", ["r"], self.ttl)
        roles.resign("a")
        roles.resign("unknown")
        (second,) = roles.campaign("b", ["r"], self.ttl)
        assert second.token > first.token

    def test_roles_that_are_no_longer_named_are_given_back(self, roles: RoleScheduler) -> None:
        roles.campaign("a", ["r", "s"], self.ttl)
        assert [lease.role for lease in roles.campaign("a", ["s"], self.ttl)] == ["s"]
        assert [lease.role for lease in roles.campaign("b", ["r"], self.ttl)] == ["r"]

    def test_a_role_that_nobody_else_wants_is_taken_beyond_the_share(self, roles: RoleScheduler) -> None:
        held = self.settle(roles, ["a"], ["x", "y", "z"])
        assert len(held["a"]) == 3
        roles.campaign("b", ["x"], self.ttl)
        got: dict[str, list[str]] = {}
        for _ in range(3):
            wanted = {"a": ["x", "y", "z"], "b": ["x"]}
            got = {member: [lease.role for lease in roles.campaign(member, names, self.ttl)] for member, names in wanted.items()}
        assert {"y", "z"} <= set(got["a"])
        assert sorted([*got["a"], *got["b"]]) == ["x", "y", "z"]

    def test_one_role_and_many_members_has_one_holder_that_keeps_it(self, roles: RoleScheduler) -> None:
        members = [f"m{number}" for number in range(5)]
        first = self.settle(roles, members, ["r"])
        holder = [member for member, held in first.items() if held]
        assert len(holder) == 1
        assert [member for member, held in self.settle(roles, members, ["r"]).items() if held] == holder

    def test_a_closed_scheduler_says_so(self, scheduler_factory: Callable[[], RoleScheduler]) -> None:
        scheduler = scheduler_factory()
        scheduler.close()
        with pytest.raises(RoleSchedulerError):
            scheduler.campaign("a", ["r"], self.ttl)

    def settle(self, roles: RoleScheduler, members: list[str], wanted: list[str]) -> dict[str, list[str]]:
        """Let everybody campaign until nothing moves any more."""
        held: dict[str, list[str]] = {}
        for _ in range(6):
            held = {member: sorted(lease.role for lease in roles.campaign(member, wanted, self.ttl)) for member in members}
        return held
