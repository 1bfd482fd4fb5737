"""Looking at the rows that wait in a topic: unclaimed ones with a due time.

The ends of their index are asked for with ORDER BY and LIMIT 1: MIN and MAX read every row of a topic where the planner knows no
better.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from msgspec import Struct

from flowdsl_sql.database import Session
from flowdsl_sql.dialects import Dialect


class WaitingRows(Struct, frozen=True):
    """The statements, which first bind the namespace and the topic."""

    top_priority: str
    next_priority: str
    """Binds a priority, too: the next below."""
    first_due: str
    """Binds a priority, too."""
    due: str
    """Row ids. Binds the time, a priority and a limit, too."""
    depth: str
    """How many are due, when the first is, how many there are; binds the time before everything else."""


@cache
def _statements(due: str, waits: str) -> WaitingRows:
    where = f"FROM flowdsl_pending WHERE namespace = ? AND topic = ? AND {waits}"
    return WaitingRows(
        top_priority=f"SELECT priority {where} ORDER BY priority DESC LIMIT 1",
        next_priority=f"SELECT priority {where} AND priority < ? ORDER BY priority DESC LIMIT 1",
        first_due=f"SELECT {due} {where} AND priority = ? ORDER BY {due} LIMIT 1",
        due=f"SELECT row_id {where} AND {due} <= ? AND priority = ? ORDER BY {due} LIMIT ?",
        depth=f"SELECT COUNT(CASE WHEN {due} <= ? THEN 1 END), MIN({due}), COUNT({due}) {where}",
    )


def waiting_rows(dialect: Dialect) -> WaitingRows:
    return _statements(dialect.due, dialect.waits)


def priorities(session: Session, namespace: str, topic: str) -> Iterable[tuple[int, int]]:
    """The priorities of a topic's waiting rows, highest first, each with the time when its first is due."""
    statements = waiting_rows(session.dialect)
    row = session.one(statements.top_priority, (namespace, topic))
    while row is not None:
        priority = row[0]
        first = session.one(statements.first_due, (namespace, topic, priority))
        if first is not None:
            yield priority, first[0]
        row = session.one(statements.next_priority, (namespace, topic, priority))
