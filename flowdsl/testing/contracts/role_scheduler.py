"""The role scheduler's contract. A subclass defines the fixtures `clock` (a ManualClock) and `scheduler_factory`: a function that
opens another handle on the same leases, taking its time from `clock`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from flowdsl.errors import RoleSchedulerError
from flowdsl.ports.role_scheduler import RoleScheduler
from flowdsl.testing.clock import ManualClock

TTL = timedelta(seconds=15)
ROLES = [f"role-{number}" for number in range(6)]


class RoleSchedulerContract:
    """Every rule of `flowdsl.ports.role_scheduler.RoleScheduler`."""

    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    @pytest.fixture
    def roles(self, scheduler_factory: Callable[[], RoleScheduler]) -> Iterator[RoleScheduler]:
        scheduler = scheduler_factory()
        yield scheduler
        scheduler.close()

    def test_a_member_alone_holds_everything_it_wants(self, roles: RoleScheduler) -> None:
        leases = roles.campaign("a", ROLES, TTL)
        assert sorted(lease.role for lease in leases) == ROLES
        assert {(lease.member, lease.ttl) for lease in leases} == {("a", TTL)}
        assert list(roles.campaign("b", [], TTL)) == []

    def test_a_role_has_one_holder(self, roles: RoleScheduler, scheduler_factory: Callable[[], RoleScheduler]) -> None:
        other = scheduler_factory()
        for _ in range(5):
            mine = {lease.role for lease in roles.campaign("a", ROLES, TTL)}
            theirs = {lease.role for lease in other.campaign("b", ROLES, TTL)}
            assert mine.isdisjoint(theirs)
        other.close()

    def test_renewing_keeps_role_and_token(self, roles: RoleScheduler, clock: ManualClock) -> None:
        (first,) = roles.campaign("a", ["r"], TTL)
        for _ in range(5):
            clock.advance(TTL / 2)
            assert list(roles.campaign("a", ["r"], TTL)) == [first]
            assert list(roles.campaign("b", ["r"], TTL)) == []

    def test_a_lease_that_runs_out_goes_to_another_with_a_greater_token(self, roles: RoleScheduler, clock: ManualClock) -> None:
        (first,) = roles.campaign("a", ["r"], TTL)
        clock.advance(TTL - timedelta(seconds=1))
        assert list(roles.campaign("b", ["r"], TTL)) == []
        clock.advance(timedelta(seconds=2))
        (second,) = roles.campaign("b", ["r"], TTL)
        assert second.token > first.token
        assert list(roles.campaign("a", ["r"], TTL)) == []

    def test_a_lease_that_ran_out_is_regained_with_a_greater_token(self, roles: RoleScheduler, clock: ManualClock) -> None:
        (first,) = roles.campaign("a", ["r"], TTL)
        clock.advance(TTL * 2)
        (second,) = roles.campaign("a", ["r"], TTL)
        assert second.token > first.token

    def test_roles_spread_evenly_when_members_come(self, roles: RoleScheduler) -> None:
        held = _settle(roles, ["a", "b", "c"], ROLES)
        assert sorted(len(mine) for mine in held.values()) == [2, 2, 2]
        held = _settle(roles, ["a", "b", "c", "d"], ROLES)
        assert sum(len(mine) for mine in held.values()) == len(ROLES)
        assert max(map(len, held.values())) - min(map(len, held.values())) <= 1

    def test_roles_of_a_member_that_is_gone_are_taken_over(self, roles: RoleScheduler, clock: ManualClock) -> None:
        _settle(roles, ["a", "b"], ROLES)
        clock.advance(TTL + timedelta(seconds=1))
        held = _settle(roles, ["b"], ROLES)
        assert sorted(held["b"]) == ROLES

    def test_resigning_frees_at_once(self, roles: RoleScheduler) -> None:
        (first,) = roles.campaign("a", ["r"], TTL)
        roles.resign("a")
        roles.resign("unknown")
        (second,) = roles.campaign("b", ["r"], TTL)
        assert second.token > first.token

    def test_roles_that_are_no_longer_named_are_given_back(self, roles: RoleScheduler) -> None:
        roles.campaign("a", ["r", "s"], TTL)
        assert [lease.role for lease in roles.campaign("a", ["s"], TTL)] == ["s"]
        assert [lease.role for lease in roles.campaign("b", ["r"], TTL)] == ["r"]

    def test_a_role_that_nobody_else_wants_is_taken_beyond_the_share(self, roles: RoleScheduler) -> None:
        held = _settle(roles, ["a"], ["x", "y", "z"])
        assert len(held["a"]) == 3
        roles.campaign("b", ["x"], TTL)
        got: dict[str, list[str]] = {}
        for _ in range(3):
            wanted = {"a": ["x", "y", "z"], "b": ["x"]}
            got = {member: [lease.role for lease in roles.campaign(member, names, TTL)] for member, names in wanted.items()}
        assert {"y", "z"} <= set(got["a"])
        assert sorted([*got["a"], *got["b"]]) == ["x", "y", "z"]

    def test_one_role_and_many_members_has_one_holder_that_keeps_it(self, roles: RoleScheduler) -> None:
        members = [f"m{number}" for number in range(5)]
        first = _settle(roles, members, ["r"])
        holder = [member for member, held in first.items() if held]
        assert len(holder) == 1
        assert [member for member, held in _settle(roles, members, ["r"]).items() if held] == holder

    def test_a_closed_scheduler_says_so(self, scheduler_factory: Callable[[], RoleScheduler]) -> None:
        scheduler = scheduler_factory()
        scheduler.close()
        with pytest.raises(RoleSchedulerError):
            scheduler.campaign("a", ["r"], TTL)


def _settle(roles: RoleScheduler, members: list[str], wanted: list[str]) -> dict[str, list[str]]:
    """Let everybody campaign until nothing moves any more."""
    held: dict[str, list[str]] = {}
    for _ in range(6):
        held = {member: sorted(lease.role for lease in roles.campaign(member, wanted, TTL)) for member in members}
    return held
