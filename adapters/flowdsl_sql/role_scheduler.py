"""Roles leased by rows, by the database's time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import msgspec

from flowdsl.clock import Clock
from flowdsl.errors import RoleSchedulerError, SchemaError, StoreError
from flowdsl.model.fair_share import allot
from flowdsl.model.instance import Lease
from flowdsl_sql import schema
from flowdsl_sql.connect import parse
from flowdsl_sql.database import Database, Session, after
from flowdsl_sql.errors import translated

GUARD = ""
"""The lease row that a campaign locks first: one at a time decides."""
FORGOTTEN = timedelta(hours=1)
"""How long a candidate that stopped asking is kept before its row is removed."""
decode_roles = msgspec.json.Decoder(frozenset[str])


def open_roles(url: str, *, clock: Clock | None = None, migrate: bool | None = None) -> SqlRoleScheduler:
    """A role scheduler at a database URL, with connections of its own. In: as for `open_store`."""
    database = Database(parse(url), clock)
    try:
        with translated(database.where):
            database.prepare()
            schema.make_ready(database, migrate)
    except BaseException:
        database.close()
        raise
    return SqlRoleScheduler(database)


class SqlRoleScheduler:
    """Implements `flowdsl.ports.role_scheduler.RoleScheduler`; the contract is there."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __repr__(self) -> str:
        return f"SqlRoleScheduler({self._database.where!r})"

    def campaign(self, member: str, roles: Sequence[str], ttl: timedelta) -> Sequence[Lease]:
        wanted = tuple(dict.fromkeys(roles))

        def work(session: Session) -> Sequence[Lease]:
            _lock(session)
            now = session.now()
            until = after(now, ttl)
            candidates = session.all(
                "SELECT member, roles FROM flowdsl_candidate WHERE expires > ? AND member <> ?", (now, member)
            )
            wants = {row[0]: decode_roles.decode(row[1]) for row in candidates}
            wants[member] = frozenset(wanted)
            found = session.among("SELECT role, member, token, expires FROM flowdsl_lease WHERE role IN", wanted)
            leases = {row[0]: (row[1], row[2], row[3]) for row in found}
            holders = {role: holder for role, (holder, _, expires) in leases.items() if holder is not None and expires > now}
            mine = allot(member, wanted, wants, holders)
            _enlist(session, member, wanted, until, now)
            _give_back(session, member, mine)
            return [Lease(role, member, _take(session, role, member, until, now, leases.get(role)), ttl) for role in mine]

        try:
            return self._database.write(work)
        except SchemaError:
            raise
        except StoreError as error:
            raise RoleSchedulerError(f"the roles cannot be leased: {error}") from error

    def resign(self, member: str) -> None:
        def work(session: Session) -> None:
            _lock(session)
            session.later("DELETE FROM flowdsl_candidate WHERE member = ?", (member,))
            _give_back(session, member, ())

        try:
            self._database.write(work)
        except StoreError as error:
            raise RoleSchedulerError(f"the roles cannot be given back: {error}") from error

    def close(self) -> None:
        self._database.close()


def _lock(session: Session) -> None:
    """Wait for every other campaign to end. SQLite's transaction has seen to it already."""
    if not session.dialect.for_update:
        return
    found = session.one(f"SELECT role FROM flowdsl_lease WHERE role = ?{session.dialect.for_update}", (GUARD,))
    if found is None:  # the first campaign ever; a race for it ends in a unique violation, which is tried again
        session.later("INSERT INTO flowdsl_lease (role, member, token, expires) VALUES (?, NULL, 0, 0)", (GUARD,))


def _enlist(session: Session, member: str, roles: Sequence[str], until: int, now: int) -> None:
    text = msgspec.json.encode(sorted(roles)).decode()
    known = session.one("SELECT 1 FROM flowdsl_candidate WHERE member = ?", (member,))
    if known is None:
        session.later("INSERT INTO flowdsl_candidate (member, roles, expires) VALUES (?, ?, ?)", (member, text, until))
        session.later("DELETE FROM flowdsl_candidate WHERE expires < ?", (now - FORGOTTEN // timedelta(microseconds=1),))
    else:
        session.later("UPDATE flowdsl_candidate SET roles = ?, expires = ? WHERE member = ?", (text, until, member))


def _give_back(session: Session, member: str, kept: Sequence[str]) -> None:
    """Free what the member holds and is not to keep; the rows stay, for the tokens."""
    held = session.all("SELECT role FROM flowdsl_lease WHERE member = ?", (member,))
    keep = set(kept)
    session.later_among(
        "UPDATE flowdsl_lease SET member = NULL, expires = 0 WHERE role IN", [row[0] for row in held if row[0] not in keep]
    )


def _take(session: Session, role: str, member: str, until: int, now: int, lease: tuple[str | None, int, int] | None) -> int:
    """Renew or take; the token."""
    if lease is None:
        session.later("INSERT INTO flowdsl_lease (role, member, token, expires) VALUES (?, ?, 1, ?)", (role, member, until))
        return 1
    holder, token, expires = lease
    if holder != member or expires <= now:
        token += 1
    session.later("UPDATE flowdsl_lease SET member = ?, token = ?, expires = ? WHERE role = ?", (member, token, until, role))
    return token
