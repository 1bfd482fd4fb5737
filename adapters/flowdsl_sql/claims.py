"""Claiming: due rows that nobody has become an owner's, together with their runs."""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence

from flowdsl.errors import StoreError
from flowdsl.model.change import Change
from flowdsl.model.pending import ClaimedRow, TopicQuota
from flowdsl_sql.array_literal import array_literal
from flowdsl_sql.database import Database, Row, Session
from flowdsl_sql.rows import PENDING, RUN
from flowdsl_sql.unreadable import readable
from flowdsl_sql.waiting import priorities, waiting_rows

Taken = tuple[Sequence[Row], Mapping[str, Row]]
"""Rows in order, and those of their runs by id, as the database gave them."""

log = logging.getLogger("flowdsl.sql")
FREE = "COALESCE(namespace, '') = {namespace} AND COALESCE(owner, '') = '' AND due + 0"
"""Of named rows: written so that no index but that of the row's id serves. Of a table that fills and empties again and again the
databases have no true figures, and all three preferred to look at everything that waits."""
TAKE = "UPDATE flowdsl_pending SET owner = ?, delivery = delivery + 1, mark = ? WHERE owner IS NULL AND row_id IN"
PG_CLAIM = """
WITH RECURSIVE level AS (
  SELECT q.topic, q.quota,
    (SELECT p.priority FROM flowdsl_pending p
     WHERE p.namespace = %(namespace)s AND p.topic = q.topic AND p.owner IS NULL AND p.due IS NOT NULL
     ORDER BY p.priority DESC LIMIT 1) AS priority
  FROM unnest(%(topics)s::text[], %(quotas)s::int[]) AS q(topic, quota)
UNION ALL
  SELECT l.topic, l.quota,
    (SELECT p.priority FROM flowdsl_pending p
     WHERE p.namespace = %(namespace)s AND p.topic = l.topic AND p.owner IS NULL AND p.due IS NOT NULL AND p.priority < l.priority
     ORDER BY p.priority DESC LIMIT 1)
  FROM level l WHERE l.priority IS NOT NULL
), found AS MATERIALIZED (
  SELECT d.row_id, d.topic, d.priority, d.due, l.quota
  FROM level l CROSS JOIN LATERAL (
    SELECT p.row_id, p.topic, p.priority, p.due FROM flowdsl_pending p
    WHERE p.namespace = %(namespace)s AND p.topic = l.topic AND p.priority = l.priority AND p.owner IS NULL AND p.due <= {now}
    ORDER BY p.due LIMIT l.quota FOR UPDATE SKIP LOCKED
  ) d
  WHERE l.priority IS NOT NULL AND EXISTS (
    SELECT 1 FROM flowdsl_instance i WHERE i.namespace = %(namespace)s AND i.owner = %(owner)s AND i.gone IS NULL
      AND i.expires > {now})
)
UPDATE flowdsl_pending p SET owner = %(owner)s, delivery = p.delivery + 1, mark = %(mark)s
WHERE p.row_id = ANY(ARRAY(
  SELECT row_id FROM (
    SELECT row_id, quota, row_number() OVER (PARTITION BY topic ORDER BY priority DESC, due) AS place FROM found
  ) ranked WHERE place <= quota))
RETURNING {columns}
"""
PG_CLAIM_ROWS = """
UPDATE flowdsl_pending p SET owner = %(owner)s, delivery = p.delivery + 1, mark = %(mark)s
WHERE p.row_id = ANY(ARRAY(
  SELECT d.row_id FROM flowdsl_pending d
  WHERE d.row_id = ANY(%(row_ids)s::text[]) AND {free} <= {now}
    AND EXISTS (
      SELECT 1 FROM flowdsl_instance i WHERE i.namespace = %(namespace)s AND i.owner = %(owner)s AND i.gone IS NULL
        AND i.expires > {now})
  ORDER BY d.row_id FOR UPDATE OF d SKIP LOCKED))
RETURNING {columns}
"""


class Claims:
    """Takes rows. Nothing but pending rows is locked, and those that somebody else is just taking are passed over.

    A claim whose answer never came may have taken rows. While its owner lives nobody else would look after them, so the owner's
    next claim brings them, whatever it asks for.

    In: the database; what commits the changes that put off rows which cannot be read.
    """

    def __init__(self, database: Database, put_off: Callable[[Sequence[Change]], object]) -> None:
        self._database = database
        self._put_off = put_off
        self._doubtful: dict[tuple[str, str], list[str]] = {}
        """By namespace and owner: the marks of claims that nobody had an answer to."""
        self._guard = threading.Lock()
        columns = ", ".join(f"p.{name}" for name in PENDING.split(", "))
        clock = (
            "%(now)s"
            if database.clock is not None
            else "(SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS bigint))"
        )
        self._pg_claim = PG_CLAIM.format(now=clock, columns=columns)
        self._pg_claim_rows = PG_CLAIM_ROWS.format(now=clock, columns=columns, free=FREE.format(namespace="%(namespace)s"))

    def claim(self, namespace: str, owner: str, quotas: Sequence[TopicQuota]) -> Sequence[ClaimedRow]:
        limits = {quota.topic: quota.limit for quota in quotas if quota.limit > 0}
        if not limits:
            return ()
        return self._asking(namespace, owner, lambda mark: self._claim(namespace, owner, limits, mark))

    def _claim(self, namespace: str, owner: str, limits: dict[str, int], mark: str) -> Taken:
        tried = False
        if self._database.dialect.name == "postgresql":

            def work(session: Session) -> Taken:
                nonlocal tried
                rows = _claimed(session, namespace, owner, [mark]) if tried else ()
                tried = True
                return self._with_runs(session, rows or self._claim_at_once(session, namespace, owner, limits, mark))

            return self._database.read(work)
        open_topics = self._database.read(lambda session: self._due_levels(session, namespace, limits))
        if not open_topics:
            return (), {}

        def take(session: Session) -> Taken:
            nonlocal tried
            rows = _claimed(session, namespace, owner, [mark]) if tried else ()
            tried = True
            return self._with_runs(session, rows or self._take_levels(session, namespace, owner, limits, open_topics, mark))

        return self._database.write(take)

    def claim_rows(self, namespace: str, owner: str, row_ids: Sequence[str]) -> Sequence[ClaimedRow]:
        if not row_ids:
            return ()
        return self._asking(namespace, owner, lambda mark: self._claim_rows(namespace, owner, row_ids, mark))

    def _claim_rows(self, namespace: str, owner: str, row_ids: Sequence[str], mark: str) -> Taken:
        tried = False
        at_once = self._database.dialect.name == "postgresql"

        def take(session: Session) -> Taken:
            nonlocal tried
            rows = _claimed(session, namespace, owner, [mark]) if tried else ()
            tried = True
            if not rows:
                claim = self._claim_rows_at_once if at_once else _claim_rows
                rows = claim(session, namespace, owner, row_ids, mark)
            place = {row_id: number for number, row_id in enumerate(row_ids)}
            return self._with_runs(session, sorted(rows, key=lambda row: place[row[0]]))

        return self._database.read(take) if at_once else self._database.write(take)

    def _asking(self, namespace: str, owner: str, claim: Callable[[str], Taken]) -> Sequence[ClaimedRow]:
        """What claims without an answer had taken, and what this one takes, under a mark of its own."""
        mark, doubtful = uuid.uuid4().hex, self._taken_out(namespace, owner)
        try:
            found = self._found_again(namespace, owner, doubtful) if doubtful else ()
            doubtful.append(mark)
            taken = claim(mark)
        except BaseException:  # whatever it is: what was found is in nobody's hands yet, and the next claim brings it
            with self._guard:
                self._doubtful.setdefault((namespace, owner), []).extend(doubtful)
            raise
        return [*found, *self._readable(owner, taken)]

    def _taken_out(self, namespace: str, owner: str) -> list[str]:
        """The marks of claims without an answer, for one claim only: of two at once each would bring the same rows."""
        if not self._doubtful:
            return []
        with self._guard:
            return self._doubtful.pop((namespace, owner), [])

    def _readable(self, owner: str, taken: Taken) -> Sequence[ClaimedRow]:
        found, put_off = readable(owner, *taken)
        if put_off:
            try:
                self._put_off(put_off)
            except StoreError as error:  # they stay ours, and harm nobody, until this process is gone
                log.warning("%d rows could not be put off: %s", len(put_off), error)
        return found

    def _found_again(self, namespace: str, owner: str, marks: Sequence[str]) -> Sequence[ClaimedRow]:
        found = self._database.read(lambda session: self._with_runs(session, _claimed(session, namespace, owner, marks)))
        return self._readable(owner, found)

    def _claim_at_once(self, session: Session, namespace: str, owner: str, limits: dict[str, int], mark: str) -> Sequence[Row]:
        """PostgreSQL: one statement; when nothing is due it only reads."""
        found = session.execute(
            self._pg_claim,
            {
                "namespace": namespace,
                "owner": owner,
                "mark": mark,
                "topics": list(limits),
                "quotas": list(limits.values()),
                "now": session.now() if self._database.clock is not None else 0,
            },
        )
        rows: Sequence[Row] = found.fetchall()
        order = {topic: number for number, topic in enumerate(limits)}
        return sorted(rows, key=lambda row: (order[row[3]], -row[11], row[9]))

    def _claim_rows_at_once(
        self, session: Session, namespace: str, owner: str, row_ids: Sequence[str], mark: str
    ) -> Sequence[Row]:
        """PostgreSQL: one statement."""
        found = session.execute(
            self._pg_claim_rows,
            {
                "namespace": namespace,
                "owner": owner,
                "mark": mark,
                "row_ids": array_literal("text", row_ids),
                "now": session.now() if self._database.clock is not None else 0,
            },
        )
        rows: Sequence[Row] = found.fetchall()
        return rows

    def _due_levels(self, session: Session, namespace: str, limits: dict[str, int]) -> list[tuple[str, int]]:
        """Topic and priority of what is due: a look at two ends of an index for each, without a lock."""
        now = session.now()
        levels: list[tuple[str, int]] = []
        for topic in limits:
            for priority, first in priorities(session, namespace, topic):
                if first <= now:
                    levels.append((topic, priority))
        return levels

    def _take_levels(
        self, session: Session, namespace: str, owner: str, limits: dict[str, int], levels: Iterable[tuple[str, int]], mark: str
    ) -> Sequence[Row]:
        now = session.now()
        if not _live(session, namespace, owner, now):
            return ()
        due = waiting_rows(session.dialect).due + session.dialect.skip_locked
        left = dict(limits)
        row_ids: list[str] = []
        for topic, priority in levels:
            if left[topic] > 0:
                found = session.all(due, (namespace, topic, now, priority, left[topic]))
                left[topic] -= len(found)
                row_ids.extend(row[0] for row in found)
        rows = {row[0]: row for row in _take(session, owner, mark, row_ids)}
        return [rows[row_id] for row_id in row_ids if row_id in rows]

    def _with_runs(self, session: Session, rows: Sequence[Row]) -> Taken:
        """The runs are read after the rows were taken: never older than what the row asks for."""
        if not rows:
            return (), {}
        found = session.among(f"SELECT {RUN} FROM flowdsl_run WHERE run_id IN", [row[6] for row in rows])
        return rows, {row[0]: row for row in found}


def _live(session: Session, namespace: str, owner: str, now: int) -> bool:
    row = session.one(
        "SELECT 1 FROM flowdsl_instance WHERE namespace = ? AND owner = ? AND gone IS NULL AND expires > ?",
        (namespace, owner, now),
    )
    return row is not None


def _claim_rows(session: Session, namespace: str, owner: str, row_ids: Sequence[str], mark: str) -> Sequence[Row]:
    now = session.now()
    if not _live(session, namespace, owner, now):
        return ()
    found = session.among(
        f"SELECT row_id FROM flowdsl_pending WHERE {FREE.format(namespace='?')} <= ? AND row_id IN",
        sorted(set(row_ids)),
        (namespace, now),
        f" ORDER BY row_id{session.dialect.skip_locked}",
    )
    return _take(session, owner, mark, [row[0] for row in found])


def _take(session: Session, owner: str, mark: str, row_ids: Sequence[str]) -> Sequence[Row]:
    if not row_ids:
        return ()
    session.later_among(TAKE, row_ids, (owner, mark))
    return session.among(f"SELECT {PENDING} FROM flowdsl_pending WHERE row_id IN", row_ids)


def _claimed(session: Session, namespace: str, owner: str, marks: Sequence[str]) -> Sequence[Row]:
    """What claims of these marks took, if the answer to their commit was lost."""
    return session.among(
        f"SELECT {PENDING} FROM flowdsl_pending WHERE namespace = ? AND owner = ? AND mark IN", marks, (namespace, owner)
    )
