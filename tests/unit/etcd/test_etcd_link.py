"""Clusters that lose a member, TLS, users, forked processes: roles go on."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from flowdsl.errors import RoleSchedulerError
from flowdsl_etcd import link as link_module
from flowdsl_etcd.role_scheduler import EtcdRoleScheduler, open_roles
from tests.own_etcd import OwnEtcd, own_certificate, own_etcd
from tests.ports import free_port
from tests.proxy import Proxy

TTL = timedelta(seconds=60)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnEtcd]:
    with own_etcd(tmp_path_factory.mktemp("etcd")) as server:
        yield server


@pytest.fixture
def prefix() -> str:
    return f"prefix=t{uuid.uuid4().hex}"


@pytest.fixture
def opened() -> Iterator[Callable[[str], EtcdRoleScheduler]]:
    made: list[EtcdRoleScheduler] = []

    def make(url: str) -> EtcdRoleScheduler:
        made.append(open_roles(url))
        return made[-1]

    yield make
    for roles in made:
        roles.close()


def test_roles_stay_where_they_are_when_a_member_of_the_cluster_dies(
    tmp_path: Path, opened: Callable[[str], EtcdRoleScheduler]
) -> None:
    with own_etcd(tmp_path, members=3) as cluster:
        roles, other = opened(cluster.url), opened(cluster.url)
        before = roles.campaign("a", ["r", "s"], TTL)
        assert len(before) == 2

        cluster.kill(cluster.ports[0])

        assert list(roles.campaign("a", ["r", "s"], TTL)) == list(before)
        assert {lease.role for lease in other.campaign("b", ["r"], TTL)} == set()


def test_a_cluster_that_has_lost_its_majority_leases_nothing(
    tmp_path: Path, opened: Callable[[str], EtcdRoleScheduler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "ANSWER_TIMEOUT", 2.0)
    with own_etcd(tmp_path, members=3) as cluster:
        roles = opened(cluster.url)
        roles.campaign("a", ["r"], TTL)
        for port in cluster.ports[:2]:
            cluster.kill(port)

        with pytest.raises(RoleSchedulerError, match="leasing roles at etcd://"):
            roles.campaign("a", ["r"], TTL)


def test_a_host_that_is_not_there_is_passed_over(
    server: OwnEtcd, prefix: str, opened: Callable[[str], EtcdRoleScheduler]
) -> None:
    roles = opened(f"etcd://127.0.0.1:{free_port()},127.0.0.1:{server.ports[0]}?{prefix}")

    assert len(roles.campaign("a", ["r"], TTL)) == 1
    roles.resign("a")
    assert len(roles.campaign("b", ["r"], TTL)) == 1


def test_an_etcd_that_falls_silent_is_an_error_and_what_it_did_is_found_later(
    server: OwnEtcd, prefix: str, opened: Callable[[str], EtcdRoleScheduler], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "ANSWER_TIMEOUT", 1.5)
    proxy = Proxy(f"{server.url}?{prefix}")
    roles = opened(proxy.url)
    (first,) = roles.campaign("a", ["r"], TTL)

    proxy.silence()
    with pytest.raises(RoleSchedulerError, match="ConnectionTimeoutError"):
        roles.campaign("a", ["r"], TTL)
    proxy.speak()
    proxy.cut()

    assert list(roles.campaign("a", ["r"], TTL)) == [first]
    roles.close()
    proxy.close()


def test_tls_with_certificates_on_both_sides(tmp_path: Path, opened: Callable[[str], EtcdRoleScheduler]) -> None:
    certificate = own_certificate(tmp_path)
    with own_etcd(tmp_path, certificate=certificate) as server:
        roles = opened(server.url)
        assert len(roles.campaign("a", ["r"], TTL)) == 1
        roles.resign("a")

        here = f"etcds://127.0.0.1:{server.ports[0]}"
        with pytest.raises(RoleSchedulerError, match="CERTIFICATE_VERIFY_FAILED"):
            opened(here).campaign("a", ["r"], TTL)
        with pytest.raises(RoleSchedulerError, match="leasing roles at etcds://"):
            opened(f"{here}?ca={certificate[0]}").campaign("a", ["r"], TTL)


class TestUsers:
    """etcd with users, who may write below one prefix."""

    @pytest.fixture
    def server(self, tmp_path: Path) -> Iterator[OwnEtcd]:
        with own_etcd(tmp_path) as server:
            yield server

    def demand_users(self, server: OwnEtcd) -> None:
        def ask(path: str, **body: Any) -> dict[str, Any]:
            answer = requests.post(f"http://127.0.0.1:{server.ports[0]}/v3/auth/{path}", json=body, timeout=10)
            answer.raise_for_status()
            found: dict[str, Any] = answer.json()
            return found

        key, end = "c2hvcC8=", "c2hvcDA="  # shop/ and shop0, base64
        ask("role/add", name="shop")
        ask("role/grant", name="shop", perm={"permType": "READWRITE", "key": key, "range_end": end})
        for user, password in (("root", "r"), ("me", "geheim/1")):
            ask("user/add", name=user, password=password)
        ask("role/add", name="root")
        ask("user/grant", user="root", role="root")
        ask("user/grant", user="me", role="shop")
        ask("enable")

    def test_a_user_leases_roles_below_its_prefix(self, server: OwnEtcd, opened: Callable[[str], EtcdRoleScheduler]) -> None:
        self.demand_users(server)
        here = f"127.0.0.1:{server.ports[0]}"
        roles = opened(f"etcd://me:geheim%2F1@{here}?prefix=shop")
        (first,) = roles.campaign("a", ["r"], TTL)

        server.stop()  # which forgets who has logged in
        server.start()

        assert list(roles.campaign("a", ["r"], TTL)) == [first]
        roles.resign("a")
        assert len(roles.campaign("b", ["r"], TTL)) == 1
        for url in (f"etcd://{here}?prefix=shop", f"etcd://me:geheim@{here}?prefix=shop", f"etcd://me:geheim%2F1@{here}"):
            with pytest.raises(RoleSchedulerError) as caught:
                opened(url).campaign("c", ["r"], TTL)
            assert "geheim" not in str(caught.value)

    def test_an_etcd_that_begins_to_demand_users_goes_on_for_those_who_have_named_one(
        self, server: OwnEtcd, opened: Callable[[str], EtcdRoleScheduler]
    ) -> None:
        roles = opened(f"etcd://me:geheim%2F1@127.0.0.1:{server.ports[0]}?prefix=shop")
        (first,) = roles.campaign("a", ["r"], TTL)

        self.demand_users(server)

        assert list(roles.campaign("a", ["r"], TTL)) == [first]


def test_a_forked_process_speaks_on_connections_of_its_own(server: OwnEtcd, prefix: str) -> None:
    code = f"""
import os
from datetime import timedelta
from flowdsl_etcd.role_scheduler import open_roles
roles = open_roles({f"{server.url}?{prefix}"!r})
first = roles.campaign("a", ["r"], timedelta(seconds=60))
child = os.fork()
for _ in range(200):
    assert list(roles.campaign("a", ["r"], timedelta(seconds=60))) == list(first)
if child:
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=False, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
