"""Heartbeats and the freeing of claims whose owner is gone.

A heartbeat that has lapsed stays for a day as a tombstone, so that its owner learns of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from flowdsl.model.instance import Instance
from flowdsl.model.lapse import rest
from flowdsl_sql.database import Database, Session, after
from flowdsl_sql.notes import notify
from flowdsl_sql.rows import INSTANCE, instance

TOMBSTONE = timedelta(days=1)
OWNED = "SELECT row_id, namespace, topic, lapses FROM flowdsl_pending WHERE namespace = ? AND owner IS NOT NULL"

FREE = "UPDATE flowdsl_pending SET owner = NULL, due = ?, lapses = lapses + 1 WHERE row_id"


class Instances:
    """The heartbeat rows of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def beat(self, namespace: str, instance: Instance, ttl: timedelta) -> bool:
        def work(session: Session) -> bool:
            now = session.now()
            row = session.one(
                "SELECT expires, gone FROM flowdsl_instance WHERE namespace = ? AND owner = ?" + session.dialect.for_update,
                (namespace, instance.owner),
            )
            if row is None:
                session.later(
                    "INSERT INTO flowdsl_instance (namespace, owner, host, pid, pid_started, expires) VALUES (?, ?, ?, ?, ?, ?)",
                    (namespace, instance.owner, instance.host, instance.pid, instance.pid_started, after(now, ttl)),
                )
                return True
            if row[1] is not None or row[0] <= now:
                return False
            session.later(
                "UPDATE flowdsl_instance SET expires = ? WHERE namespace = ? AND owner = ?",
                (after(now, ttl), namespace, instance.owner),
            )
            return True

        return self._database.write_apart(work)

    def leave(self, namespace: str, owner: str) -> set[str]:
        """The topics of the rows that were freed."""

        def work(session: Session) -> set[str]:
            session.later("DELETE FROM flowdsl_instance WHERE namespace = ? AND owner = ? AND gone IS NULL", (namespace, owner))
            rows = session.all(f"{OWNED} AND owner = ? ORDER BY row_id{session.dialect.for_update}", (namespace, owner))
            session.later_among("UPDATE flowdsl_pending SET owner = NULL WHERE row_id IN", [row[0] for row in rows])
            topics = {row[2] for row in rows}
            notify(session, self._database.name, {(namespace, topic) for topic in topics})
            return topics

        return self._database.write(work)

    def instances(self, namespace: str) -> Sequence[Instance]:
        def work(session: Session) -> Sequence[Instance]:
            rows = session.all(
                f"SELECT {INSTANCE} FROM flowdsl_instance WHERE namespace = ? AND gone IS NULL AND expires > ? ORDER BY owner",
                (namespace, session.now()),
            )
            return [instance(row) for row in rows]

        return self._database.read(work)

    def free_lapsed(self, namespace: str, dead: Iterable[str]) -> tuple[int, set[str]]:
        """How many rows were freed, and their topics."""
        known_dead = sorted(set(dead))

        def nothing(session: Session) -> bool:
            """A look without a lock: nobody lapsed and every claim has a live owner."""
            if known_dead:
                return False
            now = session.now()
            lapsed = session.one(
                "SELECT 1 FROM flowdsl_instance WHERE namespace = ? AND gone IS NULL AND expires <= ?", (namespace, now)
            )
            return lapsed is None and not _orphans(session, namespace)

        def work(session: Session) -> tuple[int, set[str]]:
            now = session.now()
            session.later(
                "UPDATE flowdsl_instance SET gone = ? WHERE namespace = ? AND gone IS NULL AND expires <= ?",
                (now, namespace, now),
            )
            session.later_among(
                "UPDATE flowdsl_instance SET gone = ? WHERE gone IS NULL AND namespace = ? AND owner IN",
                known_dead,
                (now, namespace),
            )
            session.later(
                "DELETE FROM flowdsl_instance WHERE namespace = ? AND gone < ?",
                (namespace, now - TOMBSTONE // timedelta(microseconds=1)),
            )
            owners = _orphans(session, namespace)
            # rows that a commit holds are being settled: the next look frees what is left of them
            rows = session.among(f"{OWNED} AND owner IN", owners, (namespace,), f" ORDER BY row_id{session.dialect.skip_locked}")
            session.later_among(f"{FREE} IN", [row[0] for row in rows if not row[3]], (now,))
            session.many(f"{FREE} = ?", [(after(now, rest(row[0], row[3] + 1)), row[0]) for row in rows if row[3]])
            topics = {row[2] for row in rows}
            notify(session, self._database.name, {(namespace, topic) for topic in topics})
            return len(rows), topics

        if self._database.read(nothing):
            return 0, set()
        return self._database.write(work)


def _orphans(session: Session, namespace: str) -> list[str]:
    """Owners of claims that have no heartbeat."""
    rows = session.all(
        "SELECT DISTINCT p.owner FROM flowdsl_pending p WHERE p.namespace = ? AND p.owner IS NOT NULL AND NOT EXISTS"
        " (SELECT 1 FROM flowdsl_instance i WHERE i.namespace = p.namespace AND i.owner = p.owner AND i.gone IS NULL)",
        (namespace,),
    )
    return [row[0] for row in rows]
