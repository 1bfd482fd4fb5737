"""Traps in the SQL adapters: below everything that they do about errors, at the connection."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

from flowdsl_sql.database import Session
from tests.faults.trap import Point, Trap


def break_connection(session: Session) -> None:
    """As if the network had: the connection is of no use, and the driver says so."""
    driver = session._driver
    if session.dialect.name == "postgresql":
        driver.close()
        driver.execute("SELECT 1")
    if session.dialect.name == "mysql":
        driver._force_close()
        driver.query("SELECT 1")
    raise OSError("the disk did not answer")


def point_of(sql: str) -> Point | None:
    """What a statement is there for."""
    words = sql.split(None, 3)
    verb = words[0].upper()
    if "RECURSIVE level" in sql or sql.startswith("UPDATE flowdsl_pending SET owner = ") and "delivery = delivery + 1" in sql:
        return Point.CLAIM
    if verb in ("UPDATE", "INSERT"):
        target = words[2] if verb == "INSERT" else words[1]
        return {
            "flowdsl_run": Point.TX_UPDATE,
            "flowdsl_pending": Point.TX_OUTBOX if verb == "INSERT" else None,
            "flowdsl_instance": Point.BEAT,
            "flowdsl_lease": Point.LEASE,
        }.get(target)
    return None


def _touched(session: Session) -> set[Point]:
    """What its transaction has done so far."""
    found: set[Point] = session.__dict__.setdefault("touched", set())
    return found


class Traps:
    """Sessions that pass a trap. In: `committing`, what else the commit under way is, as the store's caller knows."""

    def __init__(self, trap: Trap) -> None:
        self._trap = trap
        self.committing: Point | None = None

    def statement(self, original: Callable[..., Any], session: Session, sql: str, *arguments: Any) -> Any:
        point, fail = point_of(sql), partial(break_connection, session)
        touched = _touched(session)
        if point is None:
            return original(session, sql, *arguments)
        touched.add(point)
        at_once = point in (Point.TX_UPDATE, Point.TX_OUTBOX) or "RECURSIVE level" in sql
        if at_once:
            self._trap.before(point, fail)
        answer = original(session, sql, *arguments)
        if at_once:
            self._trap.after(point, fail)
        return answer

    def commit(self, original: Callable[..., Any], session: Session, *arguments: Any) -> Any:
        """COMMIT, or a statement that is a whole transaction."""
        fail = partial(break_connection, session)
        touched = _touched(session)
        points = [point for point in (Point.CLAIM, Point.BEAT, Point.LEASE) if point in touched]
        if Point.TX_UPDATE in touched or arguments:
            points += [Point.COMMIT_AFTER, *([self.committing] if self.committing is not None else [])]
            self._trap.here(Point.COMMIT_BEFORE, fail)
        for point in points:
            self._trap.before(point, fail)
        answer = original(session, *arguments)
        for point in points:
            self._trap.after(point, fail)
        return answer


@contextmanager
def trapped_sql(trap: Trap) -> Generator[Traps]:
    """While this lasts, every session of this process passes the trap."""
    traps = Traps(trap)
    with (
        patch.object(Session, "later_as_written", _with(traps.statement, Session.later_as_written)),
        patch.object(Session, "many", _with(traps.statement, Session.many)),
        patch.object(Session, "execute", _with(traps.statement, Session.execute)),
        patch.object(Session, "commit", _with(traps.commit, Session.commit)),
        patch.object(Session, "commit_alone", _with(traps.commit, Session.commit_alone)),
    ):
        yield traps


def _with(trapped: Callable[..., Any], original: Callable[..., Any]) -> Callable[..., Any]:
    inside = False

    def call(session: Session, *arguments: Any) -> Any:
        nonlocal inside
        if inside:  # one of these calls another: it is one call
            return original(session, *arguments)
        inside = True
        try:
            return trapped(original, session, *arguments)
        finally:
            inside = False

    return call


class NthCall:
    """Makes the nth call of a database fail. In: from which on, and for how many; 0: none, they are only counted."""

    def __init__(self, first: int, count: int = 1) -> None:
        self.first = first
        self.count = count
        self.calls = 0
        self.failed = 0

    def call(self, original: Callable[..., Any], session: Session, *arguments: Any) -> Any:
        self.calls += 1
        if self.first and self.first <= self.calls < self.first + self.count:
            self.failed += 1
            break_connection(session)
        return original(session, *arguments)


@contextmanager
def nth_sql_call(fault: NthCall) -> Generator[NthCall]:
    """While this lasts, every statement of this process's sessions is counted, and the chosen ones fail."""
    with (
        patch.object(Session, "execute", _with(fault.call, Session.execute)),
        patch.object(Session, "later_as_written", _with(fault.call, Session.later_as_written)),
        patch.object(Session, "many", _with(fault.call, Session.many)),
    ):
        yield fault
