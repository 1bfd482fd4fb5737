"""Roles leased in Redis, by the server's time."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
from msgspec import Struct

from flowdsl.clock import Clock
from flowdsl.errors import RoleSchedulerError
from flowdsl.model.fair_share import allot
from flowdsl.model.instance import Lease
from flowdsl_redis.errors import translated
from flowdsl_redis.link import PREFIX, Address, connect, hash_tag, parse

MICROSECOND = timedelta(microseconds=1)
TRIES = 100
"""How often a campaign is tried that met another's: each time one of them got through."""
SWAP = """
local now = redis.call('GET', KEYS[1])
if (now or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""


class _Held(Struct, array_like=True):
    member: str
    token: int
    expires: int


class _Candidate(Struct, array_like=True):
    roles: frozenset[str]
    expires: int


class _Roles(Struct):
    """All leases and candidates: one value, replaced as a whole by compare-and-set."""

    leases: dict[str, _Held] = {}
    candidates: dict[str, _Candidate] = {}


_decode = msgspec.json.Decoder(_Roles).decode
_encode = msgspec.json.Encoder().encode


class RedisRoleScheduler:
    """Implements `flowdsl.ports.role_scheduler.RoleScheduler`; the contract is there. A campaign reads and writes once each, and
    again when another came between. Tokens are times of the server where those are greater: they grow even past a FLUSHALL.

    In: where Redis is; the prefix of its one key; a clock to use instead of the server's (tests).
    """

    def __init__(self, address: Address, *, prefix: str = PREFIX, clock: Clock | None = None) -> None:
        self._address = address
        self._key = f"{hash_tag(prefix)}roles"
        self._clock = clock
        self._client: Any = connect(address)
        self._closed = False

    def __repr__(self) -> str:
        return f"RedisRoleScheduler({self._address.shown!r})"

    def campaign(self, member: str, roles: Sequence[str], ttl: timedelta) -> Sequence[Lease]:
        wanted = tuple(dict.fromkeys(roles))

        def decide(known: _Roles, now: int) -> Sequence[Lease]:
            until = now + ttl // MICROSECOND
            known.candidates = {name: entry for name, entry in known.candidates.items() if entry.expires > now}
            known.candidates[member] = _Candidate(frozenset(wanted), until)
            holders = {role: held.member for role, held in known.leases.items() if held.member and held.expires > now}
            mine = allot(member, wanted, {name: entry.roles for name, entry in known.candidates.items()}, holders)
            _give_back(known, member, mine)
            for role in mine:
                held = known.leases.get(role)
                if held is None or held.member != member or held.expires <= now:
                    held = known.leases[role] = _Held(member, max(now, held.token + 1 if held is not None else 0), until)
                held.expires = until
            return [Lease(role, member, known.leases[role].token, ttl) for role in mine]

        return self._change("leasing roles", decide)

    def resign(self, member: str) -> None:
        def decide(known: _Roles, _: int) -> Sequence[Lease]:
            known.candidates.pop(member, None)
            _give_back(known, member, ())
            return ()

        self._change("giving roles back", decide)

    def close(self) -> None:
        self._closed = True
        self._client.close()

    def _change(self, doing: str, decide: Any) -> Sequence[Lease]:
        if self._closed:
            raise RoleSchedulerError("the role scheduler is closed.")
        with translated(self._address.shown, doing, RoleSchedulerError):
            for number in range(TRIES):
                pipeline = self._client.pipeline(transaction=False)
                pipeline.get(self._key)
                pipeline.time()
                raw, moment = pipeline.execute()
                known = self._read(raw)
                leases: Sequence[Lease] = decide(known, self._now(moment))
                if self._client.eval(SWAP, 1, self._key, raw or b"", _encode(known)):
                    return leases
                time.sleep(random.uniform(0, 0.002 * min(number + 1, 20)))
        raise RoleSchedulerError(
            f"{doing} at {self._address.shown} met others {TRIES} times.", remedy="It is tried again by itself."
        )

    def _read(self, raw: bytes | None) -> _Roles:
        try:
            return _Roles() if raw is None else _decode(raw)
        except msgspec.DecodeError as error:
            raise RoleSchedulerError(
                f"the key {self._key} at {self._address.shown} is not flowdsl's: {error}",
                remedy="Give flowdsl a prefix of its own (?prefix=...), or delete the key.",
            ) from None

    def _now(self, moment: tuple[int, int]) -> int:
        if self._clock is not None:
            return int(self._clock.now().timestamp() * 1_000_000)
        seconds, micros = moment
        return int(seconds) * 1_000_000 + int(micros)


def _give_back(known: _Roles, member: str, kept: Sequence[str]) -> None:
    """Free what the member holds and is not to keep; the entries stay, for the tokens."""
    for role, held in known.leases.items():
        if held.member == member and role not in kept:
            held.member, held.expires = "", 0


def open_roles(url: str, *, clock: Clock | None = None) -> RedisRoleScheduler:
    """A role scheduler at redis://user:password@host:port/database, or rediss:// for TLS. Our option in the query: `prefix` of
    its key (default flowdsl). Nothing is connected before the first use. Raises ConfigurationError."""
    address = parse(url, ("prefix",))
    return RedisRoleScheduler(address, prefix=address.options.get("prefix", PREFIX), clock=clock)
