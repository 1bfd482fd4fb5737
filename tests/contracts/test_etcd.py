"""The roles on etcd keep the contract, by etcd's own time."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from flowdsl.errors import RoleSchedulerError
from flowdsl.testing.clock import ManualClock
from flowdsl.testing.contracts import RoleSchedulerContract
from flowdsl_etcd.role_scheduler import EtcdRoleScheduler, open_roles
from tests.own_etcd import OwnEtcd, own_etcd

TTL = timedelta(seconds=3)
LATE = timedelta(seconds=0.5)
"""etcd looks for leases that have run out twice a second."""


class EtcdClock(ManualClock):
    """Nothing makes etcd's time pass but time."""

    def advance(self, duration: timedelta) -> None:
        super().advance(duration)
        time.sleep((duration + LATE if duration >= TTL else duration).total_seconds())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnEtcd]:
    with own_etcd(tmp_path_factory.mktemp("etcd")) as server:
        yield server


class TestEtcdRoleScheduler(RoleSchedulerContract):
    ttl = TTL

    @pytest.fixture
    def clock(self) -> ManualClock:
        return EtcdClock()

    @pytest.fixture
    def scheduler_factory(self, server: OwnEtcd) -> Iterator[Callable[[], EtcdRoleScheduler]]:
        url = f"{server.url}?prefix=t{uuid.uuid4().hex}"
        opened: list[EtcdRoleScheduler] = []

        def make() -> EtcdRoleScheduler:
            opened.append(open_roles(url))
            return opened[-1]

        yield make
        for roles in opened:
            roles.close()

    def test_a_member_that_comes_back_on_another_connection_keeps_its_roles(
        self, roles: EtcdRoleScheduler, scheduler_factory: Callable[[], EtcdRoleScheduler], clock: ManualClock
    ) -> None:
        before = roles.campaign("a", ["r", "s"], self.ttl)
        other = scheduler_factory()
        for _ in range(3):  # the first lease runs out meanwhile, and nothing may hang on it any more
            assert list(other.campaign("a", ["r", "s"], self.ttl)) == list(before)
            clock.advance(self.ttl / 2)
        assert list(roles.campaign("b", ["r", "s"], self.ttl)) == []

    def test_more_roles_than_a_transaction_holds(self, roles: EtcdRoleScheduler) -> None:
        many = [f"role-{number:03}" for number in range(250)]
        assert [lease.role for lease in roles.campaign("a", many, self.ttl)] == many
        assert [lease.role for lease in roles.campaign("a", many[:1], self.ttl)] == many[:1]
        assert len(roles.campaign("b", many, self.ttl)) == 249


def test_the_roles_of_a_killed_process_pass_on(server: OwnEtcd) -> None:
    url = f"{server.url}?prefix=t{uuid.uuid4().hex}"
    code = f"""
import os, signal
from datetime import timedelta
from flowdsl_etcd.role_scheduler import open_roles
assert len(open_roles({url!r}).campaign("a", ["r"], timedelta(seconds=2))) == 1
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    roles = open_roles(url)
    assert list(roles.campaign("b", ["r"], timedelta(seconds=2))) == []
    end = time.monotonic() + 10
    while not (leases := roles.campaign("b", ["r"], timedelta(seconds=2))):
        assert time.monotonic() < end
        time.sleep(0.2)
    assert [lease.role for lease in leases] == ["r"]
    roles.close()


def test_an_etcd_that_was_started_again_is_spoken_to_again(tmp_path_factory: pytest.TempPathFactory) -> None:
    with own_etcd(tmp_path_factory.mktemp("etcd")) as server:
        roles = open_roles(server.url)
        (first,) = roles.campaign("a", ["r"], timedelta(seconds=60))
        server.stop()
        with pytest.raises(RoleSchedulerError, match="leasing roles at etcd://"):
            roles.campaign("a", ["r"], timedelta(seconds=60))
        server.start()
        assert list(roles.campaign("a", ["r"], timedelta(seconds=60))) == [first]
        roles.close()
