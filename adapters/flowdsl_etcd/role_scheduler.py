"""Roles leased in etcd, by etcd's own leases."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import msgspec
from etcd3gw.client import Etcd3Client
from etcd3gw.exceptions import ConnectionFailedError, Etcd3Exception
from msgspec import Struct

from flowdsl.clock import Clock
from flowdsl.errors import RoleSchedulerError
from flowdsl.model.fair_share import allot
from flowdsl.model.instance import Lease
from flowdsl_etcd.address import parse
from flowdsl_etcd.errors import translated
from flowdsl_etcd.link import Link

TRIES = 20
"""How often a campaign is tried that met another's."""
MOST_OPERATIONS = 100
"""Of a transaction; etcd takes 128 unless told otherwise."""
_decode_roles = msgspec.json.Decoder(frozenset[str]).decode


class _Key(Struct):
    """A role's key as etcd holds it."""

    member: str
    token: int
    lease: int


class _Seen(Struct):
    """What etcd holds: the roles' keys, and what each member wants and on which lease it says so."""

    roles: dict[str, _Key] = {}
    members: dict[str, tuple[frozenset[str], int]] = {}


class _Part(Struct):
    """One transaction: all of it, or nothing when a compared key has changed."""

    compares: list[dict[str, Any]] = []
    changes: list[dict[str, Any]] = []
    taken: list[str] = []
    """The roles that are the member's once it has succeeded."""


class EtcdRoleScheduler:
    """Implements `flowdsl.ports.role_scheduler.RoleScheduler`; the contract is there.

    A member has one etcd lease; its key and the keys of its roles hang on it, so that etcd itself removes them when it falls
    silent. A campaign is one keep-alive, one read of everything under the prefix, and one transaction when something changes. The
    token of a role is the revision that made its key, which only grows. etcd counts in whole seconds, two at least as it is
    shipped: a lease may last longer there than `ttl`, never shorter.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._prefix = link.address.prefix
        self._shown = link.address.shown
        self._leases: dict[str, tuple[int, int]] = {}
        """By member: etcd's name of its lease, and how many seconds that lasts."""
        self._closed = False

    def __repr__(self) -> str:
        return f"EtcdRoleScheduler({self._shown!r})"

    def campaign(self, member: str, roles: Sequence[str], ttl: timedelta) -> Sequence[Lease]:
        self._check()
        wanted = tuple(dict.fromkeys(roles))
        with translated(self._shown, "leasing roles"):
            lease = self._alive(member, math.ceil(ttl.total_seconds()))
            for _ in range(TRIES):
                seen = self._read()
                held = {role: key.token for role, key in seen.roles.items() if key.member == member}
                parts = self._parts(seen, lease, member, wanted)
                revisions = [(part, self._apply(part)) for part in parts]
                if parts and not any(revision for _, revision in revisions):
                    continue  # somebody was faster, and nothing has been changed
                kept: dict[str, int] = {}
                for part, revision in revisions:
                    if revision:
                        kept.update({role: held.get(role, revision) for role in part.taken})
                mine = allot(member, wanted, {**_wanted(seen), member: frozenset(wanted)}, _holders(seen))
                untouched = {role: token for role, token in held.items() if seen.roles[role].lease == lease}
                tokens = {**untouched, **kept}
                return [Lease(role, member, tokens[role], ttl) for role in mine if role in tokens]
        raise RoleSchedulerError(
            f"leasing roles at {self._shown} met others {TRIES} times.", remedy="It is tried again by itself."
        )

    def _parts(self, seen: _Seen, lease: int, member: str, wanted: Sequence[str]) -> list[_Part]:
        """What has to change for the member to hold its share, in as few transactions as etcd allows."""
        mine = allot(member, wanted, {**_wanted(seen), member: frozenset(wanted)}, _holders(seen))
        changes: list[tuple[dict[str, Any] | None, dict[str, Any], str | None]] = []
        if seen.members.get(member) != (frozenset(wanted), lease):
            changes.append((None, self._put(self._member(member), msgspec.json.encode(sorted(wanted)), lease), None))
        for role, key in seen.roles.items():
            if key.member == member and role not in mine:
                changes.append((self._made_by(role, key.token), _delete(self._role(role)), None))
        for role in mine:
            known = seen.roles.get(role)
            if known is None or known.lease != lease:  # free, or ours on a lease that nobody renews any more
                compare = self._made_by(role, 0 if known is None else known.token)
                changes.append((compare, self._put(self._role(role), member.encode(), lease), role))
        parts: list[_Part] = []
        for begin in range(0, len(changes), MOST_OPERATIONS):
            part = _Part()
            for condition, change, taken in changes[begin : begin + MOST_OPERATIONS]:
                part.changes.append(change)
                if condition is not None:
                    part.compares.append(condition)
                if taken is not None:
                    part.taken.append(taken)
            parts.append(part)
        return parts

    def _apply(self, part: _Part) -> int:
        """The revision that it made; 0: a compared key had changed."""
        wanted: dict[str, Any] = {"compare": part.compares, "success": part.changes, "failure": []}
        answer = self._link.call(lambda client: client.transaction(wanted))
        return int(answer["header"]["revision"]) if answer.get("succeeded") else 0

    def resign(self, member: str) -> None:
        self._check()
        lease, _ = self._leases.pop(member, (None, 0))
        with translated(self._shown, "giving roles back"):
            if lease is not None:
                try:
                    self._link.call(lambda client: client.post(client.get_url("/lease/revoke"), json={"ID": lease}))
                except Etcd3Exception as error:
                    if "not found" not in str(error.detail_text):  # it has run out, which is as good
                        raise
            seen = self._read()  # what hangs on an earlier lease of the member's
            keys = [self._member(member)] if member in seen.members else []
            keys += [self._role(role) for role, key in seen.roles.items() if key.member == member]
            for key in keys:
                self._link.call(partial(Etcd3Client.delete, key=key))

    def close(self) -> None:
        self._closed = True
        self._link.close()

    def _check(self) -> None:
        if self._closed:
            raise RoleSchedulerError("the role scheduler is closed.")

    def _alive(self, member: str, seconds: int) -> int:
        """The member's lease, prolonged from now."""
        lease, granted = self._leases.get(member, (None, 0))
        if lease is None or granted != seconds or not self._prolonged(lease):
            lease = self._link.call(lambda client: client.lease(seconds)).id
            self._leases[member] = (lease, seconds)
        return lease

    def _prolonged(self, lease: int) -> bool:
        """False: it had run out, with everything that hung on it."""

        def keep_alive(client: Etcd3Client) -> int:
            answer = client.post(client.get_url("/lease/keepalive"), json={"ID": lease})
            if "result" not in answer:  # a host that has lost the others says so in a stream that has begun well
                raise ConnectionFailedError(str(answer))
            return int(answer["result"].get("TTL", 0))

        return self._link.call(keep_alive) > 0

    def _read(self) -> _Seen:
        seen = _Seen()
        for value, about in self._link.call(lambda client: client.get_prefix(f"{self._prefix}/")):
            kind, _, name = about["key"].decode()[len(self._prefix) + 1 :].partition("/")
            lease = int(about.get("lease", 0))
            if kind == "roles":
                seen.roles[name] = _Key(value.decode(), int(about.get("create_revision", 0)), lease)
            elif kind == "members":
                seen.members[name] = (_decode_roles(value), lease)
        return seen

    def _put(self, key: str, value: bytes, lease: int) -> dict[str, Any]:
        return {"request_put": {"key": _text(key), "value": base64.b64encode(value).decode(), "lease": lease}}

    def _made_by(self, role: str, token: int) -> dict[str, Any]:
        """Compares: the role's key was made by this revision; 0: there is none."""
        return {"key": _text(self._role(role)), "target": "CREATE", "result": "EQUAL", "create_revision": token}

    def _role(self, role: str) -> str:
        return f"{self._prefix}/roles/{role}"

    def _member(self, member: str) -> str:
        return f"{self._prefix}/members/{member}"


def _wanted(seen: _Seen) -> dict[str, frozenset[str]]:
    return {name: roles for name, (roles, _) in seen.members.items()}


def _holders(seen: _Seen) -> dict[str, str]:
    return {role: key.member for role, key in seen.roles.items()}


def _delete(key: str) -> dict[str, Any]:
    return {"request_delete_range": {"key": _text(key)}}


def _text(key: str) -> str:
    return base64.b64encode(key.encode()).decode()


def open_roles(url: str, *, clock: Clock | None = None) -> EtcdRoleScheduler:
    """A role scheduler at etcd://user:password@host:port,host:port, of which the host that answers is used; or at etcds:// for
    TLS, where the query's `ca`, `cert` and `key` name PEM files. `prefix` of its keys (default flowdsl). Nothing
    is connected before the first use. `clock` is not used: etcd counts by its own. Raises ConfigurationError."""
    return EtcdRoleScheduler(Link(parse(url)))
